"""Face chips as dlib's nets were trained on: upright, with the eye corners and the nose base of dlib's own five points in fixed places.

The detector's five points (or its box, where they are unknown) give a rough upright view; in it dlib's shape predictor finds its own
five points; they give the chip. Only the face is ever converted, never the whole picture.
"""

from __future__ import annotations

import cv2
import dlib
import numpy as np
from numpy.typing import NDArray

from faceanon.core.geometry import similarity, transform
from faceanon.core.picture import Image
from faceanon.core.settings import ModelSettings
from faceanon.models import registry, weights

VIEW_PX = 320  # side of the rough view
# (5, 2) px: where YuNet's points lie in the view, on average: 400 LFW photos, dlib's own detector and chips, mirrored and averaged
_VIEW_POINTS = np.array([[47.1, 45.8], [102.9, 45.8], [75.0, 78.2], [51.2, 102.4], [98.8, 102.4]], np.float32) * 1.4 + 55
# On the same photos, a box's share of dlib's box: sides, and the way from centre to centre in mean sides of the box.
_BOX_SHARE, _BOX_FALL = 0.96, 0.066
_VIEW_BOX = (65, 70, 254, 259)  # dlib's box in the view (left, top, right, bottom)


class Aligner:
    """Cuts chips of any size and padding (the share of a face's size that is added on each side)."""

    model_sha256: tuple[str, ...] = (registry.weight("dlib_points5").sha256,)

    def __init__(self, models: ModelSettings) -> None:
        registry.require("dlib_points5", models.licences)
        self._predictor = dlib.shape_predictor(str(weights.path_of("dlib_points5")))

    def chips(self, image: Image, points: NDArray[np.float32], box: NDArray[np.float32], kinds: tuple[tuple[int, float], ...]) -> list[NDArray[np.uint8]]:
        """One (side, side, 3) uint8 RGB chip for each (side, padding) in `kinds`."""
        view = cv2.cvtColor(shrink_warp(image, view_of(points, box), VIEW_PX), cv2.COLOR_BGR2RGB)
        shape = self._predictor(view, dlib.rectangle(*_VIEW_BOX))
        return [dlib.get_face_chip(view, shape, side, padding) for side, padding in kinds]


def view_of(points: NDArray[np.float32], box: NDArray[np.float32]) -> NDArray[np.float32]:
    """(2, 3) image to view px."""
    if np.isfinite(points).all():
        return similarity(points, _VIEW_POINTS)
    side = max(float(box[2] - box[0] + box[3] - box[1]) / 2, 1.0)
    scale = (_VIEW_BOX[2] - _VIEW_BOX[0] + 1) / (_BOX_SHARE * side)
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2 + _BOX_FALL * side
    return np.array([[scale, 0, (_VIEW_BOX[0] + _VIEW_BOX[2]) / 2 - scale * x], [0, scale, (_VIEW_BOX[1] + _VIEW_BOX[3]) / 2 - scale * y]], np.float32)


def shrink_warp(image: Image, matrix: NDArray[np.float32], side: int) -> Image:
    """(side, side, 3): the image through `matrix`; large faces are shrunk by area first, since sampling every fourth px would alias."""
    scale = float(np.hypot(matrix[0, 0], matrix[0, 1]))
    factor = int(1 / max(scale, 1e-6))
    if factor >= 2:
        back = cv2.invertAffineTransform(matrix)
        corners = transform(np.array([[0, 0], [side, 0], [0, side], [side, side]], np.float32), back.astype(np.float32))
        low = np.clip(np.floor(corners.min(0)).astype(int), 0, [image.shape[1] - 1, image.shape[0] - 1])
        high = np.clip(np.ceil(corners.max(0)).astype(int), low + 1, [image.shape[1], image.shape[0]])
        part = image[low[1] : high[1], low[0] : high[0]]
        size = (max(part.shape[1] // factor, 1), max(part.shape[0] // factor, 1))
        to_image = np.array([[part.shape[1] / size[0], 0, low[0]], [0, part.shape[0] / size[1], low[1]], [0, 0, 1]])
        matrix = (np.concatenate([matrix, [[0, 0, 1]]]) @ to_image)[:2].astype(np.float32)
        image = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    return cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
