"""Checkpoints of the published layouts, made here with exactly their names and shapes: they load, they run, and what does not fit is named."""

from __future__ import annotations

import sys

import h5py
import numpy as np
import pytest
import torch

from faceanon.core import facecrop
from faceanon.core.errors import LicenceRefused, SettingsError, WeightsUnavailable
from faceanon.core.records import Painted
from faceanon.core.settings import ModelSettings, RenderSettings, Settings
from faceanon.models import catalog, given
from faceanon.models.cleanir_published import Decoder, Encoder, PublishedCleanir, turned
from faceanon.models.deepprivacy_published import Generator, PublishedDeepPrivacy, load, one_hot
from faceanon.models.fakes import FakeMesh, mean_mesh
from faceanon.models.keyed import normals
from faceanon.render.inpaint import InpaintEngine

WIDTH = 32  # narrow, so that it is quick; the paper's has 256


@pytest.fixture(autouse=True)
def same_numbers():
    """Made-up weights are the same in every run."""
    torch.manual_seed(3)


def unit(prefix: str, into: int, out: int, kernel: int) -> dict[str, tuple[int, ...]]:
    return {f"{prefix}.bias": (1, out, 1, 1), f"{prefix}.conv.weight": (out, into, kernel, kernel)}


def pair(prefix, into, out):
    return {**unit(f"{prefix}.0.0", into, out, 3), **unit(f"{prefix}.1.0", out, out, 3)}


def published_shapes(s: int = WIDTH) -> dict[str, tuple[int, ...]]:
    """A generator grown five times, of width s: 4 to 32 px have s channels, 64 half, 128 a quarter."""
    shapes = {**unit("to_rgb_new", s // 4, 3, 1), **unit("to_rgb_old", s // 2, 3, 1), **unit("from_rgb_new.0", 3, s // 4, 1), **unit("from_rgb_old.1.0", 3, s // 2, 1)}
    shapes |= pair("new_down.0.model", s // 4, s // 2)
    for number, (into, out) in enumerate([(s // 2, s), (s, s), (s, s), (s, s), (s, s)]):
        shapes |= pair(f"core_blocks_down.{number}.model", into, out)
    for number, (joined, out) in enumerate([(s + 7 + 32, s), (2 * s + 7, s), (2 * s + 7, s), (2 * s + 7, s), (2 * s + 7, s // 2)]):
        shapes |= unit(f"core_blocks_up.{number}.0.0", joined, s, 1) | pair(f"core_blocks_up.{number}.1.model", s, out)
    return shapes | unit("new_up.0.0", 2 * (s // 2) + 7, s // 2, 1) | pair("new_up.1.model", s // 2, s // 4)


def checkpoint(path, shapes=None, entry="running_average_generator", **changes):
    parameters = {name: torch.randn(shape) * (0.1 if name.endswith("bias") else 1) for name, shape in (shapes or published_shapes()).items()}
    torch.save({entry: {"transition_step": 5, "transition_value": 1.0, "parameters": parameters, **changes}, "global_step": 12}, path)
    return path


def inputs():
    crop = np.random.default_rng(1).integers(0, 255, (2, 128, 128, 3), np.uint8)
    mesh = (mean_mesh()[:, :2] * 75 + 64).astype(np.float32)
    codes = np.random.default_rng(2).normal(0, 0.1, (2, 128)).astype(np.float32)
    return crop, np.stack([mesh, mesh]), codes


def test_the_published_generators_have_the_published_size():
    """12 M parameters as in the paper, 46.9 M for the large one; CLEANIR's two nets to the last one."""
    sizes = [sum(p.numel() for p in Generator(width).parameters()) for width in (256, 512)]
    counts = [sum(t.numel() for name, t in net.state_dict().items() if "num_batches" not in name) for net in (Encoder(), Decoder())]

    assert [round(size / 1e6, 1) for size in sizes] == [11.7, 46.9]
    assert counts == [7_258_240, 13_897_027]


@pytest.mark.parametrize("entry", ["running_average_generator", "G"])
def test_a_deepprivacy_checkpoint_loads_and_paints(entry, tmp_path):
    """Every stored tensor ends in the net; what lies in the face's box is never read; the code alone decides between two faces."""
    path = checkpoint(tmp_path / "g.ckpt", entry=entry)
    stored = torch.load(path)[entry]["parameters"]

    net = load(path)
    painter = PublishedDeepPrivacy(path, ModelSettings())
    crops, meshes, codes = inputs()
    painted = painter.inpaint(crops, meshes, codes)
    hidden = painter.hole() > 0
    blind = crops.copy()
    blind[:, hidden] = 3

    own = sorted(float(t.sum()) for t in net.state_dict().values())
    assert own == sorted(float(t.sum()) for t in stored.values())
    assert painted.shape == crops.shape
    assert np.array_equal(painted, painter.inpaint(blind, meshes, codes))
    assert not np.array_equal(painted[0], painter.inpaint(crops[:1], meshes[:1], codes[1:])[0])


def test_a_deepprivacy_checkpoint_in_the_middle_of_growing_is_faded(tmp_path):
    """Half way through a transition the old layers count."""
    whole, half = (load(checkpoint(tmp_path / f"{value}.ckpt", transition_value=value)) for value in (1.0, 0.5))
    half.load_state_dict(whole.state_dict())
    asked = (torch.randn(1, 3, 128, 128), torch.rand(1, 7, 2), torch.randn(1, 32, 4, 4))

    assert not torch.allclose(whole(*asked), half(*asked))


def test_blocks_may_be_numbered_from_the_smallest(tmp_path):
    """The way down, numbered the other way round, is the same net."""
    shapes = published_shapes()
    path = checkpoint(tmp_path / "a.ckpt", shapes)
    data = torch.load(path)
    entry = data["running_average_generator"]
    number = {str(k): str(4 - k) for k in range(5)}
    entry["parameters"] = {
        ".".join([first, number[rest[0]], *rest[1:]]) if first == "core_blocks_down" else name: tensor
        for name, tensor in entry["parameters"].items()
        for first, *rest in [name.split(".")]
    }
    torch.save(data, tmp_path / "b.ckpt")

    one, two = load(path).state_dict(), load(tmp_path / "b.ckpt").state_dict()

    assert all(torch.equal(one[name], two[name]) for name in one)


def test_what_does_not_fit_deepprivacy_is_listed(tmp_path):
    """Missing, unexpected and ill-shaped entries are all named in one error; another file is no checkpoint."""
    shapes = published_shapes()
    del shapes["new_up.0.0.bias"], shapes["to_rgb_new.bias"], shapes["to_rgb_new.conv.weight"]
    shapes |= {"stray.conv.weight": (3, 3, 1, 1), "core_blocks_up.1.0.0.conv.weight": (WIDTH, 2 * WIDTH, 1, 1)}

    with pytest.raises(WeightsUnavailable) as said:
        load(checkpoint(tmp_path / "bad.ckpt", shapes))
    (tmp_path / "text").write_text("no pickle")

    shape = f"core_blocks_up.1.0.0.conv.weight: ({WIDTH}, {2 * WIDTH}, 1, 1), not ({WIDTH}, {2 * WIDTH + 7}, 1, 1)"
    for word in ("missing: to_rgb_new", "unexpected: stray", shape, "new_up: 5 tensors, not 6"):
        assert word in str(said.value)
    with pytest.raises(WeightsUnavailable, match="no checkpoint of DeepPrivacy"):
        load(tmp_path / "text")


def test_keypoints_are_one_hot_and_vanish_outside():
    """A keypoint lights the one cell it lies in; outside of the crop it lights none."""
    points = torch.tensor([[[0.5, 0.25], [0.999, 0.0], [-0.1, 0.5], [0.5, 1.0], [0, 0], [0, 0], [0, 0]]])

    maps = one_hot(points, 8)

    assert maps.sum((2, 3)).tolist() == [[1, 1, 0, 0, 1, 1, 1]]
    assert (maps[0, 0, 2, 4], maps[0, 1, 0, 7]) == (1, 1)


def keras(folder, first_number: int = 1, leave_out: str = "", whole: bool = True, reshape: str = ""):
    """encoder.h5 and decoder.h5 as Keras 2.2 writes them: layers numbered in the order of making, the second file going on where the first ends."""
    folder.mkdir(exist_ok=True)
    count = {"conv2d": first_number, "dense": first_number, "batch_normalization": first_number}
    for net, name in ((Encoder(), "encoder.h5"), (Decoder(), "decoder.h5")):
        with h5py.File(folder / name, "w") as file:
            root = file.create_group("model_weights") if whole else file
            root.create_group("leaky_re_lu_1")
            for module in net.modules():
                kind = {"Conv": "conv2d", "Linear": "dense", "BatchNorm2d": "batch_normalization", "BatchNorm1d": "batch_normalization"}.get(type(module).__name__)
                if kind is None:
                    continue
                layer = f"{kind}_{count[kind]}"
                count[kind] += 1
                if kind == "batch_normalization":
                    arrays = {"gamma": module.weight, "beta": module.bias, "moving_mean": module.running_mean, "moving_variance": module.running_var}
                else:
                    order = (2, 3, 1, 0) if kind == "conv2d" else (1, 0)
                    arrays = {"kernel": module.weight.permute(order), "bias": module.bias}
                made = {"kernel": lambda a: torch.randn(a.shape) / a[..., 0].numel() ** 0.5, "bias": lambda a: torch.randn(a.shape) * 0.1}
                arrays = {key: made.get(key, lambda a: torch.rand(a.shape) + 0.5)(array.detach()) for key, array in arrays.items()}
                if layer == reshape:
                    arrays["kernel"] = arrays["kernel"][..., 1:]
                for key, array in arrays.items():
                    if layer != leave_out:
                        root.create_dataset(f"{layer}/{layer}/{key}:0", data=array.numpy())
    return folder


@pytest.mark.parametrize(("first", "whole"), [(1, True), (17, False)])
def test_cleanir_files_load_and_paint(first, whole, tmp_path):
    """Kernels land where they belong, turned round; a crop becomes another one, and another person's code another again."""
    folder = keras(tmp_path / "k", first, whole=whole)
    painter = PublishedCleanir(folder, 120.0, ModelSettings())
    crops = np.random.default_rng(1).integers(0, 255, (2, 64, 64, 3), np.uint8)
    _, meshes, codes = inputs()

    painted = painter.inpaint(crops, meshes, codes)

    with h5py.File(folder / "encoder.h5") as file:
        root = file["model_weights"] if whole else file
        kernel = root[f"conv2d_{first + 12}/conv2d_{first + 12}/kernel:0"][()]  # the stem, 5 a stage, then the third stage's second
        variance = root[f"batch_normalization_{first}/batch_normalization_{first}/moving_variance:0"][()]
    assert torch.equal(painter._encoder.blocks[4].second.weight, torch.from_numpy(kernel.transpose(3, 2, 0, 1)))
    assert torch.equal(painter._encoder.stem_norm.running_var, torch.from_numpy(variance))
    assert painted.shape == crops.shape
    assert not np.array_equal(painted[0], painter.inpaint(crops[:1], meshes[:1], codes[1:])[0])


def test_what_does_not_fit_cleanir_is_listed(tmp_path):
    """A missing layer, a kernel of another shape and a file that is none are named."""
    with pytest.raises(WeightsUnavailable, match=r"conv2d_3: kernel \(3, 3, 64, 63\) does not fit"):
        PublishedCleanir(keras(tmp_path / "shape", reshape="conv2d_3"), 120.0, ModelSettings())
    with pytest.raises(WeightsUnavailable, match=r"missing: the dense for log_variance"):
        PublishedCleanir(keras(tmp_path / "gone", leave_out="dense_3"), 120.0, ModelSettings())
    for name in given.CLEANIR_FILES:
        (tmp_path / name).write_text("text")
    with pytest.raises(WeightsUnavailable, match="no HDF5 file"):
        PublishedCleanir(tmp_path, 120.0, ModelSettings())


def test_without_h5py_the_error_says_what_to_install(tmp_path, monkeypatch):
    """The reader of HDF5 is optional."""
    folder = keras(tmp_path / "k")
    monkeypatch.setitem(sys.modules, "h5py", None)

    with pytest.raises(WeightsUnavailable, match=r"faceanon\[cleanir\]"):
        PublishedCleanir(folder, 120.0, ModelSettings())


def test_a_turn_keeps_the_length_and_the_angle():
    """An identity of unit length, turned by 120 degrees, is of unit length and at 120 degrees; another code gives another plane."""
    identity = torch.nn.functional.normalize(torch.randn(3, 512))
    one, two = (turned(identity, code, 120.0) for code in np.eye(2, 128, dtype=np.float32))

    assert torch.allclose(one.norm(dim=1), torch.ones(3), atol=1e-5)
    assert torch.allclose((one * identity).sum(1), torch.full((3,), -0.5), atol=1e-5)
    assert float((one * two).sum(1).max()) < 0.6
    assert abs(float(normals(np.ones(4, np.float32), 4096).std()) - 1) < 0.05


def test_the_catalog_loads_what_is_given_and_pins_it(tmp_path):
    """The layout follows from the file; a file that changes after the run began is refused, and so is a published one for commercial use."""
    path = checkpoint(tmp_path / "g.ckpt")
    settings = given.pinned(Settings().with_values(render__engine="deepprivacy", render__variant="paper", render__weights=str(path)))

    loaded = catalog.load_models(settings, need=frozenset({"inpainter"})).inpainter
    rows = catalog.model_rows(settings)
    checkpoint(path)

    assert isinstance(loaded, PublishedDeepPrivacy)
    assert rows[-1]["model_id"] == settings.render.weights_sha256
    with pytest.raises(WeightsUnavailable, match="other weights"):
        catalog.load_models(settings, need=frozenset({"inpainter"}))
    with pytest.raises(LicenceRefused, match="commercial"):
        catalog.check_licences(settings.with_values(models__licences="commercial"))
    with pytest.raises(SettingsError, match="not one of cleanir"):
        Settings().with_values(render__engine="cleanir", render__variant="paper")


@pytest.mark.parametrize("engine", ["deepprivacy", "cleanir"])
def test_published_nets_paint_in_the_engine(engine, tmp_path):
    """Through the engine a face is painted in its place; DeepPrivacy's net is never shown the face, CLEANIR's is."""
    from faceanon.core.picture import Picture, PlaneFormat
    from faceanon.core.records import Method, RegionTable

    if engine == "deepprivacy":
        painter = PublishedDeepPrivacy(checkpoint(tmp_path / "g.ckpt"), ModelSettings())
    else:
        painter = PublishedCleanir(keras(tmp_path / "k"), 120.0, ModelSettings())
    shown = []
    plain = painter.inpaint
    painter.inpaint = lambda crops, meshes, codes: shown.append(crops) or plain(crops, meshes, codes)
    face = np.tile(np.array([[60, 50, 130, 135]], np.float32), (9, 1))
    points = np.full((9, 5, 2), np.nan, np.float32)
    table = RegionTable(np.arange(9, dtype=np.int32), *(np.zeros(9, np.int32),) * 2, face, face, points, np.full(9, Method.ENGINE, np.uint8), np.zeros(9, np.uint8))
    planes = np.full((200, 200), 40, np.uint8)
    planes[50:135, 60:130] = 220
    pictures = [Picture(k, k, (planes.copy(),), PlaneFormat(8, None, True, "bt709")) for k in range(9)]

    class Mesh(FakeMesh):
        def fit(self, image, points, box):
            return super().fit(image, points, box)[0], 0.95

    made = InpaintEngine(RenderSettings(engine=engine), Mesh(), None, None, painter, {0: tuple(np.ones(128).tolist())})
    out = list(made.paint(pictures, table))

    assert {row.painted for _, rows in out for row in rows} == {Painted.FACE}
    assert all((picture.planes[0] != planes)[70:120, 75:115].mean() > 0.9 for picture, _ in out)
    middle = painter.side_px // 2
    assert (shown[0][0, middle, middle] > 200).all() == (engine == "cleanir")
    assert facecrop.SIDE_PX == 128
