"""Batches for the nets: crops shifted, turned, mirrored and lit at random. One seed and one step give one batch, on any machine."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from faceanon.core import facecrop
from faceanon.core.geometry import transform
from faceanon.core.picture import Image
from faceanon.models import sketch
from faceanon.models.inpainter import conditions, to_tensor
from faceanon.training.faces import MARGIN_PX, Faces

_TURN_DEG, _ZOOM, _SHIFT_PX = 3.0, 0.04, 2.5  # spread
ALIKE, STRETCH = 64, (0.9, 1.7)
_GAIN, _TINT, _BLUR_SHARE = 0.16, 0.05, 0.25
_WITHOUT_MARGIN = np.array([[1, 0, -MARGIN_PX], [0, 1, -MARGIN_PX]], np.float32)


@dataclass(frozen=True)
class Batch:
    """What the nets take, as models.inpaint_net says."""

    pictures: Tensor  # (N, 3, S, S) -1..1
    planes: Tensor  # (N, P, S, S) 0..1
    maps: Tensor  # (N, K, S/4, S/4) 0..1
    codes: Tensor  # (N, 128)

    def again(self, others: int) -> Batch:
        """The batch, with its first `others` once more at its end."""
        return Batch(*(torch.cat([part, part[:others]]).contiguous(memory_format=torch.channels_last) for part in (self.pictures, self.planes, self.maps)), self.codes)


def draw(faces: Faces, rows: NDArray[np.int64], random: np.random.Generator, side_px: int, conditioning: str, *, steady: bool = False) -> Batch:
    """The faces at `rows`, each changed at random, or, if steady, as they are."""
    made = [_one(faces.images[row], faces.meshes[row, :, :2], random, side_px, steady) for row in rows]
    images, meshes = zip(*made, strict=True)
    pictures, (planes, maps) = to_tensor(np.stack(images)), conditions(meshes, side_px, conditioning)
    if not steady:
        turned = torch.from_numpy(random.uniform(size=len(rows)) < 0.5)[:, None, None, None]
        others = list(sketch.MIRRORED if conditioning == "sketch" else sketch.MIRRORED_KEYPOINTS)
        pictures, planes = (torch.where(turned, t.flip(3), t) for t in (pictures, planes))
        maps = torch.where(turned, maps[:, others].flip(3), maps)
    return Batch(pictures.contiguous(memory_format=torch.channels_last), planes, maps, torch.from_numpy(faces.codes[rows]))


def strangers(people: NDArray[np.float32], count: int, random: np.random.Generator) -> NDArray[np.float32]:
    """(count, 128) codes of nobody in particular, as engines draw them: around the mean of people (P, 128) who resemble each other, and farther from it than they."""
    codes = np.zeros((count, people.shape[1]), np.float32)
    for code in codes:
        one = people[random.integers(len(people))]
        alike = people[np.argsort(np.linalg.norm(people - one, axis=1), kind="stable")[: max(2, min(ALIKE, len(people) // 3))]]
        apart = alike - alike.mean(0)
        way = random.normal(size=len(alike)).astype(np.float32) @ apart
        length = random.uniform(*STRETCH) * np.linalg.norm(apart, axis=1).mean()
        code[:] = alike.mean(0) + way * (length / max(float(np.linalg.norm(way)), 1e-6))
    return codes


def seen(
    image: Image, mesh: NDArray[np.float32], random: np.random.Generator, to_crop: NDArray[np.float32], middle: tuple[float, float], side_px: int, steady: bool = False
) -> tuple[Image, NDArray[np.float32]]:  # fmt: skip
    """A crop (S, S, 3) and the mesh's points (468, 2) in its px: to_crop (2, 3) with a random turn around the crop's `middle`, in another light."""
    turn, zoom, x, y, gain = np.zeros(5) if steady else random.normal(size=5)
    angle, shift = np.radians(_TURN_DEG * turn), _SHIFT_PX * side_px / facecrop.SIDE_PX * np.array([x, y])
    change = np.exp(_ZOOM * zoom) * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = change @ to_crop
    moved[:, 2] += np.array(middle) + shift - change @ np.array(middle)
    matrix = moved.astype(np.float32)
    crop = cv2.warpAffine(image, matrix, (side_px, side_px), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return crop if steady else _seen_otherwise(crop, gain, random), transform(mesh, matrix)


def _one(image: Image, mesh: NDArray[np.float32], random: np.random.Generator, side_px: int, steady: bool) -> tuple[Image, NDArray[np.float32]]:
    crop, points = seen(image, mesh, random, _WITHOUT_MARGIN, facecrop.HOLE_CENTRE, facecrop.SIDE_PX, steady)
    if side_px != facecrop.SIDE_PX:
        crop = cv2.resize(crop, (side_px, side_px), interpolation=cv2.INTER_AREA)
    return crop, facecrop.scaled(points, side_px)


def _seen_otherwise(crop: Image, gain: float, random: np.random.Generator) -> Image:
    """In another light and colour, and sometimes less sharp."""
    blur, share = random.uniform(size=2)
    if blur < _BLUR_SHARE:
        crop = cv2.GaussianBlur(crop, (0, 0), 0.4 + 1.2 * share)
    table = np.arange(256)[:, None] * np.exp(_GAIN * gain + random.normal(0, _TINT, 3))
    return cv2.LUT(crop, np.rint(np.clip(table, 0, 255)).astype(np.uint8)[None])
