"""Boxes and points. A box is xyxy float32 px, x1 and y1 exclusive; arrays of boxes are (N, 4)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float32]  # (N, 4) xyxy px
Points = NDArray[np.float32]  # (..., 2) xy px


def empty_boxes() -> Boxes:
    return np.zeros((0, 4), np.float32)


def widths(boxes: Boxes) -> NDArray[np.float32]:
    return boxes[:, 2] - boxes[:, 0]


def heights(boxes: Boxes) -> NDArray[np.float32]:
    return boxes[:, 3] - boxes[:, 1]


def areas(boxes: Boxes) -> NDArray[np.float32]:
    return np.maximum(widths(boxes), 0) * np.maximum(heights(boxes), 0)


def centres(boxes: Boxes) -> Points:
    return np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2], axis=1)


def clip(boxes: Boxes, width: int, height: int) -> Boxes:
    """Boxes cut to the picture; a box outside becomes empty on the border."""
    limit = np.array([width, height, width, height], np.float32)
    return np.clip(boxes, 0, limit).astype(np.float32)


def grow(boxes: Boxes, share: float | NDArray[np.float32]) -> Boxes:
    """Each side moved outwards by `share` of the box's own width or height."""
    dx = widths(boxes) * share
    dy = heights(boxes) * share
    return (boxes + np.stack([-dx, -dy, dx, dy], axis=1)).astype(np.float32)


def union(boxes: Boxes) -> NDArray[np.float32]:
    """The one box (4,) around all."""
    return np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)]).astype(np.float32)


def intersections(a: Boxes, b: Boxes) -> NDArray[np.float32]:
    """Common area of every pair, (len(a), len(b)) px^2."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    side = np.maximum(high - low, 0)
    return side[..., 0] * side[..., 1]


def iou(a: Boxes, b: Boxes) -> NDArray[np.float32]:
    """Intersection over union of every pair, (len(a), len(b)) in 0..1."""
    common = intersections(a, b)
    total = areas(a)[:, None] + areas(b)[None, :] - common
    return common / np.maximum(total, 1e-6)


def covered(inner: Boxes, outer: Boxes) -> NDArray[np.float32]:
    """The share of each inner box that its best single outer box covers, (len(inner),) in 0..1."""
    if not len(outer):
        return np.zeros(len(inner), np.float32)
    return (intersections(inner, outer) / np.maximum(areas(inner), 1e-6)[:, None]).max(1)


def non_maximum(boxes: Boxes, scores: NDArray[np.float32], threshold: float) -> NDArray[np.int64]:
    """Indices that survive greedy non-maximum suppression at IoU `threshold`, best score first; ties by position."""
    order = np.lexsort((boxes[:, 1], boxes[:, 0], -scores)) if len(boxes) else np.zeros(0, np.int64)
    kept: list[int] = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(int(best))
        if len(order):
            order = order[iou(boxes[best : best + 1], boxes[order])[0] <= threshold]
    return np.asarray(kept, np.int64)


def similarity(source: Points, target: Points) -> NDArray[np.float32]:
    """The (2, 3) rotation, scale and shift that best maps source (N, 2) onto target (N, 2). Umeyama, 1991."""
    mean_s, mean_t = source.mean(0), target.mean(0)
    centred_s, centred_t = source - mean_s, target - mean_t
    u, d, vt = np.linalg.svd(centred_t.T @ centred_s / len(source))
    sign = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt)) or 1.0])
    rotation = u @ np.diag(sign) @ vt
    scale = (d * sign).sum() / max(centred_s.var(0).sum(), 1e-12)
    shift = mean_t - scale * rotation @ mean_s
    return np.concatenate([scale * rotation, shift[:, None]], axis=1).astype(np.float32)


def transform(points: Points, matrix: NDArray[np.float32]) -> Points:
    """Points (..., 2) through an affine (2, 3) matrix."""
    return (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
