"""Apparent sex, age and skin of a face: what a fitting synthetic person is chosen by, and nothing more.

Age and sex: dlib-models' two small classifiers (Cydral Technology) as ONNX graphs. Input: chips with padding 0.2, 64 px for age and
32 px for sex, RGB, (x - mean) / 256. Age has 81 classes, 0 to 80 years; the estimate is their expectation. Sex: (female, male).
Skin: the median CIE L*, a*, b* of px that are neither in shadow nor shine, on both cheeks and the bridge of the nose.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from faceanon.core.picture import Image
from faceanon.core.settings import ModelSettings
from faceanon.models import registry
from faceanon.models.alignment import Aligner, view_of
from faceanon.models.crops import shrink_warp
from faceanon.models.device import OnnxNet

_PADDING = 0.2
_AGE_PX, _SEX_PX = 64, 32
_MEAN = np.array([122.782, 117.001, 104.298], np.float32)  # RGB
_YEARS = np.array([0.25, *range(1, 81)], np.float32)

_SKIN_PX = 80  # side of the view that skin is read from, a quarter of the aligner's
# (left, top, right, bottom) px in it: below either eye beside the nose, and the nose between the eyes and its tip
_PATCHES = ((24, 36, 33, 46), (47, 36, 56, 46), (36, 31, 44, 40))


class FaceReader:
    """Fulfils core.ports.FaceAttributes."""

    model_sha256: tuple[str, ...] = (registry.weight("age").sha256, registry.weight("gender").sha256)

    def __init__(self, models: ModelSettings, device: str = "cpu") -> None:
        for name in ("age", "gender"):
            registry.require(name, models.licences)
        self._aligner = Aligner(models)
        self._age, self._sex = OnnxNet("age", models, device), OnnxNet("gender", models, device)

    def read(self, image: Image, points: NDArray[np.float32], box: NDArray[np.float32]) -> tuple[float, float, tuple[float, float, float]]:
        age_chip, sex_chip = self._aligner.chips(image, points, box, ((_AGE_PX, _PADDING), (_SEX_PX, _PADDING)))
        years = self._age(_batch(age_chip))["probabilities"][0]
        female = self._sex(_batch(sex_chip))["probabilities"][0, 0]
        return float(female), float(years @ _YEARS), skin_of(image, points, box)


def skin_of(image: Image, points: NDArray[np.float32], box: NDArray[np.float32]) -> tuple[float, float, float]:
    """CIE (L*, a*, b*): the median over the cheeks and nose, of px whose light lies between the patches' 30th and 90th percentile."""
    view = shrink_warp(image, view_of(points, box) * np.float32(_SKIN_PX / 320), _SKIN_PX)
    px = np.concatenate([view[y0:y1, x0:x1].reshape(-1, 3) for x0, y0, x1, y1 in _PATCHES])
    lab = cv2.cvtColor(px[None].astype(np.float32) / 255, cv2.COLOR_BGR2LAB)[0]  # (n, 3) L* 0..100
    low, high = np.percentile(lab[:, 0], (30, 90))
    light, a, b = np.median(lab[(lab[:, 0] >= low) & (lab[:, 0] <= high)], axis=0)
    return float(light), float(a), float(b)


def _batch(chip: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(1, 3, side, side) float32 from an RGB chip."""
    return ((chip.astype(np.float32) - _MEAN) / 256).transpose(2, 0, 1)[None]
