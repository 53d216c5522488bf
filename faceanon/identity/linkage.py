"""Average linkage with pairs that may never join.

`average_linkage` is the greedy algorithm: the two nearest groups join while their weighted mean distance is below the threshold. A
forbidden pair has infinite distance, and a mean with an infinite member is infinite, so no group ever holds one. Only groups
that share a pair below the threshold can join; so points fall apart into components first, and each is linked alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Forbidden = Callable[[NDArray[np.intp], NDArray[np.intp]], NDArray[np.bool_]]  # rows, columns -> (len(rows), len(columns))

MAX_POINTS = 6000  # of one component: a matrix of 144 MB in float32
_BLOCK = 1024
_DECIMALS = 6  # distances are rounded, so that the last bit of a matrix product decides nothing


def link_points(points: NDArray[np.float64], weights: NDArray[np.float64], forbidden: Forbidden, threshold: float) -> NDArray[np.int64]:
    """(n,) the first member of every point's group. points (n, D), weights (n,) above 0."""
    groups = np.arange(len(points))  # a point alone is its own group
    for rows in _components(points, np.arange(len(points)), threshold):
        for part in _small_enough(points, rows, threshold):
            inside = _average_linkage(_matrix(points, part, forbidden), weights[part], threshold)
            groups[part] = part[inside]
    return groups


def distances(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Euclidean distance of every pair, (len(a), len(b))."""
    squared = (a * a).sum(1)[:, None] + (b * b).sum(1)[None, :] - 2 * (a @ b.T)
    return np.round(np.sqrt(np.maximum(squared, 0)), _DECIMALS)


def _matrix(points: NDArray[np.float64], rows: NDArray[np.intp], forbidden: Forbidden) -> NDArray[np.float32]:
    """(n, n) float32 distances, infinite on the diagonal and for forbidden pairs; made in blocks."""
    n = len(rows)
    matrix = np.empty((n, n), np.float32)
    for start in range(0, n, _BLOCK):
        some = rows[start : start + _BLOCK]
        matrix[start : start + _BLOCK] = np.where(forbidden(some, rows), np.inf, distances(points[some], points[rows]))
    np.fill_diagonal(matrix, np.inf)
    return np.minimum(matrix, matrix.T)  # one half may differ from the other in its last digit


def _components(points: NDArray[np.float64], rows: NDArray[np.intp], threshold: float) -> list[NDArray[np.intp]]:
    """Groups of rows that are chained by distances below the threshold; those of two rows and more."""
    starts, stops = [], []
    for start in range(0, len(rows), _BLOCK):
        near = distances(points[rows[start : start + _BLOCK]], points[rows[start:]]) < threshold
        i, j = np.nonzero(near)
        starts.append(i + start)
        stops.append(j + start)
    if not starts:
        return []
    i, j = np.concatenate(starts), np.concatenate(stops)
    _, names = connected_components(coo_array((np.ones(len(i), bool), (i, j)), shape=(len(rows), len(rows))), directed=False)
    order = np.argsort(names, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(names[order])) + 1)
    return sorted((rows[part] for part in parts if len(part) > 1), key=lambda part: int(part[0]))


def _small_enough(points: NDArray[np.float64], rows: NDArray[np.intp], threshold: float) -> list[NDArray[np.intp]]:
    """A component that is too large is cut where its chains are thinnest. People come apart rather than together, so no face is given to two."""
    if len(rows) <= MAX_POINTS:
        return [rows]
    closer = threshold * 0.9
    if closer < 1e-3:
        return [rows[start : start + MAX_POINTS] for start in range(0, len(rows), MAX_POINTS)]
    return [small for part in _components(points, rows, closer) for small in _small_enough(points, part, closer)]


def _average_linkage(matrix: NDArray[np.float32], weights: NDArray[np.float64], threshold: float) -> NDArray[np.int64]:
    """(n,) the first member of every point's group. `matrix` is used up. Equal distances: the earlier pair joins first."""
    n = len(matrix)
    group = np.arange(n)
    weight = weights.astype(np.float64).copy()
    nearest = matrix.argmin(1)
    gap = matrix[np.arange(n), nearest]
    while True:
        a = int(gap.argmin())
        if not gap[a] < threshold:
            return group
        a, b = sorted((a, int(nearest[a])))
        joined = ((weight[a] * matrix[a] + weight[b] * matrix[b]) / (weight[a] + weight[b])).astype(np.float32)
        joined[a] = joined[b] = np.inf
        matrix[a], matrix[:, a] = joined, joined
        matrix[b], matrix[:, b] = np.inf, np.inf
        weight[a] += weight[b]
        group[group == b] = a
        _renew(matrix, nearest, gap, a, b)


def _renew(matrix: NDArray[np.float32], nearest: NDArray[np.int64], gap: NDArray[np.float32], a: int, b: int) -> None:
    """The nearest neighbour of every row after b went into a."""
    stale = np.flatnonzero((nearest == a) | (nearest == b))
    stale = np.union1d(stale, [a, b])
    nearest[stale] = matrix[stale].argmin(1)
    gap[stale] = matrix[stale, nearest[stale]]
    closer = (matrix[:, a] < gap) | ((matrix[:, a] == gap) & (a < nearest) & np.isfinite(gap))
    nearest[closer] = a
    gap[closer] = matrix[closer, a]
