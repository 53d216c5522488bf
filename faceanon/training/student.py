"""Trains the student: a small net that imitates the embedder, since the embedder itself cannot be differentiated. A training aid; never shipped."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from faceanon.models.inpaint_net import Generator, Student
from faceanon.training import batches, losses
from faceanon.training.batches import Batch
from faceanon.training.faces import Faces

FILE = "student.pt"
HELD = 16  # every so many people are held back to test on
BATCH, RATE, DECAY = 32, 2e-3, 1e-2
SIDES = (64, 128)  # of the crops that it sees
LOG_EVERY = 50
NEWEST = 128  # paintings that tell how well it knows them
STEPS_A_LOOK, RATE_OF_LOOKS = 80, 4e-4  # at paintings, once the generator has learnt more


def statistics(faces: Faces) -> tuple[Tensor, Tensor]:
    """Mean code (128,) and the factor (1,) that brings codes to a spread of one."""
    codes = torch.from_numpy(faces.codes)
    mean = codes.mean(0)
    return mean, (1 / (codes - mean).std().clamp(min=1e-3)).reshape(1)


def train(faces: Faces, folder: Path, steps: int, seed: int, on_progress: Callable[[int, int, dict], None], *, bf16: bool = False) -> Student:
    """The student, also written to folder/student.pt; losses go to folder/student.jsonl."""
    mean, scale = statistics(faces)
    held = faces.people % HELD == 0
    own, others = np.flatnonzero(~held), np.flatnonzero(held)
    torch.manual_seed(seed)
    net = Student().to(memory_format=torch.channels_last)
    best = torch.optim.AdamW(net.parameters(), RATE, weight_decay=DECAY)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "student.jsonl").open("w") as log:
        for step in range(steps):
            for group in best.param_groups:
                group["lr"] = RATE * min(1, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / steps))
            random = np.random.default_rng((seed, step))
            batch = batches.draw(faces, random.choice(own, min(BATCH, len(own)), replace=False), random, SIDES[step % 2], "keypoints")
            codes, wanted, loss = _step(net, best, batch, mean, scale, bf16)
            if (step + 1) % LOG_EVERY == 0 or step + 1 == steps:
                row = {"step": step + 1, "loss": loss.item(), "cosine": 1 - losses.identity(codes, wanted).item(), "held": cosine(net, faces, others[:128])}
                log.write(json.dumps(row) + "\n")
                log.flush()
                on_progress(step + 1, steps, row)
    torch.save(net.state_dict(), folder / FILE)
    return net.eval()


def go_on(net: Student, faces: Faces, painted: Faces, painter: Generator, seed: int, *, bf16: bool = False) -> float:
    """Some steps more, half of each batch painted. Gives the mean cosine to the embedder on the newest paintings, before them."""
    best = torch.optim.AdamW(net.parameters(), RATE_OF_LOOKS, weight_decay=DECAY)
    own = np.flatnonzero(faces.people % HELD != 0)
    before = _cosine(net, painted, np.arange(len(painted))[-NEWEST:], painter.code_mean, painter.code_scale)
    for step in range(STEPS_A_LOOK):
        random = np.random.default_rng((seed, step))
        drawn = (faces, random.choice(own, BATCH // 2)), (painted, random.integers(len(painted), size=BATCH // 2))
        parts = [batches.draw(some, rows, random, SIDES[step % 2], "keypoints") for some, rows in drawn]
        batch = Batch(*(torch.cat([getattr(part, f.name) for part in parts]) for f in fields(Batch)))
        _step(net, best, batch, painter.code_mean, painter.code_scale, bf16)
    net.eval()
    return before


def _step(net: Student, best: torch.optim.Optimizer, batch: Batch, mean: Tensor, scale: Tensor, bf16: bool) -> tuple[Tensor, Tensor, Tensor]:
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        codes, _ = net(losses.chips(batch.pictures))
    codes, wanted = codes.float(), (batch.codes - mean) * scale
    loss = functional.mse_loss(codes, wanted) + losses.identity(codes, wanted)
    best.zero_grad(set_to_none=True)
    loss.backward()
    best.step()
    return codes, wanted, loss


def cosine(net: Student, faces: Faces, rows: np.ndarray) -> float:
    """Mean cosine between the student's codes and the embedder's, both centred."""
    if not len(rows):
        return math.nan
    return _cosine(net, faces, rows, *statistics(faces))


@torch.no_grad()
def _cosine(net: Student, faces: Faces, rows: np.ndarray, mean: Tensor, scale: Tensor) -> float:
    net.eval()
    batch = batches.draw(faces, rows, np.random.default_rng(0), SIDES[-1], "keypoints", steady=True)
    codes, _ = net(losses.chips(batch.pictures))
    net.train()
    return 1 - float(losses.identity(codes, (batch.codes - mean) * scale))


def load(path: Path) -> Student:
    net = Student().to(memory_format=torch.channels_last)
    net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return net.eval()
