"""Proof that a face was painted: pixels that differ from the decoded source, not a region that was recorded.

A face's core is the middle half of its box. It counts as painted where a tenth of its luma samples changed: low, since a hand before the
face is rightly left as it is. A core without detail (black frames, a smooth wall under a held box) shows nobody and cannot change by being blurred.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from faceanon.core import geometry
from faceanon.core.picture import Picture
from faceanon.core.records import RegionTable

MIN_CHANGED = 0.1
_MIN_DETAIL = 1.0  # mean difference from the smoothed core, in 8-bit steps; faces that a person can make out have 3 and more


@dataclass(frozen=True)
class Kept:
    """The luma of some faces' cores, copied before they are painted."""

    frame: int
    tracks: tuple[int, ...]
    boxes: tuple[tuple[int, int, int, int], ...]  # px of the cores
    cores: tuple[NDArray, ...]  # (h, w) luma samples in the picture's own depth

    @classmethod
    def of(cls, picture: Picture, regions: RegionTable) -> Kept:
        """Of the regions of the picture's own frame; faces outside the picture are left out."""
        found = [(int(track), box) for track, face in zip(regions.track, regions.face, strict=True) if (box := core_box(face, picture)) is not None]
        boxes = tuple(box for _, box in found)
        return cls(picture.index, tuple(track for track, _ in found), boxes, tuple(picture.plane_box(0, box).copy() for box in boxes))


def unpainted(kept: Kept, output: Picture, tolerance: int = 0) -> list[int]:
    """Tracks whose core shows something and did not change. tolerance: 8-bit steps that do not count as change; 0 before an encoder, about 8 after."""
    if output.index != kept.frame:
        raise ValueError(f"two different frames: got {kept.frame = }, {output.index = }")
    shares = changed_shares(kept, output, tolerance)
    shift = output.format.depth - 8
    return [track for track, core, share in zip(kept.tracks, kept.cores, shares, strict=True) if share < MIN_CHANGED and detail(core, shift) >= _MIN_DETAIL]


def changed_shares(kept: Kept, output: Picture, tolerance: int = 0) -> list[float]:
    """The share of each core's luma samples that differ from the source by more than `tolerance` 8-bit steps."""
    limit = tolerance << (output.format.depth - 8)
    pairs = zip(kept.cores, kept.boxes, strict=True)
    return [float((np.abs(output.plane_box(0, box).astype(np.int32) - core.astype(np.int32)) > limit).mean()) for core, box in pairs]


def core_box(face: NDArray[np.float32], picture: Picture) -> tuple[int, int, int, int] | None:
    """The middle half of a face in whole px, at least 3 px a side where the picture has them; None where it lies outside."""
    middle = geometry.grow(face[None], -0.25)[0]
    x0, y0 = np.floor(middle[:2]).astype(int)
    x1, y1 = np.maximum(np.ceil(middle[2:]).astype(int), (x0 + 3, y0 + 3))
    box = (max(int(x0), 0), max(int(y0), 0), min(int(x1), picture.width), min(int(y1), picture.height))
    return box if box[0] < box[2] and box[1] < box[3] else None


def detail(core: NDArray, shift: int = 0) -> float:
    """How much there is to see in (h, w) luma samples, in 8-bit steps: the mean difference from itself smoothed, slopes of light left out."""
    luma = core.astype(np.float32) / (1 << shift)
    rows, columns = np.indices(luma.shape, np.float32)
    slope = np.stack([rows.ravel(), columns.ravel(), np.ones(luma.size, np.float32)], axis=1)  # (h * w, 3)
    level = luma - (slope @ np.linalg.lstsq(slope, luma.ravel(), rcond=None)[0]).reshape(luma.shape)
    smooth = cv2.GaussianBlur(level, (0, 0), max(luma.shape[1] / 4, 0.8), borderType=cv2.BORDER_REFLECT_101)
    return float(np.abs(level - smooth).mean())
