"""Pictures side by side, each under its name: frames of a film and contact sheets."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from faceanon.core.picture import Image

LABEL_PX = 28
GAP_PX = 4
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_WIDE = 16 / 9


def columns_for(count: int, width: int, height: int) -> int:
    """How many of `count` panels of width x height stand side by side, so that all together come nearest to a screen's shape."""
    return min(range(1, count + 1), key=lambda n: abs(math.log(n * width / (math.ceil(count / n) * (height + LABEL_PX)) / _WIDE)))


def fitted(image: Image, width: int, height: int) -> Image:
    """The image at exactly this size."""
    shrinks = image.shape[1] > width
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR), np.uint8)


def labelled(image: Image, text: str) -> Image:
    """The image below a bar with its name, in letters that fit."""
    bar = np.full((LABEL_PX, image.shape[1], 3), 24, np.uint8)
    (wide, _), _ = cv2.getTextSize(text, _FONT, 0.6, 1)
    scale = 0.6 * min(1.0, (image.shape[1] - 8) / max(wide, 1))
    cv2.putText(bar, text, (4, LABEL_PX - 9), _FONT, scale, (240, 240, 240), 1, cv2.LINE_AA)
    return np.concatenate([bar, image])


def grid(tiles: Sequence[Image], columns: int, *, even: bool = False) -> Image:
    """Tiles of one size in rows of `columns`, white between them; `even`: with sides that encoders take."""
    height, width = tiles[0].shape[:2]
    rows = math.ceil(len(tiles) / columns)
    size = [rows * (height + GAP_PX) - GAP_PX, columns * (width + GAP_PX) - GAP_PX]
    sheet = np.full((*(side + side % 2 if even else side for side in size), 3), 255, np.uint8)
    for number, tile in enumerate(tiles):
        y, x = number // columns * (height + GAP_PX), number % columns * (width + GAP_PX)
        sheet[y : y + height, x : x + width] = tile
    return sheet
