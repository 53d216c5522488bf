"""Hides a face in its own colours. What leaves this module cannot be undone by sharpening.

Every way first throws information away: the covered part of each plane is averaged down to a few cells (at most CELLS across the
whole cover, fewer across the face in it), quantised, and only then made large again. Two pictures with equal cell means give equal
output. It works on the planes as they are (any depth, any chroma, no conversion) and touches nothing outside `painted_box`.

The shape is a rounded rectangle that holds the whole cover, corners cut, and fades outside of it: of the two readings (an ellipse inside
the cover, or all of it) this is the one that hides more.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from faceanon.core.picture import Picture, PxBox

CELLS = {"hide": 6, "blur": 8, "pixelate": 8, "fill": 1}
FADE = 0.10  # share of the cover's half size over which the paint fades out, outside of the cover
MIN_CELL_PX = 3
GRID_SHARE = 32  # steps of a cover's size
ALPHA_CELLS = 72  # a fade of 0.1 of half the size is still three cells wide
QUANTUM_8BIT = 4  # step of the cells' values, in 8-bit sample units


def obscure(picture: Picture, face: NDArray[np.float32], cover: NDArray[np.float32], how: str = "hide", strength: float = 1.0) -> PxBox:
    """Paint over `cover` and `face` (4,) xyxy px, in place; the px box that may have changed, (0, 0, 0, 0) where nothing lies inside the picture."""
    cover = whole_cover(face, cover)
    box = painted_box(picture, cover)
    if box[2] <= box[0] or box[3] <= box[1]:
        return (0, 0, 0, 0)
    cells = _cells_of(cover, how, strength)
    step = QUANTUM_8BIT << (picture.format.depth - 8)
    for plane in range(len(picture.planes)):
        part = picture.plane_box(plane, box)
        sx, sy = (1, 1) if plane == 0 or picture.format.chroma is None else picture.format.chroma
        if part.size:
            _paint(part, *_blend(_Shape(part.shape, (sx, sy), *_seen_from(cover, box))), cells, how, step)
    return box


def whole_cover(face: NDArray[np.float32], cover: NDArray[np.float32]) -> NDArray[np.float32]:
    """The box (4,) around both, and large enough that the corners of `face` lie within the rounded shape: a face that fills its cover is hidden all the same."""
    if not np.all(np.isfinite(cover)) or cover[2] <= cover[0] or cover[3] <= cover[1]:
        cover = face
    if not np.all(np.isfinite(face)) or face[2] <= face[0] or face[3] <= face[1]:
        face = cover
    both = np.concatenate([np.minimum(face[:2], cover[:2]), np.maximum(face[2:], cover[2:])])
    centre, half = (both[:2] + both[2:]) / 2, (both[2:] - both[:2]) / 2
    reach = np.maximum(np.abs(face[:2] - centre), np.abs(face[2:] - centre)) / np.maximum(half, 1e-6)
    grown = half * max(1.0, float((reach**4).sum()) ** 0.25)
    return _on_grid(centre - grown, centre + grown)


def _on_grid(low: NDArray, high: NDArray) -> NDArray[np.float32]:
    """Grown outwards to even px and a size in steps of about a 32nd of itself: a face's covers from frame to frame are of few shapes, and trembling boxes stand still."""
    if not (np.all(np.isfinite(low)) and np.all(np.isfinite(high)) and np.all(high > low)):
        return np.concatenate([low, high]).astype(np.float32)
    low = np.floor(low / 2) * 2
    step = 2.0 ** np.maximum(np.floor(np.log2((high - low) / GRID_SHARE)), 1)
    return np.concatenate([low, low + np.ceil((high - low) / step) * step]).astype(np.float32)


def painted_box(picture: Picture, cover: NDArray[np.float32]) -> PxBox:
    """The whole px that painting `cover` may change, inside the picture and on whole chroma samples."""
    if not np.all(np.isfinite(cover)) or cover[2] <= cover[0] or cover[3] <= cover[1]:
        return (0, 0, 0, 0)
    half = (cover[2:] - cover[:2]) / 2
    low, high = cover[:2] - FADE * half - 1, cover[2:] + FADE * half + 1
    sx, sy = picture.format.chroma or (1, 1)
    x0, y0 = max(0, int(np.floor(low[0] / sx)) * sx), max(0, int(np.floor(low[1] / sy)) * sy)
    x1, y1 = min(picture.width, int(np.ceil(high[0] / sx)) * sx), min(picture.height, int(np.ceil(high[1] / sy)) * sy)
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else (0, 0, 0, 0)


def _cells_of(cover: NDArray[np.float32], how: str, strength: float) -> tuple[int, int]:
    """Cells along x and y, of about square shape."""
    width, height = float(cover[2] - cover[0]), float(cover[3] - cover[1])
    most = max(1, int(CELLS[how] / strength))
    size = max(max(width, height) / most, MIN_CELL_PX)
    return max(1, min(most, round(width / size))), max(1, min(most, round(height / size)))


def _paint(part: NDArray, alpha: NDArray[np.float32], rest: NDArray[np.float32], cells: tuple[int, int], how: str, step: int) -> None:
    """part (h, w) uint8 or uint16, in place: its coarse version blended over it. rest: 1 - alpha."""
    h, w = part.shape
    source = np.ascontiguousarray(part)
    few = cv2.resize(_quartered(source), (min(cells[0], w), min(cells[1], h)), interpolation=cv2.INTER_AREA).astype(np.float32)
    white = 256 * step // QUANTUM_8BIT - 1
    few = np.minimum(np.rint(few / step) * step, white)  # neutral chroma is a multiple of the step, so grey stays grey
    if how == "pixelate":
        coarse = cv2.resize(few.astype(part.dtype), (w, h), interpolation=cv2.INTER_NEAREST)
    elif how == "fill":
        coarse = np.full((h, w), few[0, 0]).astype(part.dtype)
    else:
        coarse = _smooth_up(few, w, h, part.dtype)
    if part.dtype == np.uint8:  # several times as fast as the sum below
        part[...] = cv2.blendLinear(source, coarse, rest, alpha)
        return
    change = cv2.multiply(cv2.subtract(coarse, source, dtype=cv2.CV_32F), alpha)
    part[...] = np.rint(cv2.add(change, source, dtype=cv2.CV_32F)).astype(part.dtype)


def _quartered(source: NDArray) -> NDArray:
    """(h, w) as (h // 4, w // 4) means where it is large: averaging by whole numbers is far quicker, and what is left over at two edges is less than a cell."""
    h, w = source.shape
    if min(h, w) < 160:
        return source
    halved = cv2.resize(source[: h // 4 * 4, : w // 4 * 4], (w // 4 * 2, h // 4 * 2), interpolation=cv2.INTER_AREA)  # twice a half is quicker than a quarter
    return cv2.resize(halved, (w // 4, h // 4), interpolation=cv2.INTER_AREA)


def _smooth_up(few: NDArray[np.float32], w: int, h: int, kind: np.dtype) -> NDArray:
    """Cells to (h, w) of `kind` without the creases of plain linear interpolation; never outside the range of the cells."""
    middle = cv2.resize(few, (min(w, 4 * few.shape[1]), min(h, 4 * few.shape[0])), interpolation=cv2.INTER_LINEAR)
    middle = cv2.GaussianBlur(middle, (0, 0), 1.6, borderType=cv2.BORDER_REPLICATE)
    return cv2.resize(np.rint(middle).astype(kind), (w, h), interpolation=cv2.INTER_LINEAR)


class _Shape(NamedTuple):
    """What the fade of one plane's part depends on: its samples, luma px to one of them, and the cover as seen from the part's corner, in luma px."""

    size: tuple[int, int]  # rows, columns
    chroma: tuple[int, int]
    centre: tuple[float, float]
    half: tuple[float, float]


def _seen_from(cover: NDArray[np.float32], box: PxBox) -> tuple[tuple[float, float], tuple[float, float]]:
    """The cover's middle and half size."""
    x0, y0, x1, y1 = cover.tolist()
    return ((x0 + x1) / 2 - box[0], (y0 + y1) / 2 - box[1]), (max((x1 - x0) / 2, 0.5), max((y1 - y0) / 2, 0.5))


@lru_cache(maxsize=16)  # luma and chroma of some faces, whose covers keep their shape for many frames
def _blend(shape: _Shape) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(h, w) float32 0..1, 1 in the cover's rounded rectangle, 0 at its fade's end; and what is left to 1."""
    (h, w), (sx, sy), (cx, cy), (rx, ry) = shape
    across, down = min(w, ALPHA_CELLS), min(h, ALPHA_CELLS)  # a smooth shape: worked out on a grid, then enlarged
    x = ((np.arange(across, dtype=np.float32) + 0.5) * (w / across) * sx - cx) / rx
    y = ((np.arange(down, dtype=np.float32) + 0.5) * (h / down) * sy - cy) / ry
    radius4 = np.square(np.square(x))[None, :] + np.square(np.square(y))[:, None]  # a superellipse of power 4
    table, scale = _fade_table()
    alpha = table[np.minimum(radius4 * scale, len(table) - 1).astype(np.int32)]
    if alpha.shape != (h, w):
        alpha = cv2.resize(alpha, (w, h), interpolation=cv2.INTER_LINEAR)
    return alpha, 1 - alpha


@lru_cache(maxsize=1)
def _fade_table() -> tuple[NDArray[np.float32], float]:
    """Alpha by radius^4: a table is much cheaper than a fourth root for every sample."""
    last = (1 + FADE) ** 4
    radius = np.linspace(0, last, 512) ** 0.25
    t = np.clip((1 + FADE - radius) / FADE, 0, 1)
    table = (t * t * (3 - 2 * t)).astype(np.float32)
    table[-1] = 0.0
    return table, 511 / last
