"""Pictures, regions and a mesh for the tests of render, made of numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from faceanon.core.geometry import grow
from faceanon.core.picture import Picture, PlaneFormat
from faceanon.core.records import Method, Persona, RegionTable
from faceanon.models.fakes import POINTS, FakeMesh, FakePeople
from faceanon.render.swap import SwapEngine

FORMATS = [
    PlaneFormat(8, (2, 2), False, "bt709"),
    PlaneFormat(10, (2, 2), False, "bt2020"),
    PlaneFormat(8, (2, 1), True, "bt601"),
    PlaneFormat(8, (1, 1), False, "bt601"),
    PlaneFormat(12, None, True, "bt709"),
]


def noise_picture(width: int, height: int, fmt: PlaneFormat = FORMATS[0], index: int = 0, seed: int = 0) -> Picture:
    """Every sample random, so that whatever is painted differs from what was there."""
    random = np.random.default_rng(seed + index)
    dtype, top = (np.uint8 if fmt.depth == 8 else np.uint16), 1 << fmt.depth
    planes = [random.integers(0, top, (height, width)).astype(dtype)]
    if fmt.chroma is not None:
        sx, sy = fmt.chroma
        planes += [random.integers(0, top, (-(-height // sy), -(-width // sx))).astype(dtype) for _ in range(2)]
    return Picture(index, index, tuple(planes), fmt)


def regions(frames: Sequence[int], boxes: Sequence[Sequence[float]], tracks: Sequence[int] | None = None, method: Method = Method.ENGINE) -> RegionTable:
    """One row for each frame and box; identity = track."""
    n = len(frames)
    face = np.array(boxes, np.float32).reshape(n, 4)
    track = np.array(tracks if tracks is not None else [0] * n, np.int32)
    points = face[:, None, :2] + POINTS[None] * (face[:, 2:] - face[:, :2])[:, None]
    return RegionTable(
        np.array(frames, np.int32), track, track, face, grow(face, 0.18), points.astype(np.float32), np.full(n, method, np.uint8), np.zeros(n, np.uint8)
    )


def copied(picture: Picture) -> list[NDArray]:
    return [plane.copy() for plane in picture.planes]


class MoodyMesh(FakeMesh):
    """The mean mesh in the box, with a score that a test sets call by call."""

    def __init__(self, scores: Sequence[float]) -> None:
        self._scores = list(scores)

    def fit(self, image, points, box):
        mesh, _ = super().fit(image, points, box)
        return mesh, self._scores.pop(0)


def plain_swap(settings, scores: Sequence[float]) -> SwapEngine:
    """A swap engine with fake people and no check."""
    return SwapEngine(settings, MoodyMesh(scores), None, None, {k: FakePeople().portrait(Persona(k, k, 0.0)) for k in range(3)})
