"""Face embedders: what tells people apart.

dlib's ResNet (Davis King, 2017): 128 numbers; faces closer than 0.6 (Euclid) are judged the same person. On 330 same and 330
different LFW pairs with YuNet's faces: see tests and `faceanon evaluate`.
"""

from __future__ import annotations

import dlib
import numpy as np
from numpy.typing import NDArray

from faceanon.core.picture import Image
from faceanon.core.settings import ModelSettings
from faceanon.models import registry, weights
from faceanon.models.alignment import Aligner

_CHIP = (150, 0.25)  # side px and padding that the net was trained with


class DlibEmbedder:
    """Fulfils core.ports.FaceEmbedder."""

    name = "dlib"
    dimensions = 128
    same_person_distance = 0.6
    model_sha256: tuple[str, ...] = (registry.weight("dlib_face").sha256, *Aligner.model_sha256)

    def __init__(self, models: ModelSettings) -> None:
        registry.require("dlib_face", models.licences)
        self._aligner = Aligner(models)
        self._net = dlib.face_recognition_model_v1(str(weights.path_of("dlib_face")))

    def embed(self, image: Image, points: NDArray[np.float32], box: NDArray[np.float32]) -> NDArray[np.float32]:
        (chip,) = self._aligner.chips(image, points, box, (_CHIP,))
        return np.array(self._net.compute_face_descriptor(chip), np.float32)  # (128,)
