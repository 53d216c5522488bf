"""The training of a baseline's nets: resumable, the same for the same seed, faces and number of ranks.

A folder holds state.pt (nets, optimisers, step; never shipped), the averaged weights in half precision, losses.jsonl and sheet_<step>.png. What a step
is, and when nets grow, is the recipe's; everything random in it follows from seed, step and rank.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from faceanon.core.errors import UsageError
from faceanon.models import sketch
from faceanon.models.inpainter import to_tensor
from faceanon.training import batches, ranks
from faceanon.training.faces import Faces

STATE = "state.pt"
_RAMP = 50  # steps over which a rate rises


class Recipe(Protocol):
    """One baseline."""

    name: str  # of its weights
    steps: int

    def begin(self, step: int) -> None:
        """Brings nets and optimisers to the size they have at that step; does nothing where they have it."""
        ...

    def kept(self) -> dict[str, Any]:
        """Nets and optimisers by name: all that a training is, but for the step."""
        ...

    def one(self, step: int) -> dict[str, Tensor]:
        """Makes a step. Gives its losses."""
        ...

    def save(self, path: Path) -> None: ...

    def sheet(self, path: Path) -> None: ...


def run(recipe: Recipe, folder: Path, on_progress: Callable[[int, int, dict[str, Any]], None], *, save_every: int = 200, log_every: int = 20) -> Path:
    """All steps that are left. Gives the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    weights, state, first = folder / f"{recipe.name}.safetensors", folder / STATE, ranks.here()[0] == 0
    begun = _load(recipe, state)
    since = time.monotonic()
    for step in range(begun, recipe.steps):
        recipe.begin(step)
        row = recipe.one(step)
        done, last = step + 1, step + 1 == recipe.steps
        if first and (done % log_every == 0 or last):
            told = {"step": done, **{name: round(float(term), 4) for name, term in row.items()}, "steps_s": round((done - begun) / (time.monotonic() - since), 2)}
            with (folder / "losses.jsonl").open("a") as log:
                log.write(json.dumps(told) + "\n")
            on_progress(done, recipe.steps, told)
        if first and (done % save_every == 0 or last):
            _save(recipe, state, done)
            recipe.save(weights)
            recipe.sheet(folder / f"sheet_{done:06d}.png")
    return weights


def _save(recipe: Recipe, path: Path, step: int) -> None:
    aside = path.with_suffix(".part")
    torch.save({"step": step, "steps": recipe.steps, **{name: part.state_dict() for name, part in recipe.kept().items()}}, aside)
    os.replace(aside, path)


def _load(recipe: Recipe, path: Path) -> int:
    """The step to go on with. Raises UsageError where the training was begun for another number of steps, by which sizes and rates go."""
    if not path.exists():
        return 0
    state = torch.load(path, map_location="cpu", weights_only=True)
    if state["steps"] != recipe.steps:
        raise UsageError(f"was begun for {state['steps']} steps, and goes on to as many: got {recipe.steps}", source=str(path))
    recipe.begin(state["step"] - 1)
    for name, part in recipe.kept().items():
        part.load_state_dict(state[name])
    return state["step"]


@dataclass(frozen=True)
class View:
    """A net's crop."""

    to_crop: Callable[[NDArray[np.float32]], NDArray[np.float32]]  # of a mesh: (2, 3) from its picture's px
    side_px: int


def draw(faces: Faces, rows: NDArray[np.int64], random: np.random.Generator, view: View, *, steady: bool = False) -> tuple[Tensor, Tensor]:
    """Pictures (N, 3, S, S) RGB -1..1 and keypoints (N, 7, 2) 0..1 of the faces at `rows`, each changed at random, or, if steady, as they are."""
    middle = (view.side_px / 2, view.side_px / 2)
    made = [batches.seen(faces.images[row], faces.meshes[row, :, :2], random, view.to_crop(faces.meshes[row]), middle, view.side_px, steady) for row in rows]
    pictures = to_tensor(np.stack([image[..., ::-1] for image, _ in made]))
    points = torch.from_numpy(np.stack([sketch.keypoints(mesh) for _, mesh in made]) / view.side_px)
    if steady:
        return pictures, points
    turned = torch.from_numpy(random.uniform(size=len(rows)) < 0.5)
    mirrored = points[:, list(sketch.MIRRORED_KEYPOINTS)] * torch.tensor([-1.0, 1.0]) + torch.tensor([1.0, 0.0])
    return torch.where(turned[:, None, None, None], pictures.flip(3), pictures), torch.where(turned[:, None, None], mirrored, points)


def rows_of(faces: Faces, random: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Half of them composites, where there are any."""
    few, plain = np.flatnonzero(faces.composite), np.flatnonzero(~faces.composite)
    others = count // 2 if len(few) else 0
    return np.concatenate([random.choice(few, others) if others else few[:0], random.choice(plain, count - others)])


def normals(random: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(random.normal(size=shape).astype(np.float32))


def update(net: nn.Module, optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    ranks.average(parameter.grad for parameter in net.parameters())
    optimiser.step()


@torch.no_grad()
def follow(mean: nn.Module, net: nn.Module, share: float, step: int) -> None:
    """Brings an averaged net, in which `share` of it stays, nearer to the trained one. What is no parameter is taken as it is."""
    torch._foreach_lerp_(list(mean.parameters()), list(net.parameters()), 1 - min(share, (step + 1) / (step + 10)))
    for own, theirs in zip(mean.buffers(), net.buffers(), strict=True):
        own.copy_(theirs)


def ramp(step: int) -> float:
    return min(1.0, (step + 1) / _RAMP)
