"""Which of seven emotions a face seems to show: only to tell whether a new face shows what the old one did.

The net of the fer package (Justin Shenk), after Arriaga et al., 2017. Input: a grey square around the face, 64 px, -1..1. Run by OpenVINO; OpenCV's
reader does not know the graph's quantized convolutions.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from faceanon.core.picture import Image
from faceanon.core.settings import ModelSettings
from faceanon.models import registry, weights
from faceanon.models.crops import shrink_warp
from faceanon.models.openvino_net import compiled

CLASSES = ("angry", "disgusted", "afraid", "happy", "sad", "surprised", "neutral")
_SIDE_PX = 64
_BOX_SHARE = 1.15  # side of the crop over the mean side of the face's box


class EmotionReader:
    """Shares of CLASSES."""

    model_sha256: tuple[str, ...] = (registry.weight("emotion").sha256,)

    def __init__(self, models: ModelSettings) -> None:
        import openvino

        registry.require("emotion", models.licences)
        core = openvino.Core()
        self._net = compiled(core, core.read_model(weights.folder_of(["emotion"]) / registry.weight("emotion").file_name), models.threads)

    def read(self, image: Image, box: NDArray[np.float32]) -> NDArray[np.float32]:
        """(7,) shares, of the face in the box (4,) xyxy px."""
        scale = _SIDE_PX / (_BOX_SHARE * max(float(box[2] - box[0] + box[3] - box[1]) / 2, 1.0))
        middle = np.array([box[0] + box[2], box[1] + box[3]]) / 2
        to_crop = np.array([[scale, 0, _SIDE_PX / 2 - scale * middle[0]], [0, scale, _SIDE_PX / 2 - scale * middle[1]]], np.float32)
        grey = cv2.cvtColor(shrink_warp(image, to_crop, _SIDE_PX), cv2.COLOR_BGR2GRAY)
        (shares,) = self._net((grey.astype(np.float32) / 127.5 - 1)[None, :, :, None]).values()
        return np.array(shares[0], np.float32)
