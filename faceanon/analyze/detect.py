"""When and how the detector looks.

A `Watcher` takes every picture in order and gives back looks, each a function of its own picture alone. Which frames are looked at
depends only on the pictures of one interval, whose ends are multiples of `span` in the video's own count, so that a segment that starts
at such a multiple sees what any other would: every `every`-th frame at a small width, every `far_every`-th also at a large one for small
faces, both sides of a sudden change, and between two looks that disagree, by halving, down to each frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from faceanon.core.geometry import Boxes, Points, iou, non_maximum, widths
from faceanon.core.picture import Image, Picture
from faceanon.core.ports import FaceDetector
from faceanon.core.settings import DetectSettings

SUDDEN = 13.5  # content score from which both of its frames are looked at; half of PySceneDetect's threshold for a cut
STIRRED = 8.0  # likewise where the frame before was calm
SHAKEN = 27.0  # both are looked at for small faces, too
SMALL_PX = 24.0  # faces narrower than this in the quick look may be missed by it; only looks for small faces tell whether they stay
TINY_FACE_PX = 12.0  # narrower faces flicker in any detector; they are followed and held, not looked for frame by frame
LARGE_PX = 32.0  # faces at least so wide in the quick view are found there as well as in the far one
PARTNER_IOU = 0.3  # neighbouring looks that overlap less than this disagree
ENLARGED_PX = 1280  # pictures are enlarged to this, at most doubled, for the far view: at their own size, faces of 16 px are at the detector's limit
NARROW_PICTURE_PX = 640  # narrower ones are seen mirrored, too, where the far view looks
TINY_PICTURE_PX = 320  # narrower ones are always doubled
HUGE_PX = 200.0  # wider faces in the far view are the quick view's to find
_MERGE_IOU = 0.4

Faces = tuple[Boxes, Points, NDArray[np.float32]]  # (N, 4), (N, 5, 2), (N,)


@dataclass(frozen=True)
class Look:
    """What the detector saw in one frame, best first."""

    frame: int
    far: bool  # the large width was looked at, too
    box: Boxes  # (N, 4) px of the picture
    points: Points  # (N, 5, 2)
    score: NDArray[np.float32]  # (N,)
    picture: Picture


def look(picture: Picture, detector: FaceDetector, settings: DetectSettings, *, far: bool) -> Look:
    """One picture, quickly, and where `far` also at the large width."""
    box, points, score = _see(picture.bgr, picture.width, picture.height, detector, settings, far)
    return Look(picture.index, far, box, points, score, picture)


def look_at_image(image: Image, detector: FaceDetector, settings: DetectSettings) -> Faces:
    """A still (H, W, 3) uint8 BGR, as a frame that is looked at for small faces: what an evaluation of the schedule's best look needs."""
    height, width = image.shape[:2]

    def shrunk(width_px: int) -> Image:
        return image if width_px >= width else cv2.resize(image, (width_px, max(1, round(height * width_px / width))), interpolation=cv2.INTER_AREA)

    return _see(shrunk, width, height, detector, settings, far=True)


def _see(view: Callable[[int], Image], width: int, height: int, detector: FaceDetector, settings: DetectSettings, far: bool) -> Faces:
    near_px, far_px = view_widths(width, height, settings)
    found = [_detect(_enlarged(view(min(near_px, width)), near_px), width, height, detector)]
    if far and far_px > near_px:
        large = found[0][0][:, 2] - found[0][0][:, 0] >= LARGE_PX * width / near_px  # of the smaller ones the far view says better what they are
        image = _enlarged(view(min(far_px, width)), far_px)
        views = [_detect(image, width, height, detector)]
        if width < NARROW_PICTURE_PX:
            views.append(_mirrored(_detect(cv2.flip(image, 1), width, height, detector), width))
        found = [tuple(column[large] for column in found[0]), *(_narrower(faces, HUGE_PX * width / far_px) for faces in views)]
    box, points, score = (np.concatenate(column) for column in zip(*found, strict=True))
    rows = np.flatnonzero((score >= settings.threshold) & (widths(box) > 0) & np.isfinite(box).all(1))
    rows = rows[non_maximum(box[rows], score[rows], _MERGE_IOU)]
    return box[rows], points[rows], score[rows]


def _enlarged(image: Image, width_px: int) -> Image:
    if image.shape[1] >= width_px:
        return image
    return cv2.resize(image, (width_px, max(1, round(image.shape[0] * width_px / image.shape[1]))), interpolation=cv2.INTER_LINEAR)


def _narrower(faces: Faces, limit_px: float) -> Faces:
    """Enlarged, a large face falls apart into boxes around parts of it; the quick view has seen it whole."""
    small = faces[0][:, 2] - faces[0][:, 0] < limit_px
    return tuple(column[small] for column in faces)


def _mirrored(faces: Faces, width: int) -> Faces:
    """Faces of a picture that was mirrored, back in the picture; left and right points change names."""
    box, points, score = faces
    box = np.stack([width - box[:, 2], box[:, 1], width - box[:, 0], box[:, 3]], axis=1)
    points = points[:, [1, 0, 2, 4, 3]] * np.float32([-1, 1]) + np.float32([width, 0])
    return box, points, score


def view_widths(width: int, height: int, settings: DetectSettings) -> tuple[int, int]:
    """How wide the quick and the far view of a picture are; equal where one view is enough. Upright pictures are seen narrower."""
    narrow = min(1.0, np.sqrt(width / height))
    near, far = (max(1, int(px * narrow)) for px in (settings.width_px, max(settings.width_px, settings.far_width_px)))
    near = width if width < 1.25 * near else near
    far = max(min(far, width), min(2 * width, int(ENLARGED_PX * narrow)))
    return (far if width < TINY_PICTURE_PX else near), far


def _detect(image: Image, width: int, height: int, detector: FaceDetector) -> Faces:
    """What a detector sees in a view of a picture, in px of the picture."""
    box, points, score = detector.detect(image)
    scale = np.array([width / image.shape[1], height / image.shape[0]], np.float32)
    return (box * np.tile(scale, 2)).astype(np.float32), (points * scale).astype(np.float32), score.astype(np.float32)


def unmatched(box: Boxes, other: Boxes) -> NDArray[np.bool_]:
    """Which boxes have no partner among the others."""
    if not len(box) or not len(other):
        return np.ones(len(box), bool)
    return iou(box, other).max(1) < PARTNER_IOU


class Watcher:
    """Feed pictures in order from a multiple of `span` on, then call `finish`; looks come out in order of frames."""

    def __init__(self, detector: FaceDetector, settings: DetectSettings, width: int, height: int) -> None:
        self._detector, self._settings = detector, settings
        near, far = view_widths(width, height, settings)
        self._quick_scale = near / width
        self.has_far = far > near
        self.span = span(settings)
        self._pictures: list[Picture] = []  # of the interval that is open, its first frame included
        self._content: list[float] = []  # (len(_pictures),) content score against the frame before
        self._looks: dict[int, Look] = {}

    def feed(self, picture: Picture, content: float) -> list[Look]:
        self._pictures.append(picture)
        self._content.append(content)
        if picture.index % self.span or len(self._pictures) == 1:
            return []
        self._resolve()
        done = [self._looks.pop(frame) for frame in sorted(self._looks) if frame < picture.index]
        del self._pictures[:-1], self._content[:-1]
        return done

    def finish(self) -> list[Look]:
        """The last frames, up to the end of the video."""
        if self._pictures:
            self._resolve()
        done = [self._looks[frame] for frame in sorted(self._looks)]
        self._pictures, self._content, self._looks = [], [], {}
        return done

    def is_small(self, box: Boxes) -> NDArray[np.bool_]:
        """Faces that the quick look may miss."""
        return (widths(box) * self._quick_scale < SMALL_PX) & self.has_far

    def _resolve(self) -> None:
        frames = [p.index for p in self._pictures]
        first, last = frames[0], frames[-1]
        for frame in frames:
            if frame % self._settings.every == 0 or frame % self._settings.far_every == 0 or frame == last:
                self._look(frame, far=frame % self._settings.far_every == 0 or frame == last)
        for at in range(1, len(frames)):
            if self._is_sudden(at):
                for frame in frames[at - 1 : at + 1]:
                    self._look(frame, far=self._content[at] >= SHAKEN)
        for far in (False, True) if self.has_far else (False,):
            looked = [f for f in sorted(self._looks) if f >= first and (self._looks[f].far or not far)]
            for before, after in pairwise(looked):
                self._halve(before, after, far)

    def _is_sudden(self, at: int) -> bool:
        content = self._content[at]
        calm_before = at == 1 or content >= 2 * self._content[at - 1]
        return content >= SUDDEN or (content >= STIRRED and calm_before)

    def _look(self, frame: int, *, far: bool) -> None:
        far = far and self.has_far
        known = self._looks.get(frame)
        if known is None or (far and not known.far):
            self._looks[frame] = look(self._pictures[frame - self._pictures[0].index], self._detector, self._settings, far=far)

    def _halve(self, before: int, after: int, far: bool) -> None:
        if after - before < 2 or not self._disagree(self._looks[before], self._looks[after], far):
            return
        middle = (before + after) // 2
        self._look(middle, far=far)
        self._halve(before, middle, far)
        self._halve(middle, after, far)

    def _disagree(self, a: Look, b: Look, far: bool) -> bool:
        """A face that is surely one has come, gone or moved far. Boxes of low score come and go; those are followed by appearance."""
        for one, other in ((a, b), (b, a)):
            concerned = (self.is_small(one.box) == far) & (one.score >= self._settings.sure) & (widths(one.box) >= TINY_FACE_PX)
            if (unmatched(one.box, other.box) & concerned).any():
                return True
        return False


def span(settings: DetectSettings) -> int:
    """Frames between the fixed looks that bound an interval; divides the window."""
    return max(settings.every, settings.far_every)
