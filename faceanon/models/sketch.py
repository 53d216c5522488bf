"""What an inpainting net is told of a face's pose and expression: a sketch of its features, or heatmaps of a few points. No px of the face.

The sketch has four planes (lips, inside of the mouth, eyes, brows); heatmaps are Gaussians around 31 points of the mesh, at a quarter of the
crop's size. The DeepPrivacy way has seven keypoints alone: nose, eyes, ears, shoulders.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from faceanon.core.meshpoints import CHEEK_EDGES, INNER_LIPS, LEFT_BROW, LEFT_EYE, OUTER_LIPS, RIGHT_BROW, RIGHT_EYE

PLANES = 4
# outline, brows, nose, eyes, mouth
LANDMARKS = (
    234, 132, 172, 152, 397, 361, 454, 70, 105, 107, 336, 334, 300, 168, 1, 98, 327,
    33, 159, 133, 145, 362, 386, 263, 374, 61, 0, 291, 17, 13, 14,
)  # fmt: skip
MIRRORED = (6, 5, 4, 3, 2, 1, 0, 12, 11, 10, 9, 8, 7, 13, 14, 16, 15, 23, 22, 21, 24, 19, 18, 17, 20, 27, 26, 25, 28, 29, 30)  # which is which in a mirror
KEYPOINTS = 7
MIRRORED_KEYPOINTS = (0, 2, 1, 4, 3, 6, 5)
_SHIFT = 4  # fractional bits of drawn points
_SIGMA = 1.2  # of a heatmap, px of the heatmap
_SHOULDERS = np.array([[-1.75, 2.15], [1.75, 2.15]], np.float32)  # from the eyes' middle, in distances of the outer eye corners, of an upright body


def sketch(mesh: NDArray[np.float32], side_px: int) -> NDArray[np.uint8]:
    """(PLANES, S, S) uint8 0 or 255, soft at the edges, of a mesh (468, 2) px of the crop."""
    planes = np.zeros((PLANES, side_px, side_px), np.uint8)
    for plane, rings in zip(planes, ((OUTER_LIPS,), (INNER_LIPS,), (RIGHT_EYE, LEFT_EYE), (RIGHT_BROW, LEFT_BROW)), strict=True):
        for ring in rings:
            cv2.fillPoly(plane, [np.rint(mesh[list(ring)] * (1 << _SHIFT)).astype(np.int32)], 255, lineType=cv2.LINE_AA, shift=_SHIFT)
    return planes


def heatmaps(points: NDArray[np.float32], side_px: int) -> NDArray[np.float32]:
    """(K, S/4, S/4) float32 0..1, one Gaussian around each of points (K, 2) px of the crop of S px."""
    along = np.arange(side_px // 4, dtype=np.float32) * 4 + 1.5
    x, y = (np.exp(-((along[None] - points[:, axis : axis + 1]) ** 2) / (2 * (4 * _SIGMA) ** 2)) for axis in (0, 1))
    return y[:, :, None] * x[:, None, :]


def landmarks(mesh: NDArray[np.float32]) -> NDArray[np.float32]:
    """(31, 2) px."""
    return mesh[list(LANDMARKS), :2]


def keypoints(mesh: NDArray[np.float32]) -> NDArray[np.float32]:
    """(7, 2) px: nose, eyes, ears and shoulders. Shoulders are where those of an upright body below the head would be; a mesh has none."""
    flat = mesh[:, :2]
    eyes = np.stack([(flat[33] + flat[133]) / 2, (flat[263] + flat[362]) / 2])
    size = np.linalg.norm(flat[33] - flat[263])
    return np.concatenate([flat[1:2], eyes, flat[list(CHEEK_EDGES)], eyes.mean(0) + _SHOULDERS * size]).astype(np.float32)
