"""Small moving pictures and models that read them: a face is a disc of one red, with a pattern; nothing is downloaded."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np

from faceanon.core.picture import Picture, PlaneFormat
from faceanon.core.records import Segment
from faceanon.core.timeline import Span

FULL_RANGE_444 = PlaneFormat(8, (1, 1), True, "bt601")
WIDTH, HEIGHT = 480, 270  # wide enough not to be doubled


def picture_of(index: int, image: np.ndarray) -> Picture:
    """A BGR image as 4:4:4 planes."""
    planes = tuple(np.ascontiguousarray(p) for p in cv2.split(cv2.cvtColor(image, cv2.COLOR_BGR2YUV)))
    return Picture(index, index * 2, planes, FULL_RANGE_444)


def segment(first_frame: int, num_frames: int, segment_no: int = 0) -> Segment:
    return Segment("v" * 32, segment_no, Span(first_frame * 2, (first_frame + num_frames) * 2), first_frame, num_frames, True)


def texture(seed: int, width: int = WIDTH, height: int = HEIGHT, grain: int = 12) -> np.ndarray:
    """(height, width, 3) uint8 soft blotches without red."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(30, 200, (-(-height // grain), -(-width // grain), 3)).astype(np.uint8)
    coarse[..., 2] = coarse[..., 2] // 3
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def draw_face(image: np.ndarray, x: float, y: float, size: float, seed: int = 0) -> None:
    """A red disc whose inner pattern stays its own."""
    centre, radius = (round(x), round(y)), max(2, round(size / 2))
    cv2.circle(image, centre, radius, (20, 20, 250), -1)
    rng = np.random.default_rng(seed)
    for _ in range(5):
        dx, dy = rng.uniform(-0.5, 0.5, 2) * radius
        cv2.circle(image, (round(x + dx), round(y + dy)), max(1, radius // 5), (110, 20 if seed % 2 else 75, 255), -1)


@dataclass
class RedDiscDetector:
    """Sees red discs; a disc whose picture hashes badly gets a low score or is missed, so that schedules have something to do."""

    moody: bool = False
    name: str = "red"
    model_sha256: tuple[str, ...] = ("0" * 64,)
    calls: int = 0

    def detect(self, image):
        self.calls += 1
        mask = ((image[..., 2] > 150) & (image[..., 1] < 80) & (image[..., 0] < 120)).astype(np.uint8)
        count, _, stats, _ = cv2.connectedComponentsWithStats(mask)
        boxes, scores = [], []
        for x, y, w, h, area in stats[1:count]:
            if w < 8 or h < 8:
                continue
            mood = (int(area) * 7919 + int(x) * 31 + int(y)) % 11 if self.moody else 10
            if mood == 0:
                continue
            boxes.append((x, y, x + w, y + h))
            scores.append(0.4 + 0.05 * mood)
        box = np.array(boxes, np.float32).reshape(-1, 4)
        score = np.array(scores, np.float32)
        order = np.argsort(-score, kind="stable")
        return box[order], five_points(box[order]), score[order]


def five_points(box: np.ndarray) -> np.ndarray:
    low, size = box[:, :2], box[:, 2:] - box[:, :2]
    places = np.array([(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)], np.float32)
    return (low[:, None] + places[None] * size[:, None]).astype(np.float32)


class MeanColourEmbedder:
    name = "mean"
    dimensions = 4
    same_person_distance = 0.6

    def embed(self, image, points, box):
        x0, y0, x1, y1 = np.clip(np.rint(box).astype(int), 0, None)
        face = image[y0:y1, x0:x1].reshape(-1, 3)
        return np.append(face.mean(0) / 255, len(face) / 1e4).astype(np.float32)


class FlatMesh:
    """Fits whatever is wide enough."""

    def fit(self, image, points, box):
        return np.zeros((468, 3), np.float32), float(box[2] - box[0]) / 60 % 1


class HalfReader:
    def read(self, image, points, box):
        return 0.5, float(box[2] - box[0]), (50.0, 10.0, float("nan"))


@dataclass(frozen=True)
class Clip:
    """Frames as pictures, and where its faces are."""

    images: tuple[np.ndarray, ...]
    boxes: tuple[np.ndarray, ...] = ()  # per frame (N, 4)

    def pictures(self, start: int = 0, stop: int | None = None):
        for index in range(start, min(len(self.images), stop if stop is not None else len(self.images))):
            yield picture_of(index, self.images[index])


def busy_clip(num_frames: int = 120) -> Clip:
    """Two shots, a flash, a face that walks through, one that comes and goes, one that is small."""
    images, boxes = [], []
    for f in range(num_frames):
        image = texture(1 if f < num_frames * 0.55 else 2).copy()
        faces = [(60 + 3 * f % 360, 120 + 20 * np.sin(f / 9), 60, 3)]
        if f % 50 > 17:
            faces.append((400, 200 - f % 50, 44, 4))
        if f > 20:
            faces.append((200, 40, 14, 5))
        for x, y, size, seed in faces:
            draw_face(image, x, y, size, seed)
        if f in (40, 41):
            image = np.full_like(image, 250)
        images.append(image)
        boxes.append(np.array([(x - s / 2, y - s / 2, x + s / 2, y + s / 2) for x, y, s, _ in faces], np.float32))
    return Clip(tuple(images), tuple(boxes))


TIME_BASE = Fraction(1, 50)
