"""BlazeFace full range (Bazarevsky et al., 2019; MediaPipe's sparse model): a fourth family of face detectors, for audits.

The net sees 192 x 192 px and finds faces of an eighth of that and more. So a picture is looked at whole, in squares of its shorter side and in squares of
256 px, which overlap by a quarter; a face that a square's inner edge cuts is left to the neighbour that holds it whole. It has no mouth corners: points are NaN.
Decoding follows MediaPipe's face_detection_full_range: 48 x 48 cells of 4 px with one anchor each in their middle, sizes in px of the input.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from faceanon.core.geometry import clip, empty_boxes, non_maximum
from faceanon.core.picture import Image
from faceanon.core.settings import ModelSettings
from faceanon.models import registry, weights
from faceanon.models.openvino_net import compiled

_SIDE_PX, _CELL_PX = 192, 4
_TILE_PX = 256
_STEP = 0.75  # of a square's side from one square to the next
_OVERLAP = 0.3  # IoU above which two boxes are one face
_EDGE = 0.02  # of a square's side: a box that comes as near to an inner edge is cut by it

Square = tuple[int, int, int]  # left, top, side px; may reach beyond the picture


class BlazeFace:
    """Fulfils core.ports.FaceDetector. Run by OpenVINO, which reads the graph's sparse weights; OpenCV's reader does not."""

    name = "blazeface"
    model_sha256: tuple[str, ...] = (registry.weight("blazeface").sha256,)

    def __init__(self, threshold: float, models: ModelSettings) -> None:
        import openvino

        self._threshold = threshold
        core = openvino.Core()
        folder = weights.folder_of(["blazeface"])
        self._net = compiled(core, core.read_model(folder / registry.weight("blazeface").file_name), models.threads)

    def detect(self, image: Image) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        height, width = image.shape[:2]
        parts = [self._in_square(image, square) for square in squares(width, height)]
        boxes, scores = np.concatenate([b for b, _ in parts]), np.concatenate([s for _, s in parts])
        keep = non_maximum(boxes, scores, _OVERLAP)
        boxes, scores = clip(boxes[keep], width, height), scores[keep]
        inside = (boxes[:, 2] - boxes[:, 0] >= 1) & (boxes[:, 3] - boxes[:, 1] >= 1)
        boxes, scores = boxes[inside], scores[inside].astype(np.float32)
        return (boxes if len(boxes) else empty_boxes()), np.full((len(boxes), 5, 2), np.nan, np.float32), scores

    def _in_square(self, image: Image, square: Square) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Boxes (N, 4) px of the image and scores (N,) of what lies whole in a square."""
        left, top, side = square
        height, width = image.shape[:2]
        raw, logits = (value[0] for value in self._net(_batch(image, square)).values())  # (2304, 16), (2304, 1)
        boxes, scores = decoded(raw, logits[:, 0], self._threshold)
        boxes = boxes * (side / _SIDE_PX) + np.array([left, top, left, top], np.float32)
        near = _EDGE * side
        cut = (boxes[:, 0] < left + near) & (left > 0) | (boxes[:, 1] < top + near) & (top > 0)
        cut |= (boxes[:, 2] > left + side - near) & (left + side < width) | (boxes[:, 3] > top + side - near) & (top + side < height)
        return boxes[~cut], scores[~cut]


def decoded(raw: NDArray[np.float32], logits: NDArray[np.float32], threshold: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """boxes (N, 4) xyxy px of the net's input and scores (N,) at or above the threshold. raw: (2304, 16), centre and size first; logits: (2304,)."""
    scores = (1 / (1 + np.exp(-np.clip(logits, -80, 80)))).astype(np.float32)
    cell = np.flatnonzero(scores >= threshold)
    columns = _SIDE_PX // _CELL_PX
    anchor = (np.stack([cell % columns, cell // columns], axis=1) + 0.5) * _CELL_PX  # (N, 2) px
    centre, half = anchor + raw[cell, :2], raw[cell, 2:4] / 2
    return np.concatenate([centre - half, centre + half], axis=1).astype(np.float32), scores[cell]


def squares(width: int, height: int) -> Iterator[Square]:
    """The whole picture in one square, then squares of its shorter side, then small ones; each size only where it is smaller than the one before."""
    longer, shorter = max(width, height), min(width, height)
    yield (width - longer) // 2, (height - longer) // 2, longer
    for side in sorted({shorter, _TILE_PX}, reverse=True):
        if side < longer and side <= shorter:
            yield from ((left, top, side) for top in _starts(height, side) for left in _starts(width, side))


def _starts(length: int, side: int) -> list[int]:
    count = math.ceil((length - side) / (_STEP * side)) + 1
    return [round(start) for start in np.linspace(0, length - side, count)]


def _batch(image: Image, square: Square) -> NDArray[np.float32]:
    """(1, 192, 192, 3) float32 RGB -1..1; what lies beyond the picture is black."""
    left, top, side = square
    height, width = image.shape[:2]
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, width), min(top + side, height)
    whole = np.zeros((side, side, 3), np.uint8)
    whole[y0 - top : y1 - top, x0 - left : x1 - left] = image[y0:y1, x0:x1]
    small = cv2.resize(whole, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA if side > _SIDE_PX else cv2.INTER_LINEAR)
    return (cv2.cvtColor(small, cv2.COLOR_BGR2RGB).astype(np.float32) / 127.5 - 1)[None]
