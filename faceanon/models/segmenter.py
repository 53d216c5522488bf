"""MediaPipe Selfie Segmentation (Google): which px are person.

Read by OpenCV's classic engine (18 ms an image, one thread); OpenVINO does not know the graph's transposed convolution.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from faceanon.core.picture import Image
from faceanon.core.settings import ModelSettings
from faceanon.models import registry, weights

_SIDE_PX = 256


class SelfieSegmenter:
    """Fulfils core.ports.PersonSegmenter. Best on an image in which one or two people fill much of the height, such as a crop around a head."""

    name = "selfie_segmentation"
    model_sha256: tuple[str, ...] = (registry.weight("selfie_segmentation").sha256,)

    def __init__(self, models: ModelSettings) -> None:
        registry.require("selfie_segmentation", models.licences)
        data = np.frombuffer(weights.path_of("selfie_segmentation").read_bytes(), np.uint8)
        self._net = cv2.dnn.readNetFromTFLite(data, cv2.dnn.ENGINE_CLASSIC)

    def mask(self, image: Image) -> NDArray[np.float32]:
        height, width = image.shape[:2]
        self._net.setInput(cv2.dnn.blobFromImage(image, 1 / 255, (_SIDE_PX, _SIDE_PX), swapRB=True))
        share = self._net.forward()[0, 0]  # (256, 256) float32 0..1
        return np.clip(cv2.resize(share, (width, height), interpolation=cv2.INTER_LINEAR), 0, 1)
