"""Face chips as dlib's nets were trained on: upright, with the eye corners and the nose base of dlib's own five points in fixed places.

The detector's five points (or its box, where they are unknown) give a rough upright view; in it dlib's shape predictor finds its own
five points; they give the chip. Only the face is ever converted, never the whole picture.
"""

from __future__ import annotations

import cv2
import dlib
import numpy as np
from numpy.typing import NDArray

from faceanon.core.geometry import similarity
from faceanon.core.picture import Image
from faceanon.core.settings import ModelSettings
from faceanon.models import registry, weights
from faceanon.models.crops import shrink_warp

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
