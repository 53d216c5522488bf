"""The 468-point mesh: which points are what, and triangles over them.

Numbers of points are those of Kartynnik et al., Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs, 2019
(arXiv 1907.06724). The triangles are ours: Delaunay over a mesh whose mouth is held open, so that the inside of the mouth is a region of its own.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from faceanon.core.meshpoints import CHEEK_EDGES as CHEEK_EDGES
from faceanon.core.meshpoints import INNER_LIPS as INNER_LIPS
from faceanon.core.meshpoints import LEFT_BROW as LEFT_BROW
from faceanon.core.meshpoints import LEFT_EYE as LEFT_EYE
from faceanon.core.meshpoints import OUTER_LIPS as OUTER_LIPS
from faceanon.core.meshpoints import RIGHT_BROW as RIGHT_BROW
from faceanon.core.meshpoints import RIGHT_EYE as RIGHT_EYE

POINTS = 468
OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
LOWER_LIP = (
    146, 91, 181, 84, 17, 314, 405, 321, 375, 77, 90, 180, 85, 16, 315, 404, 320, 307,
    96, 89, 179, 86, 15, 316, 403, 319, 325, 95, 88, 178, 87, 14, 317, 402, 318, 324,
)  # fmt: skip
UPPER_LIP = (
    185, 40, 39, 37, 0, 267, 269, 270, 409, 184, 74, 73, 72, 11, 302, 303, 304, 408,
    183, 42, 41, 38, 12, 268, 271, 272, 407, 191, 80, 81, 82, 13, 312, 311, 310, 415,
)  # fmt: skip
MOUTH_CORNERS = (61, 291, 76, 306, 62, 292, 78, 308)
LIPS = LOWER_LIP + UPPER_LIP + MOUTH_CORNERS

RIGHT_LID = (130, 25, 110, 24, 23, 22, 26, 112, 243, 190, 56, 28, 27, 29, 30, 247)
LEFT_LID = (359, 255, 339, 254, 253, 252, 256, 341, 463, 414, 286, 258, 257, 259, 260, 467)
# around each eye, from below the brow to the cheek
RIGHT_SOCKET = (226, 31, 228, 229, 230, 231, 232, 233, 244, 189, 221, 222, 223, 224, 225, 113)
LEFT_SOCKET = (446, 261, 448, 449, 450, 451, 452, 453, 464, 413, 441, 442, 443, 444, 445, 342)
NOSE_TIP, CHIN, FOREHEAD_TOP = 4, 152, 10


def eye_distance(mesh: NDArray[np.float32]) -> float:
    """Between the outer corners of the eyes; mesh (468, 2 or 3). In 3D it hardly changes when the head turns."""
    return float(np.linalg.norm(mesh[33] - mesh[263]))


def openness(mesh: NDArray[np.float32]) -> float:
    """Gap of the inner lips over the distance of the outer eye corners."""
    return float(np.linalg.norm(mesh[13] - mesh[14]) / max(eye_distance(mesh), 1e-6))


def with_open_mouth(layout: NDArray[np.float32], gap: float = 0.22) -> NDArray[np.float32]:
    """layout (468, 2) upright px, its inner lips at least `gap` of the eye distance apart: lower lip and chin moved down."""
    wide = eye_distance(layout)
    offset = max(0.0, gap - openness(layout)) * wide
    middle, line = layout[[78, 308]].mean(0), layout[[78, 308], 1].mean()
    below = layout[:, 1] > line
    below[list(UPPER_LIP)] = False
    below[list(LOWER_LIP)] = True
    half = 1.05 * float(np.linalg.norm(layout[78] - layout[308])) / 2
    reach = np.clip(1 - ((layout[:, 0] - middle[0]) / half) ** 2, 0, 1)  # corners stay, so that no skin is stretched beside them
    opened = layout.copy()
    opened[:, 1] += np.where(below, offset * reach, 0)
    return opened.astype(np.float32)


def triangulate(layout: NDArray[np.float32]) -> NDArray[np.int32]:
    """Delaunay triangles (T, 3) over layout (N, 2)."""
    low, high = layout.min(0) - 10, layout.max(0) + 10
    plan = cv2.Subdiv2D((int(low[0]), int(low[1]), int(high[0] - low[0]) + 2, int(high[1] - low[1]) + 2))
    number = {}
    for i, point in enumerate(layout):
        number.setdefault(plan.insert((float(point[0]), float(point[1]))), i)
    corners = plan.getTriangleList().reshape(-1, 3, 2)
    inside = np.all((corners > low) & (corners < high), axis=(1, 2))
    gap = np.abs(corners[inside][:, :, None, :] - layout[None, None]).sum(-1)  # (T, 3, N)
    triangles = gap.argmin(2).astype(np.int32)
    return triangles[gap.min(2).max(1) < 0.01]
