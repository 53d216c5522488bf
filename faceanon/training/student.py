"""Trains the student: a small net that imitates the embedder, since the embedder itself cannot be differentiated. A training aid; never shipped."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from faceanon.models.inpaint_net import Student
from faceanon.training import batches, losses
from faceanon.training.faces import Faces

FILE = "student.pt"
HELD = 16  # every so many people are held back to test on
BATCH, RATE, DECAY = 32, 2e-3, 1e-2
SIDES = (64, 128)  # of the crops that it sees
LOG_EVERY = 50


def statistics(faces: Faces) -> tuple[Tensor, Tensor]:
    """Mean code (128,) and the factor (1,) that brings codes to a spread of one."""
    codes = torch.from_numpy(faces.codes)
    mean = codes.mean(0)
    return mean, (1 / (codes - mean).std().clamp(min=1e-3)).reshape(1)


def train(faces: Faces, folder: Path, steps: int, seed: int, on_progress: Callable[[int, int, dict], None]) -> Student:
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
            codes, _ = net(losses.chips(batch.pictures))
            wanted = (batch.codes - mean) * scale
            loss = functional.mse_loss(codes, wanted) + losses.identity(codes, wanted)
            best.zero_grad(set_to_none=True)
            loss.backward()
            best.step()
            if (step + 1) % LOG_EVERY == 0 or step + 1 == steps:
                row = {"step": step + 1, "loss": loss.item(), "cosine": 1 - losses.identity(codes, wanted).item(), "held": cosine(net, faces, others[:128])}
                log.write(json.dumps(row) + "\n")
                log.flush()
                on_progress(step + 1, steps, row)
    torch.save(net.state_dict(), folder / FILE)
    return net.eval()


@torch.no_grad()
def cosine(net: Student, faces: Faces, rows: np.ndarray) -> float:
    """Mean cosine between the student's codes and the embedder's, both centred."""
    if not len(rows):
        return math.nan
    mean, scale = statistics(faces)
    net.eval()
    batch = batches.draw(faces, rows, np.random.default_rng(0), SIDES[-1], "keypoints", steady=True)
    codes, _ = net(losses.chips(batch.pictures))
    net.train()
    return 1 - float(losses.identity(codes, (batch.codes - mean) * scale))


def load(path: Path) -> Student:
    net = Student().to(memory_format=torch.channels_last)
    net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return net.eval()
