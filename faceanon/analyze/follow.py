"""A face followed from frame to frame by its appearance, where the detector lost it or had not yet found it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set

import cv2
import numpy as np
from numpy.typing import NDArray

from faceanon.core.geometry import Boxes, iou
from faceanon.core.picture import Picture, PlaneFormat

FOLLOW_WIDTH_PX = 640  # of the grey pictures in which faces are followed
STEP_LIKENESS = 0.72  # normalised correlation with the frame before
FIRST_LIKENESS = 0.25  # and with where it began; a head that turns stays above for a while
_MIN_SIDE_PX = 12
_SHARE = 0.9  # of the box that is matched: its corners show what is behind the face
_MIN_CONTRAST = 4.0  # grey levels; less shows nothing that could be followed
_MET_IOU = 0.3

Grey = NDArray[np.uint8]  # (h, w) uint8


class Greys(Mapping[int, Grey]):
    """Frames as faces are followed in them. What is kept of a frame is cheap: luma, halved as often as it stays wide enough; most are never asked for."""

    def __init__(self) -> None:
        self.scale = 1.0  # px of the grey pictures to one of the frames
        self._halved: dict[int, NDArray] = {}
        self._made: dict[int, Grey] = {}
        self._format = PlaneFormat(8, None, True, "bt601")

    def add(self, picture: Picture) -> None:
        luma = picture.planes[0]
        while luma.shape[1] >= 2 * FOLLOW_WIDTH_PX:
            luma = cv2.resize(np.ascontiguousarray(luma), (luma.shape[1] // 2, luma.shape[0] // 2), interpolation=cv2.INTER_AREA)
        self._halved[picture.index] = luma.copy() if luma is picture.planes[0] else luma
        self._format = picture.format
        self.scale = min(FOLLOW_WIDTH_PX, picture.width) / picture.width

    def forget(self, before: int) -> None:
        self._halved = {frame: luma for frame, luma in self._halved.items() if frame >= before}
        self._made = {frame: grey for frame, grey in self._made.items() if frame >= before}

    def __getitem__(self, frame: int) -> Grey:
        if frame not in self._made:
            self._made[frame] = self._grey(self._halved[frame])
        return self._made[frame]

    def __iter__(self) -> Iterator[int]:
        return iter(self._halved)

    def __len__(self) -> int:
        return len(self._halved)

    def _grey(self, luma: NDArray) -> Grey:
        """(h, w) uint8 0..255, from black to white."""
        luma = np.ascontiguousarray(luma)
        if luma.shape[1] > FOLLOW_WIDTH_PX:
            luma = cv2.resize(luma, (FOLLOW_WIDTH_PX, max(1, round(luma.shape[0] * FOLLOW_WIDTH_PX / luma.shape[1]))), interpolation=cv2.INTER_AREA)
        black, white = (0, 255) if self._format.full_range else (16, 235)
        level = (luma.astype(np.float32) / (1 << (self._format.depth - 8)) - black) * (255 / (white - black))
        return np.clip(np.rint(level), 0, 255).astype(np.uint8)


Path = list[tuple[int, NDArray[np.float32], float]]  # frame, box (4,) px, likeness 0..1


def follow(greys: Mapping[int, Grey], box: NDArray[np.float32], frames: range, breaks: Set[int], known: Mapping[int, Boxes]) -> Path:
    """Where the face is in the frames of `frames`, which leads away from the face's own frame, its first element.

    box: (4,) px of the grey pictures. breaks: frames that differ suddenly from the one before. known: what the detector saw in frames
    it looked at; where the face meets one of those it is found again, and following ends.
    """
    path: Path = []
    start = frames[0]
    first = template = _cut(greys[start], box)
    if min(first.shape) < 4 or float(first.std()) < _MIN_CONTRAST:
        return path
    before = start
    for frame in frames[1:]:
        if frame not in greys or max(frame, before) in breaks:
            break
        found = _find(greys[frame], template, first, box)
        if found is None:
            break
        box, likeness = found
        if frame in known and len(known[frame]) and iou(box[None], known[frame]).max() >= _MET_IOU:
            break
        path.append((frame, box, likeness))
        template, before = _cut(greys[frame], box), frame
        if template.shape != first.shape:
            break  # it has left the picture
    return path


def _cut(grey: Grey, box: NDArray[np.float32]) -> Grey:
    x0, y0, x1, y1 = _area(box)
    return grey[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)]


def _area(box: NDArray[np.float32]) -> tuple[int, int, int, int]:
    """Whole px around a box, of a size that depends on the box's size alone."""
    w, h = (max(_MIN_SIDE_PX, round(float(side) * _SHARE)) for side in (box[2] - box[0], box[3] - box[1]))
    x0, y0 = round(float(box[0] + box[2]) / 2 - w / 2), round(float(box[1] + box[3]) / 2 - h / 2)
    return x0, y0, x0 + w, y0 + h


def _find(grey: Grey, template: Grey, first: Grey, box: NDArray[np.float32]) -> tuple[NDArray[np.float32], float] | None:
    x0, y0, x1, y1 = _area(box)
    reach = 4 + (x1 - x0) // 2
    left, top = max(0, x0 - reach), max(0, y0 - reach)
    field = grey[top : max(0, y1 + reach), left : max(0, x1 + reach)]
    if field.shape[0] < template.shape[0] or field.shape[1] < template.shape[1]:
        return None
    likeness = cv2.matchTemplate(field, template, cv2.TM_CCOEFF_NORMED)
    _, best, _, (dx, dy) = cv2.minMaxLoc(likeness)
    if not np.isfinite(best) or best < STEP_LIKENESS:
        return None
    here = field[dy : dy + template.shape[0], dx : dx + template.shape[1]]
    if first.shape == here.shape and _correlation(first, here) < FIRST_LIKENESS:
        return None
    shift = np.array([left + dx - max(0, x0), top + dy - max(0, y0)] * 2, np.float32)
    return (box + shift).astype(np.float32), float(best)


def _correlation(a: Grey, b: Grey) -> float:
    return float(cv2.matchTemplate(a, b, cv2.TM_CCOEFF_NORMED)[0, 0])
