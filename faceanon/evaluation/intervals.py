"""How sure a number is: 95 % intervals by drawing the people anew."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000


@dataclass(frozen=True)
class Estimate:
    """A value, between which bounds 95 % of the resamplings lie, and of how many it is. NaN where there is nothing."""

    value: float
    low: float
    high: float
    n: int


NOTHING = Estimate(math.nan, math.nan, math.nan, 0)


def estimate(values: NDArray, statistic: Callable[..., NDArray] = np.mean, groups: NDArray | None = None) -> Estimate:
    """Of values (n,), NaN left out; statistic(values, axis=-1). groups (n,): whole people are drawn, not single values."""
    values = np.asarray(values, np.float64)
    known = np.isfinite(values)
    values, groups = values[known], None if groups is None else np.asarray(groups)[known]
    if not len(values):
        return NOTHING
    drawn = [statistic(values[rows], axis=-1) for rows in _resamplings(len(values), groups)]
    return _bounded(float(statistic(values, axis=-1)), len(values), drawn)


def correlation(a: NDArray, b: NDArray, groups: NDArray | None = None) -> Estimate:
    """Pearson's, of pairs where both are known."""
    known = np.isfinite(a) & np.isfinite(b)
    a, b, groups = a[known], b[known], None if groups is None else np.asarray(groups)[known]
    if len(a) < 3 or not np.ptp(a) or not np.ptp(b):
        return NOTHING
    return _bounded(float(_pearson(a, b)), len(a), [_pearson(a[rows], b[rows]) for rows in _resamplings(len(a), groups)])


def _pearson(a: NDArray, b: NDArray) -> NDArray:
    a, b = a - a.mean(-1, keepdims=True), b - b.mean(-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (a * b).sum(-1) / np.sqrt((a * a).sum(-1) * (b * b).sum(-1))


def _resamplings(n: int, groups: NDArray | None) -> Iterator[NDArray]:
    """Rows (n',) of each resampling, whole groups at a time."""
    random = np.random.default_rng(0)
    if groups is None:
        yield from random.integers(0, n, (RESAMPLES, n))
        return
    _, number = np.unique(groups, return_inverse=True)
    order, sizes = np.argsort(number, kind="stable"), np.bincount(number)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    for drawn in random.integers(0, len(sizes), (RESAMPLES, len(sizes))):
        lengths = sizes[drawn]
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        yield order[np.repeat(starts[drawn], lengths) + within]


def _bounded(value: float, n: int, drawn: Sequence[NDArray]) -> Estimate:
    low, high = np.nanpercentile(np.array(drawn, np.float64), (2.5, 97.5))
    return Estimate(value, float(low), float(high), n)
