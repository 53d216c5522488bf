"""The training of the baselines, on pictures of noise: same seed, same bytes, also where it was interrupted; nets grow without a jump."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch.nn import functional

from faceanon.commands import train
from faceanon.core.errors import UsageError, WeightsUnavailable
from faceanon.core.settings import ModelSettings
from faceanon.models import cleanir_published, deepprivacy_published, sketch
from faceanon.models.cleanir_published import PublishedCleanir
from faceanon.models.deepprivacy_published import NOISE, Generator, PublishedDeepPrivacy
from faceanon.models.fakes import mean_mesh
from faceanon.models.inpaint_net import Generator as Ours
from faceanon.training import baseline, faces, paper, sheets, vae
from faceanon.training.faces import SIDE_PX, Faces
from faceanon.training.paper_nets import Judge, grown_generator, grown_judge
from faceanon.training.start import told_keypoints

PAPER = paper.Plan(steps=5, width=32, batch=2, shares=(1, 1, 1, 1, 1))
VAE = vae.Plan(steps=3, width=32, batch=4)


def some_faces(count: int = 6) -> Faces:
    """A grainy colour each, with an average face's points; every second one a composite."""
    random = np.random.default_rng(3)
    images = (random.integers(30, 200, (count, 1, 1, 3)) + random.integers(-20, 20, (count, SIDE_PX, SIDE_PX, 1))).astype(np.uint8)
    mesh = faces.view(np.zeros((500, 500, 3), np.uint8), (200 * (mean_mesh() + 1.25)).astype(np.float32))[1]
    return Faces(images, np.stack([mesh] * count), random.normal(size=(count, 128)).astype(np.float32), np.arange(count), np.arange(count) % 2 == 1)


@pytest.fixture(autouse=True)
def small_sheets(monkeypatch):
    monkeypatch.setattr(sheets, "ROWS", 2)
    torch.set_num_threads(1)


def recipe(kind: str) -> baseline.Recipe:
    return paper.Paper(PAPER, some_faces()) if kind == "paper" else vae.Vae(VAE, some_faces())


@pytest.mark.parametrize("kind", ["paper", "vae"])
def test_an_interrupted_training_ends_with_the_same_weights(kind, tmp_path):
    """State holds all that matters, also where the nets grow with the very next step."""
    whole = baseline.run(recipe(kind), tmp_path / "whole", lambda *_: None, save_every=1, log_every=1).read_bytes()
    halved = recipe(kind)
    plain = halved.one
    halved.one = lambda step: plain(step) if step < 2 else stop()
    with pytest.raises(KeyboardInterrupt):
        baseline.run(halved, tmp_path / "halved", lambda *_: None, save_every=1)
    assert not (tmp_path / "halved" / "sheet_000003.png").exists()

    assert baseline.run(recipe(kind), tmp_path / "halved", lambda *_: None, save_every=1, log_every=1).read_bytes() == whole
    rows = [json.loads(line) for line in (tmp_path / "whole" / "losses.jsonl").read_text().splitlines()]
    assert [row.get("side_px") for row in rows] == ([8, 16, 32, 64, 128] if kind == "paper" else [None] * 3)
    assert all(np.isfinite(value) for row in rows for value in row.values())


def test_a_training_goes_on_to_the_steps_it_was_begun_for(tmp_path):
    """Sizes follow shares of the steps, so with another number the nets of the state would not fit: refused by name."""
    baseline.run(recipe("paper"), tmp_path, lambda *_: None, save_every=1)

    with pytest.raises(UsageError, match="begun for 5 steps"):
        baseline.run(paper.Paper(paper.Plan(steps=9, width=32, batch=2, shares=(1, 1, 1, 1, 1)), some_faces()), tmp_path, lambda *_: None, save_every=1)


def stop():
    raise KeyboardInterrupt


def test_sizes_are_faded_in_one_after_another():
    """8 px at once; each further size from little to all of it over the first part of its steps."""
    plan = paper.Plan(steps=100, shares=(1, 1, 1, 1, 1), fade=0.5)

    assert [plan.at(step) for step in (0, 19, 20, 29, 30, 99, 100)] == [(1, 0, 1.0), (1, 19, 1.0), (2, 0, 0.1), (2, 9, 1.0), (2, 10, 1.0), (5, 19, 1.0), (5, 20, 1.0)]


def test_a_net_that_has_just_grown_paints_and_judges_as_before():
    """With nothing faded in, the picture is that of half the size, px doubled, and the score that of the picture at half its size."""
    torch.manual_seed(3)
    net, judge = Generator(32, 2), Judge(32, 2)
    large, points, noise = torch.rand(2, 3, 32, 32), torch.rand(2, 7, 2), torch.randn(2, NOISE, 4, 4)
    small = functional.avg_pool2d(large, 2)
    before, score = net(small, points, noise), judge(small, small, points)
    net, judge = grown_generator(net, 3), grown_judge(judge, 3)
    net.transition_value = judge.transition_value = 0.0

    assert torch.allclose(net(large, points, noise), functional.interpolate(before, scale_factor=2), atol=1e-4)
    assert torch.allclose(judge(large, large, points), score, atol=1e-4)
    assert (net.side_px, net.transition_value, score.shape) == (32, 0.0, (2,))


@pytest.mark.parametrize("view", [paper.VIEW, vae.VIEW])
def test_keypoints_lie_where_the_picture_has_them(view):
    """Turned, shifted or mirrored: a spot on the picture's left eye is under the second keypoint, or, in a mirror, the third."""
    known = some_faces(1)
    known.images[:] = 0
    x, y = np.rint(sketch.keypoints(known.meshes[0])[1]).astype(int)
    known.images[0, y - 2 : y + 3, x - 2 : x + 3] = 255
    seen = set()
    for seed in range(12):
        pictures, points = baseline.draw(known, np.array([0]), np.random.default_rng(seed), view)
        spot = np.array(np.unravel_index(int(pictures[0].sum(0).argmax()), (view.side_px,) * 2))[::-1]
        off = np.abs(points[0].numpy() * view.side_px - spot).max(1)
        seen.add(int(off.argmin()))
        assert off.min() < 4

    assert seen == {1, 2}


def test_codes_are_made_as_wide_in_every_direction():
    """Codes five times as wide along some directions as along most come out nearly even; each has unit length."""
    codes = np.random.default_rng(1).normal(size=(2000, 128)) * np.where(np.arange(128) < 20, 5.0, 1.0) + 3
    even = vae.rounded(codes.astype(np.float32))
    wide = np.sqrt(np.linalg.eigvalsh(np.cov(even.T)))

    assert np.allclose(np.linalg.norm(even, axis=1), 1, atol=1e-4)
    assert wide.max() < 2.5 * wide.min()


def test_the_autoencoder_learns():
    """A few dozen steps bring px and identities nearer to the true ones."""
    one = vae.Vae(vae.Plan(steps=60, width=32, batch=8, rate=3e-3), some_faces())
    rows = [one.one(step) for step in range(60)]

    assert np.mean([float(row["off"]) for row in rows[-5:]]) < 0.8 * float(rows[0]["off"])
    assert np.mean([float(row["identity"]) for row in rows[-5:]]) < 0.9 * float(rows[0]["identity"])


def test_what_is_written_paints_in_the_engines_nets(tmp_path):
    """Width and latent follow from the file; the other variant's file is refused."""
    deepprivacy_published.save(Generator(32), tmp_path / "paper.safetensors")
    cleanir_published.save(cleanir_published.Encoder(256, 32), cleanir_published.Decoder(256, 32), tmp_path / "vae.safetensors")
    meshes, codes = np.full((1, 468, 2), 50, np.float32), np.ones((1, 128), np.float32)
    painters = PublishedDeepPrivacy(tmp_path / "paper.safetensors", ModelSettings()), PublishedCleanir(tmp_path / "vae.safetensors", 120.0, ModelSettings())

    for painter in painters:
        crops = np.zeros((1, painter.side_px, painter.side_px, 3), np.uint8)
        assert painter.inpaint(crops, meshes, codes).std() > 0
    with pytest.raises(WeightsUnavailable, match="'vae', not 'paper'"):
        PublishedDeepPrivacy(tmp_path / "vae.safetensors", ModelSettings())
    with pytest.raises(WeightsUnavailable, match="'paper', not 'vae'"):
        PublishedCleanir(tmp_path / "paper.safetensors", 120.0, ModelSettings())


@pytest.mark.parametrize(("engine", "variant", "weights"), [("deepprivacy", "paper", "deepprivacy_paper"), ("cleanir", "vae", "cleanir_vae")])
def test_the_command_trains_baselines(engine, variant, weights, tmp_path):
    """--variant trains the baseline; what only the other nets have is refused, and so is a net too narrow to grow."""
    faces.write(tmp_path / "faces" / "faces_00000.npz", some_faces())
    parser = train.argparse.ArgumentParser()
    train.add_arguments(parser)
    command = [engine, "--variant", variant, "--faces", str(tmp_path / "faces"), "--output", str(tmp_path / "out"), "--steps", "2", "--batch", "2", "--width"]

    assert train.run(parser.parse_args([*command, "32"])) == 0
    assert (tmp_path / "out" / f"{weights}.safetensors").exists()
    for more, said in ((["32", "--keep", "0.5"], "--keep"), (["8"], "least is 32")):
        with pytest.raises(UsageError, match=said):
            train.run(parser.parse_args([*command, *more]))


def test_a_net_told_the_sketch_goes_on_with_keypoints():
    """A keypoint's heatmap acts as the same heatmap did for every point near it; there is no sketch, and nothing says shoulders."""
    torch.manual_seed(3)
    old = Ours("sketch").eval()
    new = told_keypoints(old).eval()
    picture, hole, code, maps = torch.rand(1, 3, 64, 64), torch.ones(1, 1, 64, 64), torch.rand(1, 128), torch.rand(1, 7, 16, 16)
    same = torch.zeros(1, len(sketch.LANDMARKS), 16, 16)
    for keypoint, points in enumerate([(1,), (33, 159, 133, 145), (362, 386, 263, 374), (234,), (454,)]):
        same[:, [sketch.LANDMARKS.index(point) for point in points]] = maps[:, keypoint : keypoint + 1]

    assert torch.allclose(new(picture, hole, torch.zeros(1, 0, 64, 64), maps, code), old(picture, hole, torch.zeros(1, 4, 64, 64), same, code), atol=1e-4)
