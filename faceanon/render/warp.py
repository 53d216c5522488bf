"""Piecewise affine warps as one dense map: triangles are drawn by number, and each px takes its triangle's affine."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_SHIFT = 3  # fractional bits of drawn corners
_STEEP = 6.0  # source px a target px; where a face is not folded it is about 2
_FOLD_PX = 0.1  # twice the area of a triangle that is a fold


def dense_map(
    target: NDArray[np.float32], source: NDArray[np.float32], triangles: NDArray[np.int32], size: tuple[int, int], depth: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """For each px of a (height, width) target: where it comes from in the source, x and y (H, W) float32, and whether a triangle holds it.

    target, source (N, 2) px; depth (N,) larger is farther: nearer triangles are drawn over farther ones, and those that face away or are seen edge on
    under all others, for they are but folds.
    """
    height, width = size
    number = np.full((height, width), -1, np.int32)
    corners = target[triangles]  # (T, 3, 2)
    faces = _areas(corners) * np.sign(_areas(source[triangles])) > _FOLD_PX
    order = np.lexsort((np.zeros(len(triangles)) if depth is None else -depth[triangles].mean(1), faces))
    drawn = np.rint((corners) * (1 << _SHIFT)).astype(np.int32)
    for i in order:
        cv2.fillConvexPoly(number, drawn[i], int(i), shift=_SHIFT)
    affine = _affines(corners, source[triangles])
    inside = number >= 0
    rows, columns = np.nonzero(inside)
    own = number[rows, columns]
    a, b, c, d, e, f = np.take(affine, own, axis=0).T
    x, y = columns.astype(np.float32), rows.astype(np.float32)
    from_x, from_y = a * x + b * y + c, d * x + e * y + f
    steep = np.flatnonzero((np.abs(affine[:, [0, 1, 3, 4]]).max(1) > _STEEP)[own])  # on the border of a fold an affine reaches far outside of its triangle
    low, high = source[triangles].min(1), source[triangles].max(1)
    from_x[steep] = np.clip(from_x[steep], low[own[steep], 0], high[own[steep], 0])
    from_y[steep] = np.clip(from_y[steep], low[own[steep], 1], high[own[steep], 1])
    map_x, map_y = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
    map_x[rows, columns], map_y[rows, columns] = from_x, from_y
    return map_x, map_y, inside


def half_dense_map(
    target: NDArray[np.float32], source: NDArray[np.float32], triangles: NDArray[np.int32], size: tuple[int, int], depth: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """dense_map, worked out for every second px and made large: the same within triangles, a little rounder across their edges, at a quarter of the cost."""
    height, width = size
    few = (-(-height // 2), -(-width // 2))
    map_x, map_y, inside = dense_map((target + 0.5) / 2 - 0.5, source, triangles, few, depth)
    map_x, map_y, share = (cv2.resize(a, (2 * few[1], 2 * few[0]), interpolation=cv2.INTER_LINEAR)[:height, :width] for a in (map_x, map_y, inside.astype(np.float32)))
    return np.ascontiguousarray(map_x), np.ascontiguousarray(map_y), share > 0.99


def _areas(corners: NDArray[np.float32]) -> NDArray[np.float32]:
    """(T,) twice the area of triangles (T, 3, 2), negative for one orientation."""
    u, v = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]


def _affines(target: NDArray[np.float32], source: NDArray[np.float32]) -> NDArray[np.float32]:
    """(T, 6) float32: source x = a x + b y + c, source y = d x + e y + f, from corners (T, 3, 2) each."""
    t, s = target.astype(np.float64), source.astype(np.float64)
    u, v = t[:, 1] - t[:, 0], t[:, 2] - t[:, 0]
    area = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    area = np.where(np.abs(area) < 1e-3, 1e-3, area)  # a flat triangle covers no px of its own
    p, q = s[:, 1] - s[:, 0], s[:, 2] - s[:, 0]
    a = (p * v[:, 1:] - q * u[:, 1:]) / area[:, None]  # d source / dx, (T, 2)
    b = (q * u[:, :1] - p * v[:, :1]) / area[:, None]  # d source / dy
    c = s[:, 0] - a * t[:, 0, :1] - b * t[:, 0, 1:]
    return np.stack([a[:, 0], b[:, 0], c[:, 0], a[:, 1], b[:, 1], c[:, 1]], axis=1).astype(np.float32)
