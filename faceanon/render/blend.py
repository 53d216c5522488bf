"""Light and colour of the frame on the new face, and the mask by which it is laid over the frame.

Everything that is estimated from the frame is of low frequency and is measured on skin alone, so no feature of the old face comes back
through the light: only its shading, over patches of about a fifth of a face.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from faceanon.core.picture import Image

LIGHT_REACH = 0.17  # sigma of the shading, over the face's width
LOW_PX = 40  # face width at which shading is measured
GAIN_RANGE = 0.62, 1.55  # of the shading against its mean


def relight(new: Image, old: Image, skin: NDArray[np.float32], face_px: float) -> tuple[Image, NDArray[np.float32]]:
    """`new` (h, w, 3) in the light of `old` (h, w, 3); skin (h, w) 0..1 says where both should be bare skin.

    Also gives how like skin the old picture is, (h, w) float32 0..1, for the mask.
    """
    h, w = skin.shape
    k = min(1.0, LOW_PX / face_px)
    size = (max(4, round(w * k)), max(4, round(h * k)))
    few_new, few_old = (cv2.cvtColor(cv2.resize(i, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255, cv2.COLOR_BGR2Lab) for i in (new, old))
    weight = cv2.resize(skin, size, interpolation=cv2.INTER_AREA)
    likeness = _skin_likeness(few_old, weight)
    trusted = weight * (0.02 + likeness)
    sigma = LIGHT_REACH * face_px * k
    light_old, light_new = _smooth(few_old, trusted, sigma), _smooth(few_new, weight, sigma)
    mean_old, mean_new = _mean(few_old, trusted), _mean(few_new, weight)
    level = mean_old[0] / max(mean_new[0], 1.0)
    gain = np.clip(light_old[..., 0] / np.maximum(light_new[..., 0], 1.0) / max(level, 1e-3), *GAIN_RANGE) * level
    shift = 0.5 * (light_old[..., 1:] - light_new[..., 1:]) + 0.5 * (mean_old[1:] - mean_new[1:])
    full = (w, h)
    gain, shift = cv2.resize(gain, full, interpolation=cv2.INTER_LINEAR), cv2.resize(shift, full, interpolation=cv2.INTER_LINEAR)
    lab = cv2.cvtColor(new.astype(np.float32) * (1 / 255), cv2.COLOR_BGR2Lab)
    lab[..., 0] *= gain
    lab[..., 1:] += shift
    bgr = cv2.cvtColor(lab, cv2.COLOR_Lab2BGR)
    out = cv2.convertScaleAbs(np.clip(bgr, 0, 1), alpha=255)
    return out, cv2.resize(likeness, full, interpolation=cv2.INTER_LINEAR)


def _skin_likeness(lab: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h, w) 1 where a px has the colour of most of the face's skin, 0 for hair, cloth and the like."""
    picked = lab[weight > 0.5]
    if len(picked) < 8:
        return np.ones(lab.shape[:2], np.float32)
    middle = np.median(picked, axis=0)
    spread = np.maximum(1.5 * np.median(np.abs(picked - middle), axis=0), [7.0, 3.5, 3.5])
    apart = ((lab - middle) / spread) ** 2
    return np.exp(-0.5 * np.maximum(0, apart.sum(2) - 3.0) / 3.0).astype(np.float32)


def _smooth(values: NDArray[np.float32], weight: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Weighted local means; far from any weight the overall mean."""
    blurred = cv2.GaussianBlur(values * weight[..., None], (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    total = cv2.GaussianBlur(weight, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    prior = 0.03
    return (blurred + prior * _mean(values, weight)) / (total + prior)[..., None]


def _mean(values: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    return (values * weight[..., None]).sum((0, 1)) / max(float(weight.sum()), 1e-6)
