"""The square crop that the inpainting nets paint: an upright face in a fixed place, with a hole over all of it.

The view of the embedder (dlib's chip of 150 px) is an exact part of the crop: CHIP. The hole is one ellipse for every face, from the hair line to
below the chin, so that its outline tells nothing of the face behind it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from faceanon.core.geometry import Points, similarity

SIDE_PX = 128
CHIP = (16, 25, 96)  # x, y, side in px of the crop
HOLE_CENTRE, HOLE_RADII = (64.0, 70.0), (44.0, 54.0)
# (5, 2) px: eyes, tip of the nose, corners of the mouth, the picture's left one first; where the chip has them, on average
POINTS = np.array([[46.1, 54.3], [81.9, 54.3], [64.0, 75.0], [48.8, 90.5], [79.2, 90.5]], np.float32)


def points_of(mesh: NDArray[np.float32]) -> Points:
    """(5, 2) px of a mesh (468, 2 or 3): the eyes' middles, the tip of the nose and the corners of the mouth, the picture's left one first."""
    flat = mesh[:, :2]
    return np.stack([(flat[33] + flat[133]) / 2, (flat[263] + flat[362]) / 2, flat[1], flat[61], flat[291]]).astype(np.float32)


def box_of(mesh: NDArray[np.float32]) -> NDArray[np.float32]:
    """(4,) xyxy px around the mesh."""
    return np.concatenate([mesh[:, :2].min(0), mesh[:, :2].max(0)]).astype(np.float32)


def to_crop(mesh: NDArray[np.float32], side_px: int = SIDE_PX) -> NDArray[np.float32]:
    """(2, 3) similarity from the picture's px to those of a crop with that side."""
    return similarity(points_of(mesh), scaled(POINTS, side_px))


def scaled(points: Points, side_px: int) -> Points:
    """Points (..., 2) of a crop of SIDE_PX in px of one with another side; px are counted by their centres."""
    share = side_px / SIDE_PX
    return ((points + 0.5) * share - 0.5).astype(np.float32)


def hole(side_px: int = SIDE_PX) -> NDArray[np.float32]:
    """(S, S) float32: 1 where the face is blanked, 0 elsewhere."""
    share = SIDE_PX / side_px
    along = (np.arange(side_px, dtype=np.float32) + 0.5) * share - 0.5
    x, y = ((along - centre) / radius for centre, radius in zip(HOLE_CENTRE, HOLE_RADII, strict=True))
    return (x[None] ** 2 + y[:, None] ** 2 <= 1).astype(np.float32)
