"""Does a detector of another family still find a face outside what was painted? Sampled output frames in, leaks out.

A hit inside the covers is a painted face, and fine. A hit counts as inside where the covers of its frame hold 60 % of its area, or the middle of
it: detectors differ in how much forehead and chin belong to a face. In doubt it is a leak; that costs a rendering, a missed one a face.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from faceanon.core import geometry
from faceanon.core.picture import Picture
from faceanon.core.ports import FaceDetector
from faceanon.core.records import Leak, RegionTable
from faceanon.core.settings import VerifySettings

_INSIDE = 0.6  # share of a hit's area
_MIDDLE = 0.9  # share of the middle half of a hit
_PARTLY = 0.2  # below this share a hit has nothing to do with a cover


def find_leaks(
    pictures: Iterable[Picture], regions: RegionTable, auditor: FaceDetector, settings: VerifySettings, source_pictures: Iterable[Picture] | None = None
) -> tuple[list[Leak], int]:
    """Leaks sorted by frame, best score first, and how many pictures were looked at.

    source_pictures: the source's frames of the same numbers, in the same order. With them, a hit that lies partly inside a cover is no leak
    where the auditor sees the source's face there inside the cover: then it sees the new face, a little displaced.
    """
    leaks: list[Leak] = []
    originals = iter(source_pictures) if source_pictures is not None else None
    sampled = 0
    for picture in pictures:
        sampled += 1
        covers = geometry.clip(regions.at(picture.index).cover, picture.width, picture.height)
        boxes, scores = look(picture, auditor, settings)
        outside = ~inside(boxes, covers)
        if originals is not None:
            original = _same_frame(originals, picture.index)
            if outside.any():
                outside &= ~_displaced(boxes, covers, original, auditor, settings)
        leaks += [Leak(picture.index, tuple(float(edge) for edge in boxes[i]), float(scores[i])) for i in np.flatnonzero(outside)]  # type: ignore[arg-type]
    return leaks, sampled


def look(picture: Picture, auditor: FaceDetector, settings: VerifySettings) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """boxes (N, 4) in px of the picture, clipped to it, and scores (N,) at or above the threshold, best first."""
    image = picture.bgr(settings.width_px)
    boxes, _, scores = auditor.detect(image)
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    scale = np.array([picture.width / image.shape[1], picture.height / image.shape[0]] * 2, np.float32)
    boxes = geometry.clip(boxes * scale, picture.width, picture.height)
    kept = (np.asarray(scores) >= settings.threshold) & (geometry.areas(boxes) > 0)
    boxes, scores = boxes[kept], np.asarray(scores, np.float32)[kept]
    order = np.lexsort((boxes[:, 1], boxes[:, 0], -scores))
    return boxes[order], scores[order]


def inside(boxes: NDArray[np.float32], covers: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(N,) whether each box counts as hidden by all covers together."""
    middles = geometry.grow(boxes, -0.25)
    whole = np.array([covered_share(box, covers) for box in boxes], np.float32)
    middle = np.array([covered_share(box, covers) for box in middles], np.float32)
    return (whole >= _INSIDE) | (middle >= _MIDDLE)


def covered_share(box: NDArray[np.float32], covers: NDArray[np.float32]) -> float:
    """The share of `box` (4,) that lies inside the union of `covers` (M, 4), exactly: edges cut the box into cells, and each cell is in or out."""
    low, high = box[:2], box[2:]
    if not len(covers) or np.any(high <= low):
        return 0.0
    parts = np.concatenate([np.clip(covers[:, :2], low, high), np.clip(covers[:, 2:], low, high)], axis=1).astype(np.float64)
    xs = np.unique(np.concatenate([parts[:, 0], parts[:, 2], [low[0], high[0]]]))
    ys = np.unique(np.concatenate([parts[:, 1], parts[:, 3], [low[1], high[1]]]))
    x, y = (xs[:-1] + xs[1:]) / 2, (ys[:-1] + ys[1:]) / 2
    hidden = np.zeros((len(y), len(x)), bool)
    for x0, y0, x1, y1 in parts:
        hidden |= ((y > y0) & (y < y1))[:, None] & ((x > x0) & (x < x1))[None, :]
    cells = np.diff(ys)[:, None] * np.diff(xs)[None, :]
    return float((cells * hidden).sum() / cells.sum())


def _displaced(
    boxes: NDArray[np.float32], covers: NDArray[np.float32], original: Picture, auditor: FaceDetector, settings: VerifySettings
) -> NDArray[np.bool_]:
    """(N,) hits that are partly covered and stand for exactly those source faces that are hidden: no uncovered source face overlaps them."""
    seen, _ = look(original, auditor, settings)
    hidden = inside(seen, covers)
    overlap = geometry.iou(boxes, seen) > 0.1
    partly = np.array([covered_share(box, covers) for box in boxes], np.float32) >= _PARTLY
    return partly & overlap[:, hidden].any(1) & ~overlap[:, ~hidden].any(1)


def _same_frame(pictures: Iterator[Picture], index: int) -> Picture:
    for picture in pictures:
        if picture.index == index:
            return picture
    raise ValueError(f"the source's pictures end before frame {index}")
