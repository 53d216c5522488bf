"""MediaPipe Face Mesh (Kartynnik et al., 2019): 468 points and a score, from an upright square crop around one face.

The net wants the crop that MediaPipe's tracker takes from the mesh of the frame before: the mesh's bounding box, turned so that the
outer eye corners lie level, 1.5 times its longer side. A frame here stands alone: a first crop comes from the detector's box and the
roll of the eyes, its mesh gives the crop of the second pass, whose mesh is the answer. On 400 LFW photos the first pass lies 1.1 % of
the face's size from where further passes end, the second 0.5 % (turned faces: 1.4 and 0.8). Crops made from the five points alone
were worse, 1.5 and 3.2 % at first, since turning a head moves its eyes together.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from faceanon.core.geometry import transform
from faceanon.core.picture import Image
from faceanon.core.settings import ModelSettings
from faceanon.models import registry, weights
from faceanon.models.crops import shrink_warp
from faceanon.models.openvino_net import compiled

SIDE_PX = 192
_MARGIN = 1.5
_WORTH = 0.02  # a first score below is no face at all
_EYE_CORNERS = (33, 263)  # outer corners, left and right in the image
# Mean over 400 LFW photos: the mean of a YuNet box's sides as a share of the crop's side, and how far its centre lies above the crop's.
_BOX_SHARE, _BOX_RISE = 0.636, 0.034


class TfliteMesh:
    """Fits the mesh with face_landmark.tflite. Run by OpenVINO: 1.7 ms a crop where OpenCV's reader takes 3.4, the same points to 1e-5 px."""

    name = "face_mesh"
    model_sha256: tuple[str, ...] = (registry.weight("face_mesh").sha256,)

    def __init__(self, models: ModelSettings) -> None:
        import openvino

        registry.require("face_mesh", models.licences)
        folder = weights.folder_of(["face_mesh"])
        core = openvino.Core()
        self._net = compiled(core, core.read_model(folder / registry.weight("face_mesh").file_name), models.threads)

    def fit(self, image: Image, points: NDArray[np.float32], box: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
        """mesh (468, 3) float32 px of `image`, z in the same scale and smaller towards the camera, and a score 0..1."""
        mesh, score = self._fit_crop(image, crop_of_box(box, roll_of(points)))
        return self._fit_crop(image, crop_of_mesh(mesh)) if score > _WORTH else (mesh, score)

    def _fit_crop(self, image: Image, to_crop: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
        crop = shrink_warp(image, to_crop, SIDE_PX)
        batch = cv2.cvtColor(crop, cv2.COLOR_BGR2RGB).astype(np.float32)[None] / 255  # (1, 192, 192, 3) RGB 0..1
        landmarks, flag = (value.reshape(-1) for value in self._net(batch).values())
        mesh = landmarks.reshape(468, 3)  # crop px
        to_image = cv2.invertAffineTransform(to_crop)
        scale = np.float32(np.hypot(to_image[0, 0], to_image[1, 0]))
        mesh = np.concatenate([transform(mesh[:, :2], to_image.astype(np.float32)), mesh[:, 2:] * scale], axis=1)
        return mesh, float(1 / (1 + np.exp(-np.float64(flag[0]))))


def roll_of(points: NDArray[np.float32]) -> float:
    """Turn of the line through the eyes in radians, clockwise in the image; 0 where points are unknown."""
    x, y = points[1] - points[0]
    return float(np.arctan2(y, x)) if np.isfinite(x + y) else 0.0


def crop_of_box(box: NDArray[np.float32], roll: float) -> NDArray[np.float32]:
    """(2, 3) image to crop px, from a face's box (4,) xyxy."""
    size = max(float(box[2] - box[0] + box[3] - box[1]) / 2, 1.0) / _BOX_SHARE
    fall = _BOX_RISE * size  # along the face's own axis
    return _square((box[0] + box[2]) / 2 - np.sin(roll) * fall, (box[1] + box[3]) / 2 + np.cos(roll) * fall, size, roll)


def crop_of_mesh(mesh: NDArray[np.float32]) -> NDArray[np.float32]:
    """(2, 3) image to crop px, as MediaPipe follows a face from one frame to the next."""
    roll = roll_of(mesh[list(_EYE_CORNERS), :2])
    turn = np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]], np.float32)
    level = mesh[:, :2] @ turn.T
    low, high = level.min(0), level.max(0)
    x, y = turn.T @ ((low + high) / 2)
    return _square(x, y, max(float((high - low).max()), 1.0) * _MARGIN, roll)


def _square(x: float, y: float, size: float, roll: float) -> NDArray[np.float32]:
    scale = SIDE_PX / size
    cos, sin = np.cos(roll) * scale, np.sin(roll) * scale
    turn = np.array([[cos, sin], [-sin, cos]])
    return np.concatenate([turn, (SIDE_PX / 2 - turn @ [x, y])[:, None]], axis=1).astype(np.float32)
