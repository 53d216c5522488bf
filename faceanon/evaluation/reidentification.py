"""Who finds whom again, by distances of embeddings: ranks in a gallery, and the threshold of a judge."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FALSE_ACCEPT = 1e-3
Rows = NDArray[np.float32]  # (n, D)


def distances(a: Rows, b: Rows) -> NDArray[np.float64]:
    """(n, m) Euclid."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    return np.sqrt(np.maximum(squares, 0))


def ranks(probes: Rows, gallery: Rows) -> NDArray[np.int64]:
    """(n,) how many of the gallery (m, D), m >= n, are nearer to probe k than gallery k, the same person: 0 is found first. A tie counts half against."""
    apart = distances(probes, gallery)
    own = np.diag(apart)[:, None]
    nearer, as_near = (apart < own).sum(1), (apart == own).sum(1) - 1
    return nearer + as_near // 2


def calibrated(a: Rows, b: Rows, false_accept: float = FALSE_ACCEPT) -> float:
    """The distance below which a share `false_accept` of pairs of different people lies; row k of both is one person, all others are not."""
    apart = distances(a, b)
    return float(np.quantile(apart[~np.eye(len(a), len(b), dtype=bool)], false_accept))


def frechet(a: Rows, b: Rows) -> float:
    """Frechet distance of the Gaussians around two sets of embeddings. NaN where either set has fewer than two."""
    if min(len(a), len(b)) < 2:
        return float("nan")
    a, b = a.astype(np.float64), b.astype(np.float64)
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    values, vectors = np.linalg.eigh(cov_a)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ cov_b @ root), 0)).sum()
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * shared)
