"""A face followed from frame to frame by its appearance, where the detector lost it or had not yet found it."""

from __future__ import annotations

from collections.abc import Mapping, Set

import cv2
import numpy as np
from numpy.typing import NDArray

from faceanon.core.geometry import Boxes, iou

FOLLOW_WIDTH_PX = 640  # of the grey pictures in which faces are followed
STEP_LIKENESS = 0.72  # normalised correlation with the frame before
FIRST_LIKENESS = 0.25  # and with where it began; a head that turns stays above for a while
_MIN_SIDE_PX = 12
_SHARE = 0.9  # of the box that is matched: its corners show what is behind the face
_MIN_CONTRAST = 4.0  # grey levels; less shows nothing that could be followed
_MET_IOU = 0.3

Grey = NDArray[np.uint8]  # (h, w) uint8


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
