"""The training of the inpainting nets, on pictures of noise: same seed, same bytes, also where it was interrupted or shared."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from faceanon.commands import train
from faceanon.core import facecrop
from faceanon.core.errors import UsageError
from faceanon.models import sketch
from faceanon.models.inpaint_net import Generator, Student
from faceanon.models.inpainter import load_generator, save_generator
from faceanon.training import batches, faces, losses, paintings, sheets, student
from faceanon.training.faces import MARGIN_PX, Faces, people_of
from faceanon.training.loop import Phase, Plan, Training, growing

ROOT = Path(__file__).parent.parent.parent


def some_faces(count: int = 6) -> Faces:
    """A grainy colour each, with points in the face's place; every second one a composite."""
    random = np.random.default_rng(3)
    images = (random.integers(30, 220, (count, 1, 1, 3)) + random.integers(-20, 20, (count, 160, 160, 1))).astype(np.uint8)
    meshes = random.uniform(40, 100, (count, 468, 3)).astype(np.float32) + MARGIN_PX
    return Faces(images, meshes, random.normal(size=(count, 128)).astype(np.float32), np.arange(count), np.arange(count) % 2 == 1)


@pytest.fixture(autouse=True)
def small_sheets(monkeypatch):
    monkeypatch.setattr(sheets, "ROWS", 2)


def plan(*steps: int) -> Plan:
    return Plan(tuple(Phase(side, n, 2, plain_steps=0) for side, n in zip((64, 128), steps, strict=False)), save_every=1, log_every=1)


def trained(folder: Path, what: Plan, start: Path | None = None) -> bytes:
    torch.set_num_threads(1)
    training = Training(what, some_faces(), None, folder, start)
    training.run(lambda *_: None)
    return training.weights.read_bytes()


def test_a_training_that_was_interrupted_ends_with_the_same_weights(tmp_path, monkeypatch):
    """State holds all that matters: nets, averages, both optimisers, phase and step; the discriminator begins anew with large crops."""
    whole = trained(tmp_path / "whole", plan(2, 1))
    one = Training._one
    monkeypatch.setattr(Training, "_one", stops_at(1, one))
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "halved", plan(2, 1))
    assert not (tmp_path / "halved" / "sheet_000002.png").exists()
    monkeypatch.setattr(Training, "_one", one)

    assert trained(tmp_path / "halved", plan(2, 1)) == whole
    rows = [json.loads(line) for line in (tmp_path / "halved" / "losses.jsonl").read_text().splitlines()]
    assert [row["side_px"] for row in rows if row["step"] > 2] == [128]
    assert {"pixels", "matching", "adversarial", "judge"} <= set(rows[-1])
    assert (tmp_path / "halved" / "sheet_000003.png").exists()


def stops_at(step: int, one):
    def stopping(self, phase, within):
        if self.step == step:
            raise KeyboardInterrupt
        return one(self, phase, within)

    return stopping


def test_the_net_learns(tmp_path):
    """Forty steps on one picture bring the painted px nearer to the true ones."""
    torch.set_num_threads(1)
    one = some_faces(1)
    Training(Plan((Phase(64, 40, 1, plain_steps=100),), log_every=1, save_every=100), one, None, tmp_path).run(lambda *_: None)

    rows = [json.loads(line)["pixels"] for line in (tmp_path / "losses.jsonl").read_text().splitlines()]
    assert np.mean(rows[-5:]) < 0.6 * np.mean(rows[:5])


def test_it_goes_on_from_shipped_weights(tmp_path):
    """--start takes the averaged weights of another training, its mean and scale of codes included."""
    trained(tmp_path / "first", plan(2))
    net = load_generator(tmp_path / "first" / "inpaint_sketch.safetensors", "sketch")
    net.code_mean += 1
    save_generator(net, tmp_path / "other.safetensors", "sketch")

    training = Training(plan(2), some_faces(), None, tmp_path / "second", tmp_path / "other.safetensors")
    assert torch.equal(training._net.code_mean, net.code_mean)
    assert all(torch.equal(a, b) for a, b in zip(training._net.parameters(), net.parameters(), strict=True))


def test_two_ranks_train_one_net(tmp_path):
    """torchrun and gloo: one set of weights, one log, and a finished training says so when it is called again."""
    faces.write(tmp_path / "faces" / "faces_00000.npz", some_faces())
    job = ["-m", "faceanon", "train", "deepprivacy", "--faces", str(tmp_path / "faces"), "--output", str(tmp_path / "out")]
    job += ["--steps", "2", "--small", "1", "--batch", "2", "--student-steps", "2"]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *job]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"})

    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("after 2 steps") == 1
    assert len((tmp_path / "out" / "losses.jsonl").read_text().splitlines()) == 1
    load_generator(tmp_path / "out" / "inpaint_sketch.safetensors", "sketch")


def test_one_seed_and_step_give_one_batch():
    """The random changes follow from the seed; without them a batch is the canonical crop."""
    known, rows = some_faces(), np.array([0, 3])
    same = [batches.draw(known, rows, np.random.default_rng(5), 128, "sketch") for _ in range(2)]
    steady = batches.draw(known, rows, np.random.default_rng(5), 128, "sketch", steady=True)

    assert torch.equal(same[0].pictures, same[1].pictures)
    assert not torch.equal(same[0].pictures, steady.pictures)
    inner = known.images[3, MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX]
    assert np.abs((steady.pictures[1].permute(1, 2, 0).numpy() + 1) * 127.5 - inner).max() < 1.01


@pytest.mark.parametrize(("points", "others"), [(sketch.landmarks, sketch.MIRRORED), (sketch.keypoints, sketch.MIRRORED_KEYPOINTS)])
def test_a_mirrored_face_has_mirrored_maps(points, others):
    """Of a face that is its own mirror image, maps that are flipped and renamed are the maps again."""
    mesh = mirror_image_mesh()
    maps = sketch.heatmaps(points(mesh), 128)

    assert np.abs(maps[list(others)][:, :, ::-1] - maps).max() < 1e-3
    assert np.abs(maps[:, :, ::-1] - maps).max() > 0.5


def mirror_image_mesh() -> np.ndarray:
    """(468, 2) px of a crop of 128: what matters to maps lies as a face's points do, left like right."""
    mesh = np.zeros((468, 2), np.float32)
    pairs = [(234, 454), (132, 361), (172, 397), (70, 300), (105, 334), (107, 336), (98, 327), (33, 263), (159, 386), (133, 362), (145, 374), (61, 291)]
    places = np.random.default_rng(2).uniform((20, 30), (60, 110), (len(pairs), 2))
    for (left, right), (x, y) in zip(pairs, places, strict=True):
        mesh[left], mesh[right] = (x, y), (127 - x, y)
    mesh[[152, 168, 1, 0, 17, 13, 14]] = np.stack([np.full(7, 63.5), np.linspace(40, 110, 7)], 1)
    return mesh


def test_px_in_the_hole_and_on_features_count_more():
    """1 outside, 2 in the hole, 4 on lips, eyes and brows."""
    hole = torch.from_numpy(facecrop.hole(64))[None, None]
    planes = torch.zeros(1, 4, 64, 64)
    planes[0, 2, 30, 30] = 1

    weight = losses.where(hole, planes)[0, 0]
    assert (weight[0, 0], weight[45, 40], weight[30, 30]) == (1, 2, 4)


def test_the_student_comes_nearer_to_the_embedder(tmp_path):
    """A few steps bring its codes nearer to the embedder's on the faces it sees; its file brings the same net back."""
    rows = []
    net = student.train(some_faces(16), tmp_path, 20, 1, lambda _, __, row: rows.append(row))

    again = student.load(tmp_path / student.FILE)
    assert rows[-1]["cosine"] > 0.15
    chips = torch.zeros(1, 3, 64, 64)
    assert torch.equal(net(chips)[0], again(chips)[0])


def test_weights_may_go_half_the_way_back(tmp_path):
    """With keep, what is written lies between the net that was started from and the one that was trained; the training itself is the same."""
    trained(tmp_path / "first", plan(1))
    start = tmp_path / "first" / "inpaint_sketch.safetensors"
    nets = []
    for keep in (0.0, 0.5, 1.0):
        trained(tmp_path / f"{keep}", replace(plan(2), phases=(Phase(64, 2, 2, rate=0.5, plain_steps=0),), keep=keep), start)
        nets.append(load_generator(tmp_path / f"{keep}" / start.name, "sketch").stem.weight)

    assert (nets[0] - nets[2]).abs().max() > 5e-3
    assert torch.allclose(nets[1], (nets[0] + nets[2]) / 2, atol=5e-4)
    assert torch.equal(nets[2], load_generator(start, "sketch").stem.weight)


def test_codes_may_reach_less_far(tmp_path):
    """With reach, the written net takes half of a code's distance from the mean; the training itself is the same."""
    written = []
    for reach in (1.0, 0.5):
        trained(tmp_path / f"{reach}", replace(plan(1), reach=reach))
        written.append(load_generator(tmp_path / f"{reach}" / "inpaint_sketch.safetensors", "sketch"))

    code = torch.ones(1, 128)
    assert torch.allclose(written[1].normal(code), written[0].normal(code) / 2)
    assert torch.equal(written[1].stem.weight, written[0].stem.weight)


class CountingEmbedder:
    """Codes that follow the picture's colours."""

    def __init__(self):
        self.calls = 0

    def embed(self, image, points, box):
        self.calls += 1
        return np.tile(image.reshape(-1, 3).mean(0).astype(np.float32) / 255, 43)[:128]


def test_the_student_is_shown_what_the_net_paints(tmp_path, monkeypatch):
    """Every few steps strangers are painted, embedded and learnt; an interrupted training ends with the same student and net."""
    torch.set_num_threads(1)
    monkeypatch.setattr(paintings, "A_LOOK", 16)
    monkeypatch.setattr(student, "STEPS_A_LOOK", 2)
    what = replace(plan(4), look_every=2)
    states = {}
    for name, breaks in (("whole", ()), ("halved", (3,))):
        folder, embedder = tmp_path / name, CountingEmbedder()
        torch.manual_seed(9)
        first = {key: value.clone() for key, value in Student().state_dict().items()}
        for stop in (*breaks, 99):
            with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
                patch.setattr(Training, "_one", stops_at(stop, Training._one))
                imitator = Student().eval()
                imitator.load_state_dict(first)
                Training(what, some_faces(), imitator, folder, None, embedder).run(lambda *_: None)
        states[name] = imitator.state_dict(), (folder / "inpaint_sketch.safetensors").read_bytes()
        assert embedder.calls == 16

    assert any(not torch.equal(first[key], value) for key, value in states["whole"][0].items())
    assert all(torch.equal(states["halved"][0][key], value) for key, value in states["whole"][0].items())
    assert states["halved"][1] == states["whole"][1]
    rows = [json.loads(line) for line in (tmp_path / "whole" / "losses.jsonl").read_text().splitlines()]
    assert [-1 <= row.get("asked_and_got", 9) <= 1 and -1 <= row["student"] <= 1 for row in rows if "student" in row] == [True]


def test_paintings_show_the_net_s_face_in_its_place(tmp_path, monkeypatch):
    """In the hole the net's px, around it the context's; the shard is what the student is given."""
    monkeypatch.setattr(paintings, "A_LOOK", 16)
    known = some_faces()
    paintings.add(tmp_path, 7, Generator().eval(), known, people_of(known), CountingEmbedder(), np.random.default_rng(1), 128, "sketch")

    got = paintings.latest(tmp_path, 7)
    hole = np.pad(facecrop.hole(), MARGIN_PX) > 0
    contexts = [next(image for image in known.images if np.array_equal(image[0, 0], new[0, 0])) for new in got.images]
    assert all(np.abs(new[~hole].astype(int) - old[~hole]).max() <= 1 for new, old in zip(got.images, contexts, strict=True))
    assert all(np.abs(new[hole].astype(int) - old[hole]).mean() > 5 for new, old in zip(got.images, contexts, strict=True))
    assert got.composite.all()


def test_strangers_lie_around_people_who_resemble_each_other():
    """Codes stay near one of two groups of people, and no two are alike."""
    random = np.random.default_rng(1)
    centres = 3 * random.normal(size=(2, 128))
    people = np.concatenate([centre + 0.1 * random.normal(size=(60, 128)) for centre in centres]).astype(np.float32)

    codes = batches.strangers(people, 8, np.random.default_rng(2))
    nearest = np.linalg.norm(codes[:, None] - centres[None], axis=2).min(1)
    spread = np.linalg.norm(people[:60] - centres[0], axis=1).mean()
    assert ((nearest > 0.7 * spread) & (nearest < 2.2 * spread)).all()
    assert np.linalg.norm(codes[:, None] - codes[None], axis=2)[np.triu_indices(8, 1)].min() > 0.3 * spread
    assert np.array_equal(codes, batches.strangers(people, 8, np.random.default_rng(2)))


def test_a_change_is_judged_by_direction_and_length():
    """Nothing for the wanted change or more of it; half a point for half of it, one more for each right angle."""
    wanted = torch.eye(128)[:1] * 4

    assert losses.change(wanted, wanted).item() == pytest.approx(0, abs=1e-6)
    assert losses.change(2 * wanted, wanted).item() == pytest.approx(0, abs=1e-6)
    assert losses.change(0.5 * wanted, wanted).item() == pytest.approx(0.5)
    assert losses.change(wanted.roll(1, 1), wanted).item() == pytest.approx(2)


def test_growing_begins_small():
    """Half of the steps at 64 px; with none there, large crops from the first step."""
    assert [(p.side_px, p.steps) for p in growing(10)] == [(64, 5), (128, 5)]
    assert [(p.side_px, p.steps) for p in growing(10, small=0.0)] == [(128, 10)]


def test_what_cannot_be_trained_is_said(tmp_path):
    """No faces, nothing to resume, nothing to make: each is a UsageError that names the way out."""
    parser = train.argparse.ArgumentParser()
    train.add_arguments(parser)
    for arguments, said in (
        (["dataset", "--output", str(tmp_path)], "--synthetic"),
        (["cleanir", "--faces", str(tmp_path), "--output", str(tmp_path), "--resume"], "nothing to resume"),
        (["cleanir", "--faces", str(tmp_path / "none"), "--output", str(tmp_path)], "no pictures"),
    ):
        with pytest.raises(UsageError, match=said):
            train.run(parser.parse_args(arguments))
