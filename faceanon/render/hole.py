"""Between a picture and the crop of a net that paints into a hole: nothing of what lies in the hole is carried over, not even by a rounded px.

A crop is cut from known px alone: those farther from the hole than a chroma sample and a rounding reach. What comes back is laid over the picture in
the shape of the face, whole over the face and the hole alike, fading only where no face is.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from faceanon.core.geometry import transform
from faceanon.core.picture import Image, Picture, PxBox
from faceanon.render import topology as topo

_GUARD_PX = 3  # of the picture, around the hole: a chroma sample spreads over two
_GROW, _FADE = 0.01, 0.05  # of the crop's side: how far the paint reaches beyond the mesh's outline, and over how much more it fades


@dataclass(frozen=True)
class Place:
    """Where a crop lies in a picture."""

    box: PxBox  # the part of the picture around the crop
    to_crop: NDArray[np.float32]  # (2, 3) px of the part to px of the crop
    side_px: int

    @property
    def scale(self) -> float:
        """Crop px a picture px."""
        return float(np.hypot(self.to_crop[0, 0], self.to_crop[1, 0]))

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the part."""
        return (self.box[2] - self.box[0], self.box[3] - self.box[1])


def place(picture: Picture, to_crop: NDArray[np.float32], side_px: int) -> Place | None:
    """to_crop (2, 3): px of the picture to px of the crop. None where nothing of the crop lies inside the picture."""
    last = side_px - 0.5
    corners = transform(np.array([[-0.5, -0.5], [last, -0.5], [last, last], [-0.5, last]], np.float32), cv2.invertAffineTransform(to_crop))
    if not np.all(np.isfinite(corners)):
        return None
    x0, y0 = np.maximum(np.floor(corners.min(0)), 0).astype(int)
    x1, y1 = np.minimum(np.ceil(corners.max(0)) + 1, [picture.width, picture.height]).astype(int)
    if x1 - x0 < 4 or y1 - y0 < 4:
        return None
    shift = to_crop[:, 2] + to_crop[:, :2] @ np.array([x0, y0], np.float32)
    return Place((int(x0), int(y0), int(x1), int(y1)), np.concatenate([to_crop[:, :2], shift[:, None]], axis=1).astype(np.float32), side_px)


def cut(part: Image, at: Place, hole: NDArray[np.float32]) -> Image:
    """(S, S, 3) the crop of `part` (h, w, 3), which is the picture's at.box. In the hole (S, S) it is black."""
    reach = 2 * _GUARD_PX + 1
    known = 1 - cv2.dilate((_to_part(hole, at, cv2.INTER_LINEAR) > 0).astype(np.float32), np.ones((reach, reach)))
    filled = part * known[..., None]
    k = min(1.0, 1.5 * at.scale)
    matrix = at.to_crop
    if k < 0.9:
        size = (max(2, round(at.size[0] * k)), max(2, round(at.size[1] * k)))
        filled, known = (cv2.resize(a, size, interpolation=cv2.INTER_AREA) for a in (filled, known))
        matrix = _after_resize(matrix, at.size, size)
    colour, share = (cv2.warpAffine(a, matrix, (at.side_px, at.side_px), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for a in (filled, known))
    crop = colour / np.maximum(share, 1e-3)[..., None]
    gap = (share < 0.1) & (hole == 0)  # known px begin a little farther out than the hole ends
    for sigma in (2.0, 8.0):
        if not gap.any():
            break
        near, weight = cv2.GaussianBlur(colour, (0, 0), sigma), cv2.GaussianBlur(share, (0, 0), sigma)
        gap &= weight > 1e-3
        crop[gap] = near[gap] / weight[gap][:, None]
        gap = (share < 0.1) & (hole == 0) & (weight <= 1e-3)
    crop[hole > 0] = 0
    return np.rint(np.clip(crop, 0, 255)).astype(np.uint8)


def shown_part(mesh: NDArray[np.float32], hole: NDArray[np.float32]) -> NDArray[np.float32]:
    """(S, S) float32 0..1: how much of a crop is shown, for a mesh (468, 2) px of it. 1 over the face inside the hole, fading around."""
    side = hole.shape[0]
    face = np.zeros((side, side), np.uint8)
    cv2.fillPoly(face, [np.rint(mesh[list(topo.OVAL), :2] * 16).astype(np.int32)], 1, shift=4)
    face = (cv2.distanceTransform(1 - face, cv2.DIST_L2, 5) <= _GROW * side).astype(np.uint8) * (hole > 0)
    beyond = np.clip(cv2.distanceTransform((1 - face).astype(np.uint8), cv2.DIST_L2, 5) / (_FADE * side), 0, 1)
    return (1 - beyond * beyond * (3 - 2 * beyond)).astype(np.float32)


def laid(crop: Image, at: Place) -> Image:
    """(h, w, 3) the crop on the picture's at.box; large faces are enlarged smoothly."""
    if at.scale > 1.2:
        crop = cv2.GaussianBlur(crop, (0, 0), 0.4 * at.scale)
    return _to_part(crop, at, cv2.INTER_CUBIC)


def laid_alpha(alpha: NDArray[np.float32], at: Place) -> NDArray[np.float32]:
    """(h, w) float32 0..1."""
    return np.clip(_to_part(alpha, at, cv2.INTER_LINEAR), 0, 1)


def _to_part(crop: NDArray, at: Place, how: int) -> NDArray:
    edge = cv2.BORDER_REPLICATE if crop.ndim == 3 else cv2.BORDER_CONSTANT  # colours go on, masks end
    return cv2.warpAffine(crop, at.to_crop, at.size, flags=how | cv2.WARP_INVERSE_MAP, borderMode=edge)


def _after_resize(matrix: NDArray[np.float32], before: tuple[int, int], after: tuple[int, int]) -> NDArray[np.float32]:
    """The matrix for a source that was resized."""
    back = np.array([before[0] / after[0], before[1] / after[1]], np.float32)
    turn = matrix[:, :2] * back
    shift = matrix[:, 2] + matrix[:, :2] @ (0.5 * back - 0.5)
    return np.concatenate([turn, shift[:, None]], axis=1).astype(np.float32)
