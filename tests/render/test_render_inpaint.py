"""What deepprivacy and cleanir promise, with a fake net: the original is not seen, no region is unpainted, the same bytes twice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from render_scenes import FORMATS, MoodyMesh, copied, noise_picture, regions

from faceanon.core import facecrop
from faceanon.core.errors import SettingsError
from faceanon.core.geometry import transform
from faceanon.core.picture import Picture
from faceanon.core.records import Method, Painted, RegionTable
from faceanon.core.settings import RenderSettings
from faceanon.models.fakes import FakeInpainter, FakeMesh, FakeSegmenter, mean_mesh
from faceanon.render import hole
from faceanon.render import topology as topo
from faceanon.render.engines import make_engine
from faceanon.render.inpaint import InpaintEngine, with_lids

SETTINGS = RenderSettings(engine="deepprivacy")
BOX = (50.0, 40.0, 100.0, 100.0)
CODES = {k: (float(np.cos(k)), float(np.sin(k)), *(0.0,) * 6) for k in range(3)}


def engine(settings=SETTINGS, scores=(), mesh=None, segmenter=None) -> InpaintEngine:
    return InpaintEngine(settings, mesh or MoodyMesh(scores), None, segmenter, FakeInpainter(), CODES)


class Smeary(FakeInpainter):
    """Shows again what it is shown, the hole included: a px of the original that came in would come out."""

    def inpaint(self, crops, meshes, codes):
        return np.clip(crops.astype(int) + crops.mean((1, 2), keepdims=True).astype(int) - 100, 0, 255).astype(np.uint8)


def scene(fmt, size: float, turned: float):
    """Nine pictures of noise, the regions of one face in them, and (H, W) where the face is wholly painted over."""
    box = np.array([90, 80, 90 + size, 80 + 1.2 * size], np.float32)
    table = regions(range(9), [box] * 9)
    middle, cos, sin = (box[:2] + box[2:]) / 2, np.cos(turned), np.sin(turned)
    table.points[...] = (table.points - middle) @ np.array([[cos, sin], [-sin, cos]], np.float32) + middle
    pictures = [noise_picture(331, 351, fmt, index=i) for i in range(9)]
    mesh, _ = FakeMesh().fit(pictures[0].bgr(), table.points[0], table.face[0])
    at = hole.place(pictures[0], facecrop.to_crop(mesh), facecrop.SIDE_PX)
    x0, y0, x1, y1 = at.box
    covered = np.zeros((351, 331), bool)
    covered[y0:y1, x0:x1] = hole.laid_alpha(hole.shown_part(transform(mesh[:, :2] - at.box[:2], at.to_crop), facecrop.hole()), at) >= 1
    return pictures, table, covered


def changed(picture: Picture, where: np.ndarray, seed: int) -> Picture:
    """The picture with other noise in every sample all of whose px lie in `where` (H, W)."""
    planes = copied(picture)
    for plane, fresh in zip(planes, noise_picture(picture.width, picture.height, picture.format, picture.index, seed).planes, strict=True):
        down, right = -(-picture.height // plane.shape[0]), -(-picture.width // plane.shape[1])
        padded = np.pad(where, ((0, plane.shape[0] * down - picture.height), (0, plane.shape[1] * right - picture.width)))
        own = padded.reshape(plane.shape[0], down, plane.shape[1], right).all((1, 3))
        plane[own] = fresh[own]
    return Picture(picture.index, picture.pts, tuple(planes), picture.format)


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
@pytest.mark.parametrize(("size", "turned"), [(34, 0.0), (60, 0.3), (150, -0.2)])
def test_no_pixel_of_the_original_is_seen(fmt, size, turned):
    """All samples under the paint are others: the output is the same to the byte. All samples around are others: it is not, so the net does look."""
    pictures, table, covered = scene(fmt, size, turned)
    assert covered.sum() > 0.5 * size * size

    def painted(originals):
        made = InpaintEngine(SETTINGS, MoodyMesh([0.9] * 9), None, FakeSegmenter(), Smeary(), CODES)
        return [copied(picture) for picture, _ in made.paint(originals, table)]

    plain = painted([changed(p, np.zeros_like(covered), 0) for p in pictures])
    other_face = painted([changed(p, covered, 7) for p in pictures])
    other_place = painted([changed(p, ~covered, 7) for p in pictures])

    assert all(np.array_equal(a, b) for one, two in zip(plain, other_face, strict=True) for a, b in zip(one, two, strict=True))
    assert not any(np.array_equal(a[0][covered], b[0][covered]) for a, b in zip(plain, other_place, strict=True))


@pytest.mark.parametrize("mask", ["face", "box"])
def test_a_new_face_hides_the_face_and_nothing_outside_the_reported_box(mask):
    """Forehead to chin are gone, the picture around is untouched; the face's shape leaves more of the picture alone than the box does."""
    table = regions(range(9), [BOX] * 9)
    pictures = [noise_picture(181, 161, index=i) for i in range(9)]
    before = [copied(p) for p in pictures]

    out = list(engine(replace(SETTINGS, mask=mask), [0.9] * 9).paint(pictures, table))

    for (picture, (row,)), old in zip(out, before, strict=True):
        assert row.painted == Painted.FACE
        x0, y0, x1, y1 = row.box
        other = picture.planes[0] != old[0]
        assert other[48:94, 56:94].mean() > 0.97
        assert (other.mean() > 0.15) == (mask == "box")
        other[y0:y1, x0:x1] = False
        assert not other.any()


@pytest.mark.parametrize("mask", ["face", "box"])
def test_a_crop_never_brings_back_a_face_beside_it(mask):
    """Two faces whose crops overlap, one swapped and one hidden: what covers the hidden one is what covers it alone."""
    near = (104.0, 40.0, 154.0, 100.0)
    hidden = regions(range(9), [near] * 9, [7] * 9, Method.OBSCURE)
    both = RegionTable.concatenate([regions(range(9), [BOX] * 9), hidden])
    settings = replace(SETTINGS, mask=mask)

    alone = [copied(p) for p, _ in engine(settings).paint([noise_picture(200, 161, index=i) for i in range(9)], hidden)]
    beside = [copied(p) for p, _ in engine(settings, [0.9] * 9).paint([noise_picture(200, 161, index=i) for i in range(9)], both)]

    for one, two in zip(alone, beside, strict=True):
        assert np.array_equal(one[0][44:96, 116:150], two[0][44:96, 116:150])


def test_every_region_of_a_crowd_is_painted_whatever_is_asked():
    """Faces that are painted, obscured, unknown, off the picture or found by the verifier: each region of each frame has one row, in order of track."""
    faces = [regions(range(12), [BOX] * 12), regions(range(5, 12), [(120.0, 20.0, 155.0, 70.0)] * 7, [1] * 7)]
    off = regions(range(12), [(-45.0, 30.0, 5.0, 90.0)] * 12, [2] * 12)
    others = [off, regions(range(12), [(5.0, 80.0, 30.0, 110.0)] * 12, [7] * 12), regions([3], [(90.0, 80.0, 120.0, 110.0)], [8], Method.REPAIR)]
    table = RegionTable.concatenate(faces + others)

    out = list(engine(scores=[0.9] * 31).paint((noise_picture(180, 160, index=i) for i in range(12)), table))

    assert [(p.index, r.track) for p, rows in out for r in rows] == list(zip(table.frame.tolist(), table.track.tolist(), strict=True))
    assert {r.painted for p, rows in out for r in rows if r.track in (2, 7, 8)} == {Painted.OBSCURED}
    assert {r.painted for p, rows in out for r in rows if r.track == 0} == {Painted.FACE}


def test_all_faces_of_a_frame_go_through_the_net_at_once():
    """Two faces, one call a frame."""
    table = RegionTable.concatenate([regions(range(10), [BOX] * 10), regions(range(10), [(120.0, 40.0, 170.0, 100.0)] * 10, [1] * 10)])
    made = engine(scores=[0.9] * 20)
    seen = []
    plain = made._inpainter.inpaint
    made._inpainter.inpaint = lambda crops, meshes, codes: seen.append((len(crops), len(meshes), len(codes))) or plain(crops, meshes, codes)

    list(made.paint((noise_picture(220, 160, index=i) for i in range(10)), table))

    assert seen == [(2, 2, 2)] * 10


@pytest.mark.parametrize("name", ["deepprivacy", "cleanir"])
def test_the_same_input_gives_the_same_bytes(name):
    """Two engines, or one engine twice, paint the same bytes; a different code other ones."""
    table = regions(range(14), [(40.0 + i, 30.0, 90.0 + i, 90.0) for i in range(14)])
    settings = replace(SETTINGS, engine=name)
    one, two = engine(settings, [0.9] * 28), engine(settings, [0.9] * 14)
    other = engine(settings, [0.9] * 14)
    other._codes = {0: np.array([-1, 0, 0, 0, 0, 0, 0, 0], np.float32)}

    runs = [[copied(p) for p, _ in e.paint([noise_picture(150, 130, index=i) for i in range(14)], table)] for e in (one, one, two, other)]

    same = [all(np.array_equal(a, b) for x, y in zip(runs[0], run, strict=True) for a, b in zip(x, y, strict=True)) for run in runs]
    assert same == [True, True, True, False]


def test_an_engine_without_its_net_is_refused():
    """Settings that name an engine which cannot work are said, not worked around."""
    with pytest.raises(SettingsError, match="needs a net"):
        make_engine(SETTINGS, mesh=FakeMesh())
    with pytest.raises(SettingsError, match="face mesh"):
        make_engine(SETTINGS, inpainter=FakeInpainter())


def test_shut_eyes_bring_the_lids_together():
    """Wholly shut, a quarter of the mesh's opening is left, and nothing but upper lids has moved; open eyes stay."""
    mesh = mean_mesh()[:, :2] * 100

    shut = with_lids(mesh, 1.0)

    moved = np.flatnonzero(np.any(shut != mesh, axis=1))
    assert set(moved) <= {*topo.RIGHT_EYE, *topo.LEFT_EYE}
    assert np.allclose(shut[159] - shut[145], 0.25 * (mesh[159] - mesh[145]), atol=1e-4)
    assert with_lids(mesh, 0.0) is mesh
