"""Models for tests, without weights: every port of core.ports answered by plain arithmetic on colours.

A face is a disk of one saturated colour with two dark eyes, as `draw_face` makes it; its hue is the person. Hues that differ by 30
degrees or more are different people (distance above 0.6), a hue after lossy coding is still the same one. What is grey, or has lost
its colour, is no face. Everything is deterministic and fast.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from faceanon.core import facecrop
from faceanon.core.geometry import empty_boxes
from faceanon.core.picture import Image
from faceanon.core.portrait import Portrait
from faceanon.core.records import Persona

# (5, 2) where the points of a fake face lie, shares of its box
POINTS = np.array([[0.30, 0.38], [0.70, 0.38], [0.50, 0.58], [0.35, 0.74], [0.65, 0.74]], np.float32)
_COLOURFUL = 100  # least difference of a face's channels, 0..255
_SPREAD = 1.3  # radius of the circle of embeddings; 30 degrees of hue are 0.67 apart
_PORTRAIT_PX = 256
NUM_HUES = 6  # fake people stand at 30, 90, 150 ... degrees, so that tests may use 0, 60, 120 ... for real ones


def hue_colour(hue_deg: float) -> tuple[int, int, int]:
    """The pure colour (blue, green, red) of a hue: 0 red, 120 green, 240 blue, 300 magenta."""
    x = hue_deg % 360 / 60
    red, green, blue = (float(np.clip(edge, 0, 1)) for edge in (abs(x - 3) - 1, 2 - abs(x - 2), 2 - abs(x - 4)))
    return round(255 * blue), round(255 * green), round(255 * red)


def draw_face(image: Image, x: float, y: float, size: float, hue_deg: float) -> NDArray[np.float32]:
    """A fake face with its centre at (x, y) and `size` px wide drawn into `image`; returns its box (4,) xyxy px."""
    box = np.array([x - size / 2, y - size / 2, x + size / 2, y + size / 2], np.float32)
    _disk(image, x, y, size / 2, hue_colour(hue_deg))
    for eye in box[:2] + POINTS[:2] * size:
        _disk(image, float(eye[0]), float(eye[1]), max(size / 14, 0.8), (30, 30, 30))
    return box


def _disk(image: Image, x: float, y: float, radius: float, colour: tuple[int, int, int]) -> None:
    centre = (round((x - 0.5) * 16), round((y - 0.5) * 16))  # sixteenths of a px
    cv2.circle(image, centre, round(radius * 16), colour, thickness=-1, lineType=cv2.LINE_AA, shift=4)


class FakeDetector:
    """Finds disks of saturated colour; the score is how saturated a disk is."""

    def __init__(self, name: str = "fake", threshold: float = 0.35, least_px: int = 8) -> None:
        self.name = name
        self.model_sha256: tuple[str, ...] = ("0" * 64,)
        self._threshold = threshold
        self._least_px = least_px

    def detect(self, image: Image) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        chroma = _chroma(image)
        _, labels, stats, _ = cv2.connectedComponentsWithStats((chroma >= _COLOURFUL).astype(np.uint8), connectivity=8)
        rows = [(i, s) for i, s in enumerate(stats) if i and min(s[cv2.CC_STAT_WIDTH], s[cv2.CC_STAT_HEIGHT]) >= self._least_px]
        found = [(float(np.median(chroma[labels == i])) / 255, s) for i, s in rows]
        found = sorted((f for f in found if f[0] >= self._threshold), key=lambda f: (-f[0], *f[1][:2]))
        boxes = np.array([[s[0], s[1], s[0] + s[2], s[1] + s[3]] for _, s in found], np.float32).reshape(-1, 4)
        sides = boxes[:, 2:] - boxes[:, :2]
        points = boxes[:, None, :2] + POINTS[None] * sides[:, None]
        return boxes if len(boxes) else empty_boxes(), points.astype(np.float32), np.array([f[0] for f in found], np.float32)


class FakeMesh:
    """The mean mesh of twelve synthetic people, stretched to the box and turned with the eyes; it fits wherever there is colour."""

    name = "fake_mesh"
    model_sha256: tuple[str, ...] = ("0" * 64,)

    def fit(self, image: Image, points: NDArray[np.float32], box: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
        side = np.array([box[2] - box[0], box[3] - box[1], box[2] - box[0]], np.float32)
        centre = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2, 0], np.float32)
        mesh = mean_mesh() * side
        if np.isfinite(points).all():
            x, y = points[1] - points[0]
            cos, sin = np.array([x, y]) / max(float(np.hypot(x, y)), 1e-6)
            mesh[:, :2] = mesh[:, :2] @ np.array([[cos, sin], [-sin, cos]], np.float32)
        score = 0.95 if _face_colour(image, box) is not None else 0.05
        return (mesh + centre).astype(np.float32), score


class FakeEmbedder:
    """A person is a hue: the embedding (8,) is a point on a circle, or its middle where there is no colour."""

    name = "fake"
    dimensions = 8
    same_person_distance = 0.6
    model_sha256: tuple[str, ...] = ("0" * 64,)

    def embed(self, image: Image, points: NDArray[np.float32], box: NDArray[np.float32]) -> NDArray[np.float32]:
        vector = np.zeros(self.dimensions, np.float32)
        colour = _face_colour(image, box)
        if colour is not None:
            blue, green, red = colour
            angle = np.arctan2(np.sqrt(3) * (green - blue), 2 * red - green - blue)
            vector[:2] = _SPREAD * np.cos(angle), _SPREAD * np.sin(angle)
        return vector


class FakeInpainter:
    """Paints the hole in the hue that stands in the code, with two dark eyes where the mesh has them. What the crops show in the hole is never read."""

    name = "fake_inpainter"
    side_px = facecrop.SIDE_PX
    model_sha256: tuple[str, ...] = ("0" * 64,)

    def hole(self) -> NDArray[np.float32]:
        return facecrop.hole(self.side_px)

    def inpaint(self, crops: NDArray[np.uint8], meshes: NDArray[np.float32], codes: NDArray[np.float32]) -> NDArray[np.uint8]:
        inside = self.hole().astype(bool)
        out = crops.copy()
        for image, mesh, code in zip(out, meshes, codes, strict=True):
            image[inside] = hue_colour(float(np.degrees(np.arctan2(code[1], code[0]))))
            for corners in ((33, 133), (263, 362)):
                _disk(image, *mesh[list(corners)].mean(0).tolist(), self.side_px / 20, (30, 30, 30))
        return out


class FakeAttributes:
    """Sex and age from the hue, skin from the colour itself; NaN where there is none."""

    def read(self, image: Image, points: NDArray[np.float32], box: NDArray[np.float32]) -> tuple[float, float, tuple[float, float, float]]:
        colour = _face_colour(image, box)
        if colour is None:
            return np.nan, np.nan, (np.nan, np.nan, np.nan)
        lab = cv2.cvtColor((colour[None, None] / 255).astype(np.float32), cv2.COLOR_BGR2LAB)[0, 0]
        return (0.9 if colour[0] > colour[1] else 0.1), 30.0 + float(colour[2]) / 25.5, (float(lab[0]), float(lab[1]), float(lab[2]))


class FakeSegmenter:
    """Everything is person but what is pure black or white."""

    def mask(self, image: Image) -> NDArray[np.float32]:
        return ((image.max(2) > 8) & (image.min(2) < 247)).astype(np.float32)


class FakePeople:
    """Flat coloured portraits; the persona's numbers choose one of NUM_HUES hues."""

    def portrait(self, persona: Persona) -> Portrait:
        hue = 30 + 360 / NUM_HUES * ((persona.base + persona.partner + persona.attempt) % NUM_HUES)
        image = np.full((_PORTRAIT_PX, _PORTRAIT_PX, 3), 128, np.uint8)
        box = draw_face(image, _PORTRAIT_PX / 2, _PORTRAIT_PX / 2, _PORTRAIT_PX * 0.75, hue)
        points = box[:2] + POINTS * (box[2:] - box[:2])
        closed, _ = FakeMesh().fit(image, points, box)
        meshes = np.stack([_opened(closed, gap) for gap in (0.0, 0.3)])
        female, age, skin = FakeAttributes().read(image, points, box)
        return Portrait((image, image), meshes, np.array([openness(m) for m in meshes], np.float32), FakeEmbedder().embed(image, points, box), female, age, skin)


def openness(mesh: NDArray[np.float32]) -> float:
    """Gap of the inner lips over the distance of the outer eye corners, as core.portrait.Portrait counts it."""
    return float(np.hypot(*(mesh[13, :2] - mesh[14, :2])) / max(float(np.hypot(*(mesh[33, :2] - mesh[263, :2]))), 1e-6))


def _opened(mesh: NDArray[np.float32], gap: float) -> NDArray[np.float32]:
    """The mesh with the lower lip and chin moved down until the openness is `gap`."""
    moved = mesh.copy()
    eyes = float(np.hypot(*(mesh[33, :2] - mesh[263, :2])))
    below = mesh[:, 1] > (mesh[13, 1] + mesh[14, 1]) / 2
    moved[below, 1] += gap * eyes - (mesh[14, 1] - mesh[13, 1])
    return moved


@cache
def _stored_mesh() -> NDArray[np.float32]:
    with np.load(Path(__file__).with_name("mean_mesh.npz")) as file:
        return file["mesh"].astype(np.float32)


def mean_mesh() -> NDArray[np.float32]:
    """(468, 3) float32: shares of the sides of a YuNet box around its centre, z in widths. Measured on twelve synthetic portraits."""
    return _stored_mesh().copy()


def _chroma(image: Image) -> NDArray[np.uint8]:
    return image.max(2) - image.min(2)


def _face_colour(image: Image, box: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Median colour (3,) BGR of the colourful px inside the box; None where hardly any are."""
    x0, y0 = np.maximum(np.floor(box[:2]).astype(int), 0)
    x1, y1 = np.ceil(box[2:]).astype(int)
    part = image[y0:y1, x0:x1]
    if not part.size:
        return None
    colourful = part[_chroma(part) >= _COLOURFUL]
    return np.median(colourful, axis=0).astype(np.float32) if len(colourful) >= max(4, part.shape[0] * part.shape[1] // 5) else None
