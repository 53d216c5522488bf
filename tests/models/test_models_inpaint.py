"""The inpainting net at work: blind for what it replaces, the same bytes each time, and refused where its licence is not allowed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from faceanon.core import facecrop
from faceanon.core.errors import LicenceRefused, WeightsUnavailable
from faceanon.core.settings import ModelSettings
from faceanon.models.fakes import mean_mesh
from faceanon.models.inpaint_net import Discriminator, Generator
from faceanon.models.inpainter import Inpainter, conditions, load_generator, save_generator, to_tensor


@pytest.fixture(scope="module")
def inpainter() -> Inpainter:
    return Inpainter(ModelSettings())


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    return np.kron(np.random.default_rng(1).integers(0, 255, (2, 16, 16, 3)), np.ones((8, 8, 1))).astype(np.uint8)


@pytest.fixture(scope="module")
def meshes() -> np.ndarray:
    """(2, 468, 2) px of a crop: an upright face, and the same one smaller."""
    mesh = mean_mesh()[:, :2] * (1, 1.35)  # shares of the sides of an upright box
    laid = mesh @ (matrix := facecrop.to_crop(mesh))[:, :2].T + matrix[:, 2]
    return np.stack([laid, 64 + 0.95 * (laid - 64)]).astype(np.float32)


@pytest.fixture(scope="module")
def codes() -> np.ndarray:
    codes = np.random.default_rng(2).normal(size=(2, 128)).astype(np.float32)
    return 1.5 * codes / np.linalg.norm(codes, axis=1, keepdims=True)


def test_what_is_in_the_hole_is_never_read(inpainter, crops, meshes, codes):
    """Any other px inside the hole give the same output, byte for byte; one px beside it does not."""
    hole = inpainter.hole() > 0
    other = crops.copy()
    other[:, hole] = np.random.default_rng(7).integers(0, 255, (2, int(hole.sum()), 3))
    near = crops.copy()
    near[:, 70, 18] = 255 - near[:, 70, 18]

    painted = inpainter.inpaint(crops, meshes, codes)
    assert np.array_equal(painted[:, hole], inpainter.inpaint(other, meshes, codes)[:, hole])
    assert not np.array_equal(painted[:, hole], inpainter.inpaint(near, meshes, codes)[:, hole])


def test_a_face_does_not_depend_on_its_neighbours(inpainter, crops, meshes, codes):
    """One at a time or together: the same bytes, and px outside the hole are those that came in."""
    together = inpainter.inpaint(crops, meshes, codes)

    assert np.array_equal(together[1:], inpainter.inpaint(crops[1:], meshes[1:], codes[1:]))
    assert np.array_equal(together[:, inpainter.hole() == 0], crops[:, inpainter.hole() == 0])


@pytest.mark.parametrize("conditioning", ["sketch", "keypoints"])
def test_it_paints_what_the_net_paints(conditioning, crops, meshes, codes, tmp_path):
    """OpenVINO's px are those of the net in f32, give or take a few levels, for either conditioning."""
    torch.manual_seed(3)
    save_generator(Generator(conditioning), path := tmp_path / "net.safetensors", conditioning)
    painted = Inpainter(ModelSettings(), conditioning, path).inpaint(crops[:1], meshes[:1], codes[:1])
    hole, told = facecrop.hole(), conditions(meshes[:1], 128, conditioning)
    with torch.no_grad():
        new = load_generator(path, conditioning)(to_tensor(crops[:1]), torch.from_numpy(hole)[None, None], *told, torch.from_numpy(codes[:1]))

    levels = (new[0].clamp(-1, 1).permute(1, 2, 0).numpy() + 1) * 127.5
    off = np.abs(painted[0] - levels)[hole > 0]
    assert levels[hole > 0].std() > 1
    assert (off.max() < 6, off.mean() < 1) == (True, True)


def test_code_and_mesh_say_what_is_painted(inpainter, crops, meshes, codes):
    """Another code is another face, another mesh the face elsewhere."""
    first = inpainter.inpaint(crops[:1], meshes[:1], codes[:1]).astype(int)
    hole = inpainter.hole() > 0

    assert np.abs(inpainter.inpaint(crops[:1], meshes[:1], codes[1:]) - first)[:, hole].mean() > 2
    assert np.abs(inpainter.inpaint(crops[:1], meshes[1:], codes[:1]) - first)[:, hole].mean() > 2


def test_commercial_refuses_the_shipped_weights():
    """They learned from portraits of a non-commercial generator."""
    with pytest.raises(LicenceRefused, match="inpaint_sketch"):
        Inpainter(ModelSettings(licences="commercial"))


def test_the_hole_covers_the_mesh(meshes):
    """Every point of an upright face lies in the hole, and the embedder's view inside the crop."""
    hole = facecrop.hole()

    x, y = np.rint(meshes[0]).astype(int).T
    assert (hole[y, x] == 1).mean() > 0.99
    assert max(facecrop.CHIP[:2]) + facecrop.CHIP[2] <= facecrop.SIDE_PX


@pytest.mark.parametrize("conditioning", ["sketch", "keypoints"])
@pytest.mark.parametrize("side_px", [64, 128])
def test_both_conditionings_work_at_both_sizes(conditioning, side_px, meshes):
    """The same weights paint crops of 64 and 128 px; the discriminator judges patches of both."""
    planes, maps = conditions([facecrop.scaled(mesh, side_px) for mesh in meshes], side_px, conditioning)
    hole = torch.from_numpy(facecrop.hole(side_px))[None, None]

    painted = Generator(conditioning)(torch.zeros(2, 3, side_px, side_px), hole, planes, maps, torch.zeros(2, 128))
    score, _ = Discriminator(conditioning)(painted, planes, maps)
    assert painted.shape == (2, 3, side_px, side_px)
    assert score.shape == (2, 1, side_px // 16, side_px // 16)


def test_a_new_net_starts_without_a_grid():
    """Before any training the px of each 2x2 come from the same weights."""
    net = Generator()
    groups = net.spread.weight.reshape(16, 4, -1)

    assert torch.equal(groups, groups[:, :1].expand_as(groups))


def test_weights_of_another_kind_are_refused(tmp_path):
    """Missing, made for another conditioning, of other shapes: a clear error."""
    net = Generator("keypoints")
    save_generator(net, tmp_path / "points.safetensors", "keypoints")
    save_generator(net, tmp_path / "lying.safetensors", "sketch")

    load_generator(tmp_path / "points.safetensors", "keypoints")
    for name, said in (("none", "no weights"), ("points", "'keypoints', not 'sketch'"), ("lying", "stem.weight")):
        with pytest.raises(WeightsUnavailable, match=said):
            load_generator(tmp_path / f"{name}.safetensors", "sketch")
