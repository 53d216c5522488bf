"""One decoded frame as it is shown: planes that can be painted in place, seen upright.

Planes are numpy views of the decoder's own memory, turned so that row 0 is the top of the picture as a viewer sees it; writing
into them writes into the frame that will be encoded. Nothing outside the painted pixels is ever converted, so what is not a
face keeps its exact values, its bit depth and its chroma.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # (H, W, 3) uint8 BGR
Alpha = NDArray[np.float32]  # (H, W) float32 0..1
PxBox = tuple[int, int, int, int]  # x0, y0, x1, y1 in whole px; x1 and y1 lie outside

# Kr, Kb of ITU-R BT.601, BT.709 and BT.2020 (non-constant luminance)
_LUMA = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}


@dataclass(frozen=True)
class PlaneFormat:
    """How planes are to be read.

    depth: bits a sample (8 in uint8, more in uint16, least significant bits used).
    chroma: luma px to one chroma sample as (horizontal, vertical) in the upright picture; None for grey.
    """

    depth: int
    chroma: tuple[int, int] | None
    full_range: bool
    matrix: str  # "bt601", "bt709" or "bt2020"

    def __post_init__(self) -> None:
        if self.matrix not in _LUMA:
            raise ValueError(f"an unknown colour matrix: got {self.matrix = }")


@dataclass
class Picture:
    """A frame of a video. `index` counts its video's frames from 0 in order of display; `pts` is in the stream's time base.

    planes: Y, or Y, U and V; each (rows, columns), writable.
    """

    index: int
    pts: int
    planes: tuple[NDArray, ...]
    format: PlaneFormat

    @classmethod
    def of(cls, image: Image) -> Picture:
        """A picture that shows `image` (H, W, 3) uint8 BGR: planes of full size, of its own."""
        height, width = image.shape[:2]
        picture = cls(0, 0, tuple(np.zeros((height, width), np.uint8) for _ in range(3)), PlaneFormat(8, (1, 1), True, "bt601"))
        picture.paste(0, 0, image, np.ones((height, width), np.float32))
        return picture

    @property
    def width(self) -> int:
        return self.planes[0].shape[1]

    @property
    def height(self) -> int:
        return self.planes[0].shape[0]

    def bgr(self, width: int | None = None) -> Image:
        """The whole picture as (H, W, 3) uint8 BGR, shrunk to `width` columns where that is fewer; the aspect is kept."""
        if width is None or width >= self.width:
            return self.crop((0, 0, self.width, self.height))
        size = (width, max(1, round(self.height * width / self.width)))
        return self._to_bgr([_shrunk(np.ascontiguousarray(p), size) for p in self.planes])

    def grey(self, width: int) -> NDArray[np.uint8]:
        """Luma alone as (H, W) uint8, shrunk to `width` columns where that is fewer."""
        luma = self.planes[0]
        if width < self.width:
            luma = cv2.resize(np.ascontiguousarray(luma), (width, max(1, round(self.height * width / self.width))), interpolation=cv2.INTER_AREA)
        return np.ascontiguousarray(luma if self.format.depth == 8 else luma >> (self.format.depth - 8)).astype(np.uint8, copy=False)

    def crop(self, box: tuple[int, int, int, int]) -> Image:
        """The px of box (x0, y0, x1, y1), which must lie inside the picture, as (y1-y0, x1-x0, 3) uint8 BGR."""
        x0, y0, x1, y1 = box
        if not (0 <= x0 < x1 <= self.width and 0 <= y0 < y1 <= self.height):
            raise ValueError(f"a crop outside the picture: got {box = }, {self.width = }, {self.height = }")
        parts = [np.ascontiguousarray(self.planes[0][y0:y1, x0:x1])]
        if self.format.chroma is not None:
            sx, sy = self.format.chroma
            for plane in self.planes[1:]:
                part = plane[y0 // sy : -(-y1 // sy), x0 // sx : -(-x1 // sx)]
                if (sx, sy) != (1, 1):
                    part = cv2.resize(np.ascontiguousarray(part), (part.shape[1] * sx, part.shape[0] * sy), interpolation=cv2.INTER_LINEAR)
                top, left = y0 - (y0 // sy) * sy, x0 - (x0 // sx) * sx
                parts.append(np.ascontiguousarray(part[top : top + y1 - y0, left : left + x1 - x0]))
        return self._to_bgr(parts)

    def paste(self, x0: int, y0: int, image: Image, alpha: Alpha) -> None:
        """Blend `image` over the picture with its left upper corner at (x0, y0): new = old * (1 - alpha) + image * alpha.

        image is (h, w, 3) uint8 BGR and alpha (h, w) float32 0..1; both must fit inside the picture. Where alpha is 0 no
        sample changes, chroma samples that no pixel with alpha touches included.
        """
        h, w = alpha.shape
        if image.shape[:2] != (h, w) or x0 < 0 or y0 < 0 or x0 + w > self.width or y0 + h > self.height:
            raise ValueError(f"a paste outside the picture: got {x0 = }, {y0 = }, {image.shape = }, {alpha.shape = }, {self.width = }, {self.height = }")
        forward, offset = _to_yuv(self.format)
        yuv = cv2.transform(image.astype(np.float32), np.concatenate([forward, offset[:, None]], axis=1))  # (h, w, 3) float32, sample units
        _blend(self.planes[0][y0 : y0 + h, x0 : x0 + w], yuv[..., 0] * alpha, alpha, self.format.depth)
        if self.format.chroma is None:
            return
        sx, sy = self.format.chroma
        left, top = x0 % sx, y0 % sy
        right, bottom = -(x0 + w) % sx, -(y0 + h) % sy
        pads = ((top, bottom), (left, right))
        share = _cells(np.pad(alpha, pads), sx, sy)
        rows, columns = slice(y0 // sy, y0 // sy + share.shape[0]), slice(x0 // sx, x0 // sx + share.shape[1])
        for plane, channel in zip(self.planes[1:], (1, 2), strict=True):
            target = plane[rows, columns]  # the last cell of an odd-sized picture may be missing from the plane
            weighted = _cells(np.pad(yuv[..., channel] * alpha, pads), sx, sy)
            _blend(target, weighted[: target.shape[0], : target.shape[1]], share[: target.shape[0], : target.shape[1]], self.format.depth)

    def plane_box(self, plane: int, box: tuple[int, int, int, int]) -> NDArray:
        """The writable part of one plane that holds box (x0, y0, x1, y1), rounded outwards to whole samples."""
        sx, sy = (1, 1) if plane == 0 or self.format.chroma is None else self.format.chroma
        x0, y0, x1, y1 = box
        return self.planes[plane][max(0, y0 // sy) : -(-y1 // sy), max(0, x0 // sx) : -(-x1 // sx)]

    def _to_bgr(self, parts: list[NDArray]) -> Image:
        shift = self.format.depth - 8
        if shift:
            parts = [(p >> shift).astype(np.uint8) for p in parts]
        if len(parts) == 1:
            parts = [parts[0], *(np.full_like(parts[0], 128),) * 2]
        matrix = _to_rgb(self.format.full_range, self.format.matrix)
        return cv2.transform(cv2.merge(parts), matrix)


def _shrunk(plane: NDArray, size: tuple[int, int]) -> NDArray:
    """Means over areas. A half is taken first where it comes out even: that alone is several times as fast as any other step."""
    while plane.shape[1] >= 4 * size[0] and plane.shape[0] >= 4 * size[1] and not plane.shape[1] % 2 and not plane.shape[0] % 2:
        plane = cv2.resize(plane, (plane.shape[1] // 2, plane.shape[0] // 2), interpolation=cv2.INTER_AREA)
    return cv2.resize(plane, size, interpolation=cv2.INTER_AREA)


def _cells(values: NDArray[np.float32], sx: int, sy: int) -> NDArray[np.float32]:
    """Means over sy x sx cells."""
    h, w = values.shape
    return values if (sx, sy) == (1, 1) else cv2.resize(values, (w // sx, h // sy), interpolation=cv2.INTER_AREA)


def _blend(target: NDArray, weighted: NDArray[np.float32], alpha: Alpha, depth: int) -> None:
    mixed = target * (1 - alpha) + weighted
    target[...] = np.clip(np.rint(mixed), 0, (1 << depth) - 1).astype(target.dtype)


@lru_cache(maxsize=16)
def _to_rgb(full_range: bool, matrix: str) -> NDArray[np.float32]:
    """(3, 4) from 8-bit Y, U, V to B, G, R."""
    kr, kb = _LUMA[matrix]
    kg = 1 - kr - kb
    y, c = (1.0, 1.0) if full_range else (255 / 219, 255 / 224)
    rows = np.array(
        [
            [y, 2 * (1 - kb) * c, 0],
            [y, -2 * (1 - kb) * kb / kg * c, -2 * (1 - kr) * kr / kg * c],
            [y, 0, 2 * (1 - kr) * c],
        ]
    )
    black = np.array([0 if full_range else 16, 128, 128])
    return np.concatenate([rows, -(rows @ black)[:, None]], axis=1).astype(np.float32)


@lru_cache(maxsize=16)
def _to_yuv(fmt: PlaneFormat) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(3, 3) from 8-bit B, G, R to Y, U, V in sample units of the format, and its offset (3,)."""
    kr, kb = _LUMA[fmt.matrix]
    kg = 1 - kr - kb
    y, c = (1.0, 1.0) if fmt.full_range else (219 / 255, 224 / 255)
    rows = np.array(
        [
            [kb * y, kg * y, kr * y],
            [0.5 * c, -0.5 * kg / (1 - kb) * c, -0.5 * kr / (1 - kb) * c],
            [-0.5 * kb / (1 - kr) * c, -0.5 * kg / (1 - kr) * c, 0.5 * c],
        ]
    )
    scale = float(1 << (fmt.depth - 8))
    offset = np.array([0 if fmt.full_range else 16, 128, 128]) * scale
    return (rows * scale).astype(np.float32), offset.astype(np.float32)
