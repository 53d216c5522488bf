"""A face cut out of a picture, not larger than asked."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from faceanon.core.picture import Image, Picture

ToView = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def view_box(picture: Picture, face: NDArray[np.float32], margin: float) -> tuple[int, int, int, int] | None:
    """Whole px around a face (4,) grown by `margin` of its larger side, inside the picture; None where nothing is left."""
    if not np.all(np.isfinite(face)):
        return None
    grow = margin * max(float(face[2] - face[0]), float(face[3] - face[1]))
    x0, y0 = np.maximum(np.floor(face[:2] - grow), 0).astype(int)
    x1, y1 = np.minimum(np.ceil(face[2:] + grow), [picture.width, picture.height]).astype(int)
    return (int(x0), int(y0), int(x1), int(y1)) if x1 > x0 and y1 > y0 else None


def view(picture: Picture, face: NDArray[np.float32], margin: float, face_px: int) -> tuple[Image, ToView, NDArray[np.float32], float]:
    """The view as BGR, px of the picture to px of the view, the view's left upper corner (2,) and its scale (view px a picture px).

    The face is at most `face_px` wide in it.
    """
    box = view_box(picture, face, margin)
    if box is None:
        raise ValueError(f"a view of nothing: got {face = }")
    image = picture.crop(box)
    k = min(1.0, face_px / max(float(face[2] - face[0]), 1.0))
    if k < 1.0:
        image = cv2.resize(image, (max(1, round(image.shape[1] * k)), max(1, round(image.shape[0] * k))), interpolation=cv2.INTER_AREA)
    corner = np.array(box[:2], np.float32)
    return image, lambda xy: ((xy - corner) * k).astype(np.float32), corner, k
