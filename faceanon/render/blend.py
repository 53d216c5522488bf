"""Light, colour and sharpness of the frame on the new face.

Everything that is estimated from the frame is of low frequency and is measured on skin alone, so no feature of the old face comes back
through the light: only its shading, over patches of about a fifth of a face.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from faceanon.core.picture import Image
from faceanon.render.retouch import local_means, skin_likeness, weighted_mean

LIGHT_REACH = 0.17  # sigma of the shading, over the face's width
LOW_PX = 40  # face width at which shading is measured
GAIN_RANGE = 0.62, 1.55  # of the shading against its mean
_CONTRAST, _CALMEST = 1.4, 0.7  # of the frame's contrasts on skin, which a new face may have; the least share of its own that it keeps
_SOFTEST_PX = 2.0


def relight(
    new: Image, old: Image, skin: NDArray[np.float32], face_px: float, wet: NDArray[np.float32], mouth_gain: NDArray[np.float32], calm: bool = False
) -> tuple[Image, NDArray[np.float32]]:
    """`new` (h, w, 3) in the light of `old` (h, w, 3); skin (h, w) 0..1 says where both should be bare skin; wet (h, w) is 1 on eyes and teeth, which have no
    colour of skin to be changed; mouth_gain (h, w) multiplies the lightness; calm: a face made in another light, whose contrasts may be too strong here.

    Also gives how like skin the old picture is, (h, w) float32 0..1, for the mask.
    """
    h, w = skin.shape
    k = min(1.0, LOW_PX / face_px)
    size = (max(4, round(w * k)), max(4, round(h * k)))
    few_new, few_old = (cv2.cvtColor(cv2.resize(i, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255, cv2.COLOR_BGR2Lab) for i in (new, old))
    weight = cv2.resize(skin, size, interpolation=cv2.INTER_AREA)
    likeness = skin_likeness(few_old, weight)
    trusted = weight * (0.02 + likeness)
    light = local_means(few_old, trusted, LIGHT_REACH * face_px * k)
    mean_old, mean_new = weighted_mean(few_old, trusted), weighted_mean(few_new, weight)
    level = mean_old[0] / max(float(mean_new[0]), 1.0)
    gain = np.clip(light[..., 0] / max(float(mean_old[0]), 1.0), *GAIN_RANGE) * level
    colour = mean_old[1:] + 0.6 * (light[..., 1:] - mean_old[1:])
    vivid = _vividness(few_old, few_new, trusted, weight)
    kept = _calmness(few_old[..., 0] - light[..., 0], (few_new[..., 0] - mean_new[0]) * level, trusted, weight) if calm else np.float32(1)
    gain, red, yellow = (cv2.resize(np.ascontiguousarray(v), (w, h), interpolation=cv2.INTER_LINEAR) for v in (gain, colour[..., 0], colour[..., 1]))
    # by planes and in place: every px of every face comes through here
    planes = list(cv2.split(cv2.cvtColor(new * np.float32(1 / 255), cv2.COLOR_BGR2Lab)))
    if kept < 1:
        share = (1 - kept) * (1 - wet)
        for plane, mean in zip(planes, mean_new, strict=True):  # colours too: a brow made lighter alone would become grey
            plane += (mean - plane) * share
    lightness, middle = planes[0], np.float32(mean_new[0])
    tinted = lightness / max(middle, np.float32(1))
    np.clip(tinted, 0, 1, out=tinted)
    tinted *= 1 - np.float32(0.6) * wet  # lashes, brows and nostrils throw back little light, and so little of its colour
    capped = np.minimum(gain, np.float32(1.1))  # a face made lighter does not get harder contrasts
    lightness -= middle
    lightness *= capped
    gain *= middle
    lightness += gain
    lightness *= mouth_gain
    capped *= np.float32(vivid)  # less light, less colour
    for plane, wanted, mean in ((planes[1], red, mean_new[1]), (planes[2], yellow, mean_new[2])):
        plane *= capped
        wanted -= mean * capped
        wanted *= tinted
        plane += wanted
    lit = cv2.cvtColor(cv2.merge(planes), cv2.COLOR_Lab2BGR)
    out = cv2.convertScaleAbs(np.maximum(lit, 0, out=lit), alpha=255)
    return out, cv2.resize(likeness, (w, h), interpolation=cv2.INTER_LINEAR)


def _calmness(old: NDArray[np.float32], new: NDArray[np.float32], trusted: NDArray[np.float32], weight: NDArray[np.float32]) -> np.float32:
    """What a portrait's contrasts are multiplied by, so that a face in flat light has neither gleams nor deep shadows.

    old, new: (h, w) lightness; of the frame away from its light, of the portrait, which is lit evenly, away from its mean.
    """
    rough = [float(np.sqrt(weighted_mean(v[..., None] ** 2, w)[0])) for v, w in ((old, trusted), (new, weight))]
    return np.float32(np.clip(_CONTRAST * rough[0] / max(rough[1], 0.5), _CALMEST, 1.0))


def _vividness(old: NDArray[np.float32], new: NDArray[np.float32], trusted: NDArray[np.float32], weight: NDArray[np.float32]) -> float:
    """0 for a grey picture, so that lips and eyes become grey too; 1 where the frame's colours vary at least half as much as the portrait's."""
    spread = [float(np.sqrt(weighted_mean((v - weighted_mean(v, w)) ** 2, w)[1:].sum())) for v, w in ((old, trusted), (new, weight))]
    return float(np.clip(2 * spread[0] / max(spread[1], 0.5), 0, 1))


def soften(new: Image, old: Image, inside: NDArray[np.float32]) -> Image:
    """`new` blurred until it has no more fine detail than the frame; a video's face is seldom as sharp as a portrait."""
    core = inside > 0.9
    if core.sum() < 64:
        return new
    detail = [float(np.abs(cv2.Laplacian(i[..., 1], cv2.CV_16S, ksize=3))[core].mean()) for i in (new, old)]
    sigma = min(_SOFTEST_PX, 0.55 * float(np.sqrt(max(0.0, detail[0] / max(detail[1], 0.5) - 1.0))))
    return new if sigma < 0.3 else cv2.GaussianBlur(new, (0, 0), sigma)
