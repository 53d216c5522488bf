"""How well regions hide known faces, whether a face kept its pixels, and whether a person keeps one identity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from faceanon.core.geometry import Boxes, areas, iou
from faceanon.core.picture import Picture
from faceanon.core.records import RegionTable

LEAST_CHANGE = 0.5  # of a face's own detail; coding alone stays below 0.35 but for faces of a few px
LEAST_DETAIL = 1.0  # luma steps; with less there is nobody to be seen


@dataclass(frozen=True)
class UncoveredFace:
    """A true face of which regions hide less than was asked."""

    frame: int
    box: tuple[float, float, float, float]
    share: float  # of its area that is hidden


def hidden_share(face: NDArray[np.float32], covers: Boxes) -> float:
    """The share of one face's area that boxes hide together, overlaps counted once."""
    low, high = np.maximum(covers[:, :2], face[:2]), np.minimum(covers[:, 2:], face[2:])
    inside = (high > low).all(1)
    if not inside.any():
        return 0.0
    low, high = low[inside], high[inside]
    xs, ys = (np.unique(np.concatenate([low[:, axis], high[:, axis]])) for axis in (0, 1))
    x, y = (xs[:-1] + xs[1:]) / 2, (ys[:-1] + ys[1:]) / 2
    hidden = ((low[:, None, None, 1] < y[:, None]) & (y[:, None] < high[:, None, None, 1]) & (low[:, None, None, 0] < x) & (x < high[:, None, None, 0])).any(0)
    return float((np.outer(np.diff(ys), np.diff(xs)) * hidden).sum() / max(float(areas(face[None])[0]), 1e-6))


def uncovered_faces(frames: NDArray[np.int32], boxes: Boxes, regions: RegionTable, least_share: float = 0.9) -> list[UncoveredFace]:
    """Truth faces (frame, box) whose area is hidden by less than `least_share`."""
    leaks = []
    for frame, box in zip(frames.tolist(), boxes, strict=True):
        share = hidden_share(box, regions.at(frame).cover)
        if share < least_share:
            leaks.append(UncoveredFace(frame, tuple(box.tolist()), share))
    return leaks


def identity_switches(frames: NDArray[np.int32], boxes: Boxes, people: Sequence[str], regions: RegionTable, least_iou: float = 0.3) -> int:
    """How often a person's identity differs from the one it had when last seen. Faces without a region or an identity are passed over."""
    last: dict[str, int] = {}
    switches = 0
    for row in np.argsort(frames, kind="stable"):
        at = regions.at(int(frames[row]))
        if not len(at):
            continue
        overlap = iou(boxes[row : row + 1], at.face)[0]
        identity = int(at.identity[overlap.argmax()])
        if overlap.max() < least_iou or identity < 0:
            continue
        switches += last.get(people[row], identity) != identity
        last[people[row]] = identity
    return switches


def change(before: Picture, after: Picture, box: Sequence[float]) -> float:
    """How far the inner half of a face's box (x1, y1, x2, y2) has moved from the source, over the detail that the source shows there, so that dark
    frames count like bright ones; infinite where the face lies outside the picture or shows nothing.
    """
    dx, dy = (box[2] - box[0]) / 4, (box[3] - box[1]) / 4
    x0, y0 = max(0, round(box[0] + dx)), max(0, round(box[1] + dy))
    x1, y1 = min(before.width, round(box[2] - dx)), min(before.height, round(box[3] - dy))
    if x1 <= x0 or y1 <= y0:
        return float("inf")
    old, new = ((p.planes[0][y0:y1, x0:x1] >> (p.format.depth - 8)).astype(np.float32) for p in (before, after))
    detail = float(np.abs(old - cv2.GaussianBlur(old, (0, 0), max(old.shape[1] / 4, 0.8))).mean())
    return float(np.abs(old - new).mean()) / detail if detail >= LEAST_DETAIL else float("inf")
