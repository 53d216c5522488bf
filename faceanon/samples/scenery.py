"""Rooms and landscapes made of gradients, shapes and noise. Nothing in them looks like a face."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from faceanon.core.picture import Image

Canvas = NDArray[np.float32]  # (H, W, 3) BGR 0..255


def scene(name: str, width: int, height: int, moment_s: float, seed: int) -> Image:
    """The scene called `name` at a moment, (height, width, 3) uint8 BGR; a new array each time."""
    if name in _MOVING:
        return _MOVING[name](width, height, moment_s, seed)
    return _still(name, width, height, seed).copy()


@lru_cache(maxsize=8)
def _still(name: str, width: int, height: int, seed: int) -> Image:
    rng = np.random.default_rng(seed)
    canvas = _STILL[name](width, height, rng)
    canvas = cv2.GaussianBlur(canvas, (0, 0), 0.004 * width)
    canvas *= 1 + 0.016 * _noise(rng, width, height, 60)[..., None] + 0.03 * _noise(rng, width, height, 5)[..., None]
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    return _bytes(canvas * (1 - 0.16 * (x * x + y * y))[..., None])


def _noise(rng: np.random.Generator, width: int, height: int, cells: int) -> NDArray[np.float32]:
    """Smooth noise of about unit strength with `cells` bumps across."""
    coarse = rng.standard_normal((max(2, cells * height // width), cells)).astype(np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def _bytes(canvas: Canvas) -> Image:
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8)


def _wall(width: int, height: int, top: tuple[int, int, int], bottom: tuple[int, int, int]) -> Canvas:
    ramp = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    return np.broadcast_to(np.array(top, np.float32) * (1 - ramp) + np.array(bottom, np.float32) * ramp, (height, width, 3)).copy()


def _shape(canvas: Canvas, corners: list[tuple[float, float]], colour: tuple[int, int, int]) -> None:
    """A polygon; corners are shares of width and height."""
    h, w = canvas.shape[:2]
    cv2.fillPoly(canvas, [np.array([(x * w, y * h) for x, y in corners]).round().astype(np.int32)], colour, lineType=cv2.LINE_AA)


def _box(canvas: Canvas, x0: float, y0: float, x1: float, y1: float, colour: tuple[int, int, int]) -> None:
    _shape(canvas, [(x0, y0), (x1, y0), (x1, y1), (x0, y1)], colour)


def _corridor(width: int, height: int, rng: np.random.Generator) -> Canvas:
    canvas = _wall(width, height, (178, 186, 190), (150, 158, 165))
    _shape(canvas, [(0, 1), (0.36, 0.62), (0.64, 0.62), (1, 1)], (104, 116, 128))
    _shape(canvas, [(0, 0), (0.36, 0.2), (0.64, 0.2), (1, 0)], (214, 218, 220))
    _box(canvas, 0.36, 0.2, 0.64, 0.62, (138, 148, 152))
    _box(canvas, 0.45, 0.3, 0.55, 0.62, (92, 108, 120))
    for x0, x1, rise in ((0.06, 0.16, 0.06), (0.22, 0.28, 0.03)):
        _shape(canvas, [(x0, 0.2 + rise), (x1, 0.26 + rise / 2), (x1, 0.84 - x1 * 0.4), (x0, 0.98 - x0 * 0.6)], (110, 130, 148))
        _shape(canvas, [(1 - x0, 0.2 + rise), (1 - x1, 0.26 + rise / 2), (1 - x1, 0.84 - x1 * 0.4), (1 - x0, 0.98 - x0 * 0.6)], (110, 130, 148))
    for y in (0.03, 0.1, 0.15):
        far, near = 0.28 * (0.24 - y), 0.3 * (0.25 - y)
        _shape(canvas, [(0.5 - near, y), (0.5 + near, y), (0.5 + far, y + 0.02), (0.5 - far, y + 0.02)], (250, 250, 250))
    return canvas


def _studio(width: int, height: int, rng: np.random.Generator) -> Canvas:
    canvas = _wall(width, height, (120, 72, 36), (72, 42, 24))
    for _ in range(7):
        x, w = rng.uniform(0, 1), rng.uniform(0.02, 0.09)
        _box(canvas, x, 0, x + w, 1, tuple(int(v) for v in np.array([150, 96, 52]) * rng.uniform(0.8, 1.25)))
    _box(canvas, 0, 0.7, 1, 0.72, (190, 150, 100))
    _box(canvas, 0.62, 0.12, 0.94, 0.46, (160, 120, 84))
    return cv2.GaussianBlur(canvas, (0, 0), 0.018 * width)


def _shelves(width: int, height: int, rng: np.random.Generator) -> Canvas:
    canvas = _wall(width, height, (60, 84, 112), (48, 66, 90))
    for row in np.arange(0.02, 1.0, 0.24):
        x = 0.01
        while x < 0.98:
            w, high = rng.uniform(0.012, 0.03), rng.uniform(0.13, 0.19)
            _box(canvas, x, row + 0.2 - high, x + w - 0.002, row + 0.2, tuple(int(v) for v in rng.uniform(40, 170, 3)))
            x += w
        _box(canvas, 0, row + 0.2, 1, row + 0.225, (66, 96, 130))
    return cv2.GaussianBlur(canvas, (0, 0), 0.012 * width)


def _classroom(width: int, height: int, rng: np.random.Generator) -> Canvas:
    canvas = _wall(width, height, (198, 206, 208), (168, 178, 186))
    _box(canvas, 0.2, 0.05, 0.8, 0.34, (74, 92, 62))
    _box(canvas, 0.2, 0.34, 0.8, 0.36, (90, 120, 150))
    for line in range(4):
        x = rng.uniform(0.24, 0.3)
        _box(canvas, x, 0.09 + 0.06 * line, x + rng.uniform(0.15, 0.42), 0.1 + 0.06 * line, (150, 164, 142))
    for x in (0.02, 0.86):
        _box(canvas, x, 0.06, x + 0.12, 0.4, (236, 226, 206))
        _box(canvas, x + 0.055, 0.06, x + 0.065, 0.4, (150, 150, 150))
    _box(canvas, 0, 0.8, 1, 1, (112, 130, 146))
    return canvas


def _clinic(width: int, height: int, rng: np.random.Generator) -> Canvas:
    canvas = _wall(width, height, (206, 210, 200), (186, 192, 184))
    _box(canvas, 0.03, 0.3, 0.22, 1, (226, 226, 220))
    _box(canvas, 0.03, 0.52, 0.22, 0.53, (150, 156, 156))
    _box(canvas, 0.78, 0.1, 0.95, 0.55, (238, 236, 228))
    for line in range(6):
        _box(canvas, 0.805, 0.15 + 0.06 * line, 0.805 + rng.uniform(0.05, 0.12), 0.165 + 0.06 * line, (150, 140, 120))
    return canvas


def _room(width: int, height: int, rng: np.random.Generator) -> Canvas:
    canvas = _wall(width, height, (132, 160, 186), (96, 120, 146))
    _box(canvas, 0.06, 0.08, 0.34, 0.46, (228, 214, 190))
    _box(canvas, 0.19, 0.08, 0.21, 0.46, (110, 120, 132))
    _box(canvas, 0.7, 0.56, 1, 1, (62, 84, 110))
    for _ in range(26):  # a plant
        x, y = rng.normal(0.86, 0.05), rng.normal(0.38, 0.08)
        _shape(canvas, [(0.86, 0.58), (x, y), (x + 0.02, y + 0.03)], (58, int(rng.uniform(84, 126)), 66))
    return canvas


def _street(width: int, height: int, moment_s: float, seed: int) -> Image:
    """A road from a driving car: houses and lane marks come nearer."""
    rng = np.random.default_rng(seed)
    canvas = _wall(width, height, (206, 180, 150), (226, 214, 200))
    _box(canvas, 0, 0.52, 1, 1, (84, 112, 92))
    driven = 1.1 * moment_s
    for number in range(int(driven / 0.8) + 16, int(driven / 0.8) + 1, -1):  # the farthest house first
        depth = max(number * 0.8 - driven, 0.7)
        look = np.random.default_rng(seed * 1000 + number).uniform(0, 1, 4)
        for side in (-1, 1):
            x0, x1 = 0.5 + side * 0.95 / depth, 0.5 + side * 2.4 / depth
            tall = 0.52 - (0.35 + 0.4 * look[side]) / depth
            shade = np.array([140, 150, 170]) * (0.6 + 0.5 * look[2 + side])
            _box(canvas, min(x0, x1), tall, max(x0, x1), 0.52 + 0.14 / depth, tuple(int(v) for v in shade))
            for floor in range(3):
                top = tall + (0.08 + 0.13 * floor) / depth
                _box(canvas, x0 + side * 0.3 / depth, top, x0 + side * 0.5 / depth, top + 0.07 / depth, (104, 92, 82))
    _shape(canvas, [(0.485, 0.53), (0.515, 0.53), (1.15, 1), (-0.15, 1)], (98, 98, 98))
    for n in range(9):
        near = 0.53 + 0.47 * ((n - (moment_s * 1.6) % 1) / 8) ** 2 if n > (moment_s * 1.6) % 1 else 0.53
        end = near + 0.16 * (near - 0.52)
        half, wider = 0.02 * (near - 0.52), 0.023 * (near - 0.52)
        _shape(canvas, [(0.5 - half, near), (0.5 + half, near), (0.5 + wider, end), (0.5 - wider, end)], (226, 226, 226))
    canvas = cv2.GaussianBlur(canvas, (0, 0), 0.002 * width)
    return _bytes(canvas * (1 + 0.03 * _noise(rng, width, height, 50))[..., None])


def _lake(width: int, height: int, moment_s: float, seed: int) -> Image:
    """Hills, sky and moving water."""
    rng = np.random.default_rng(seed)
    canvas = _wall(width, height, (214, 176, 132), (226, 214, 206))
    canvas += 10 * np.roll(_noise(rng, width, height, 6), int(moment_s * 6), axis=1)[..., None]
    x = np.linspace(0, 1, width)
    for number, colour in enumerate(((150, 140, 128), (110, 116, 92), (66, 88, 62))):
        ridge = 0.34 + 0.05 * number + 0.05 * np.interp(x, np.linspace(0, 1, 14), rng.standard_normal(14))
        _shape(canvas, [*zip(x.tolist(), ridge.tolist(), strict=True), (1, 1), (0, 1)], colour)
    shore = int(0.56 * height)
    water = _wall(width, height - shore, (150, 132, 112), (104, 84, 66))
    y = np.arange(height - shore, dtype=np.float32)[:, None]
    waves = np.sin(y * 0.9 + 3.1 * np.sin(x[None] * 9 + moment_s) + moment_s * 4) * (0.3 + y / (height - shore))
    canvas[shore:] = water + 9 * waves[..., None] + 4 * _noise(rng, width, height - shore, 40)[..., None]
    return _bytes(cv2.GaussianBlur(canvas, (0, 0), 0.0015 * width))


_STILL = {"corridor": _corridor, "studio": _studio, "shelves": _shelves, "classroom": _classroom, "clinic": _clinic, "room": _room}
_MOVING = {"street": _street, "lake": _lake}
