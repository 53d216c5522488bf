"""The synthetic training set: poses as wanted, composites where the face is, shards that are made once."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from faceanon.core import facecrop
from faceanon.core.errors import UsageError
from faceanon.core.settings import ModelSettings
from faceanon.models import styles
from faceanon.models.fakes import mean_mesh
from faceanon.render import topology as topo
from faceanon.training import faces, photos, synthetic
from faceanon.training.faces import SIDE_PX, Faces


def upright() -> np.ndarray:
    """(468, 3) px of a picture as Faces keep it."""
    mesh = mean_mesh() * (100, 135, 100) + (200, 200, 0)
    _, moved = faces.view(np.zeros((400, 400, 3), np.uint8), mesh.astype(np.float32))
    return moved


def test_a_view_puts_the_face_in_its_place():
    """The eyes, nose and mouth of a mesh lie where the crop wants them, MARGIN_PX farther in."""
    found = facecrop.points_of(upright()) - faces.MARGIN_PX

    assert np.abs(found - facecrop.POINTS).mean() < 4
    assert abs(found[:, 0].mean() - 64) < 0.5


def test_a_head_is_turned_as_wanted():
    """The coarse levels measure the wanted yaw and pitch; the fine ones stay the person's."""
    bank = styles.load()
    offset = np.random.default_rng(1).normal(size=512).astype(np.float32) * 0.1

    levels = synthetic.posed(bank, offset, 0.4, -0.2)
    measured = bank.controls @ levels[0] + bank.rest
    assert measured[: styles.PITCH + 1] == pytest.approx([0.4, -0.2], abs=1e-3)
    assert np.array_equal(levels[-1], offset)


def test_a_composite_changes_the_face_alone():
    """Beside the face's outline the picture stays; inside it shows the other's texture in the picture's light."""
    mesh, random = upright(), np.random.default_rng(2)
    image = np.full((SIDE_PX, SIDE_PX, 3), (90, 120, 170), np.uint8)
    other = (np.full((SIDE_PX, SIDE_PX, 3), (45, 60, 85)) + 20 * (random.uniform(size=(SIDE_PX, SIDE_PX, 1)) > 0.5)).astype(np.uint8)
    triangles = topo.triangulate(topo.with_open_mouth(mesh[:, :2]))

    made, moved = synthetic.composite(image, mesh, other, mesh + np.array([3, 0, 0], np.float32), triangles)
    outline = np.zeros(image.shape[:2], np.uint8)
    cv2.fillPoly(outline, [np.rint(mesh[list(topo.OVAL), :2]).astype(np.int32)], 1)
    inner = cv2.erode(outline, np.ones((25, 25))) > 0
    assert np.array_equal(made[cv2.dilate(outline, np.ones((5, 5))) == 0], image[cv2.dilate(outline, np.ones((5, 5))) == 0])
    assert made[inner].std(0).min() > 3
    assert np.abs(made[inner].mean(0) - image[inner].mean(0)).max() < 12
    assert np.array_equal(moved[list(topo.OVAL)], mesh[list(topo.OVAL)])


def test_shards_are_made_once(tmp_path, monkeypatch):
    """What is there is not drawn again, and all shards are read in order."""
    drawn = []

    class Drawing:
        def __init__(self, *_):
            pass

        def shard(self, number: int) -> Faces:
            drawn.append(number)
            one = np.full((1, SIDE_PX, SIDE_PX, 3), number, np.uint8)
            return Faces(one, upright()[None], np.zeros((1, 128), np.float32), np.array([number]), np.array([False]))

    monkeypatch.setattr(synthetic, "Maker", Drawing)
    monkeypatch.setattr(synthetic.people, "generator", lambda models: None)
    for portraits in (64, 150):
        synthetic.make(tmp_path, portraits, ModelSettings(), lambda *_: None)

    assert drawn == [0, 1, 2]
    assert faces.read_all(tmp_path).people.tolist() == [0, 1, 2]
    with pytest.raises(UsageError, match="train dataset"):
        faces.read_all(tmp_path / "empty")


def test_a_list_names_pictures(tmp_path):
    """A folder of folders is one person each; a list names pictures relative to itself, and may have more columns."""
    for name in ("a/1.jpg", "a/2.png", "b/1.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "list.tsv").write_text("file\tperson\nb/1.jpg\tb\n")

    paths = photos.paths_of(tmp_path)
    assert [p.name for p in paths] == ["1.jpg", "2.png", "1.jpg"]
    assert photos._people(paths).tolist() == [-1, -1, -2]
    assert photos.paths_of(tmp_path / "list.tsv") == [tmp_path / "b/1.jpg"]


@pytest.mark.models
def test_real_portraits_become_a_shard(tmp_path, monkeypatch):
    """Two people: a portrait and a composite each, faces in their place, composites nearer to the other person than portraits are."""
    monkeypatch.setattr(synthetic, "IN_SHARD", 2)
    monkeypatch.setattr(synthetic, "VIEWS", 1)
    synthetic.make(tmp_path, 2, ModelSettings(), lambda *_: None)
    made = faces.read_all(tmp_path)

    assert made.composite.tolist() == [False, False, True, True]
    assert made.people.tolist() == [synthetic.FIRST_SEED, synthetic.FIRST_SEED + 1] * 2
    for mesh in made.meshes:
        assert np.abs(facecrop.points_of(mesh) - faces.MARGIN_PX - facecrop.POINTS).mean() < 6
    apart = np.linalg.norm(made.codes[0] - made.codes[1])
    assert np.linalg.norm(made.codes[2] - made.codes[1]) < apart
