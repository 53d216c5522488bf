"""Smooth warps of a picture, and layers of BGR and alpha."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Layer = NDArray[np.uint8]  # (H, W, 4) BGR and alpha


class Spline:
    """The thin-plate spline with f(points) = values. Duchon, 1977; Bookstein, 1989."""

    def __init__(self, points: NDArray, values: NDArray, stiffness: float = 1e-4) -> None:
        self._middle, self._scale = points.mean(0), max(float(np.ptp(points, axis=0).max()), 1e-6)
        self._points = (points - self._middle) / self._scale
        n = len(points)
        system = np.zeros((n + 3, n + 3))
        system[:n, :n] = _kernel(self._points, self._points) + stiffness * np.eye(n)
        system[:n, n:] = _affine(self._points)
        system[n:, :n] = system[:n, n:].T
        self._weights = np.linalg.solve(system, np.concatenate([values, np.zeros((3, values.shape[1]))]))  # (n + 3, D)

    def __call__(self, points: NDArray) -> NDArray[np.float32]:
        """(len(points), D) float32."""
        p = ((points - self._middle) / self._scale).astype(np.float32)
        n = len(self._points)
        bent = _kernel(p, self._points.astype(np.float32)) @ self._weights[:n].astype(np.float32)
        return (bent + _affine(p) @ self._weights[n:]).astype(np.float32)


def _kernel(a: NDArray, b: NDArray) -> NDArray:
    """r^2 log r between all points, in their own precision (float32 is several times faster and good to a hundredth px here)."""
    square = (a[:, :1] - b[:, 0]) ** 2 + (a[:, 1:] - b[:, 1]) ** 2
    np.maximum(square, 1e-12, out=square)
    return 0.5 * square * np.log(square)


def _affine(points: NDArray) -> NDArray:
    return np.concatenate([np.ones((len(points), 1)), points], axis=1)


def field(spline: Spline, low: tuple[float, float], high: tuple[float, float], shape: tuple[int, int]) -> NDArray[np.float32]:
    """The spline on a grid of shape (rows, columns) from low to high, (rows, columns, D)."""
    x, y = np.meshgrid(np.linspace(low[0], high[0], shape[1]), np.linspace(low[1], high[1], shape[0]))
    return spline(np.stack([x.ravel(), y.ravel()], axis=1)).reshape(*shape, -1)


def pyramid(layer: Layer) -> tuple[Layer, ...]:
    """The layer at full, half, quarter and eighth size, so that shrinking does not shimmer."""
    levels = [layer]
    for _ in range(3):
        last = levels[-1]
        levels.append(cv2.resize(last, (max(1, last.shape[1] // 2), max(1, last.shape[0] // 2)), interpolation=cv2.INTER_AREA))
    return tuple(levels)


def level_for(scale: float) -> int:
    """Which level of a pyramid to draw from at `scale` target px a source px."""
    return int(np.clip(np.floor(np.log2(1 / max(scale, 1e-3)) + 0.25), 0, 3))


def over(canvas: NDArray[np.uint8], layer: NDArray, x0: int, y0: int) -> None:
    """Put a layer on canvas (H, W, 3) in place with its left upper corner at (x0, y0); what lies outside is cut off."""
    h, w = canvas.shape[:2]
    left, top, right, bottom = max(0, x0), max(0, y0), min(w, x0 + layer.shape[1]), min(h, y0 + layer.shape[0])
    if left >= right or top >= bottom:
        return
    part = layer[top - y0 : bottom - y0, left - x0 : right - x0].astype(np.float32)
    alpha = part[..., 3:] / 255
    under = canvas[top:bottom, left:right]
    under[...] = np.rint(under * (1 - alpha) + part[..., :3] * alpha).astype(np.uint8)
