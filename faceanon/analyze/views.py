"""Small pictures of faces, kept until it is decided who becomes whom: on them new faces are tried.

Which looks are kept follows from the number of the frame alone: the first look of each cell of frames. Cells are short where a video begins, so that a
clip of some seconds has enough of them, and longer from then on, so that an hour does not have too many (a view is 4 to 12 kB).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from faceanon.analyze.samples import Crop
from faceanon.core.geometry import Boxes
from faceanon.core.records import FaceViews

FACE_PX = 112  # wider faces are shrunk to this; the embedder's own chip shows them about as large
_FINE, _COARSE = 8, 32  # frames of a cell
_COARSE_FROM = 512  # frame
_JPEG_QUALITY = 90


def cell_of(frame: int) -> int:
    """First frame of the cell. Cells of windows of 16 frames: short ones never cross the end of one, long ones begin with one."""
    return frame - frame % (_FINE if frame < _COARSE_FROM else _COARSE)


class ViewKeeper:
    """One segment's views. least_px: narrower faces, which are never given a new face, are not kept."""

    def __init__(self, least_px: float) -> None:
        self._least_px = least_px
        self._cells: set[int] = set()
        self._rows: list[tuple[int, NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], bytes]] = []

    def add(self, frame: int, boxes: Boxes, views: Sequence[Crop | None], window: range) -> None:
        """A look of this window, boxes (N, 4) px of the video's picture; looks must come in order. The first of a cell is its only one, face or no face."""
        cell = cell_of(frame)
        if cell in self._cells or cell < window.start:
            return
        self._cells.add(cell)
        for box, view in zip(boxes, views, strict=True):
            if view is not None and box[2] - box[0] >= self._least_px:
                small = _small(view)
                _, data = cv2.imencode(".jpg", small.image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
                self._rows.append((frame, box, small.points, small.box, data.tobytes()))

    def views(self) -> FaceViews:
        rows = sorted(self._rows, key=lambda row: (row[0], row[1].tolist()))
        return FaceViews(
            np.array([frame for frame, *_ in rows], np.int32),
            np.array([box for _, box, *_ in rows], np.float32).reshape(-1, 4),
            np.array([points for *_, points, _, _ in rows], np.float32).reshape(-1, 5, 2),
            np.array([face for *_, face, _ in rows], np.float32).reshape(-1, 4),
            np.array([len(data) for *_, data in rows], np.int64),
            np.frombuffer(b"".join(data for *_, data in rows), np.uint8),
        )


def opened(views: FaceViews, number: int) -> Crop:
    """One of the views."""
    stop = int(views.size[: number + 1].sum())
    image = cv2.imdecode(views.jpeg[stop - int(views.size[number]) : stop], cv2.IMREAD_COLOR)
    return Crop(np.asarray(image, np.uint8), views.points[number], views.face[number])


def _small(view: Crop) -> Crop:
    k = FACE_PX / max(float(view.box[2] - view.box[0]), 1.0)
    if k >= 1:
        return view
    height, width = view.image.shape[:2]
    image = cv2.resize(view.image, (max(1, round(width * k)), max(1, round(height * k))), interpolation=cv2.INTER_AREA)
    ratio = np.array([image.shape[1] / width, image.shape[0] / height], np.float32)
    return Crop(image, view.points * ratio, (view.box.reshape(2, 2) * ratio).reshape(4))
