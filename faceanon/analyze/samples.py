"""The best view of each face in a window: what is embedded and read."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from faceanon.core.facecrop import points_of
from faceanon.core.geometry import iou
from faceanon.core.picture import Image, Picture
from faceanon.core.ports import FaceAttributes, FaceEmbedder, FaceMesh

_MARGIN = 0.6  # of the face's size on each side; embedders and meshes want the head
_FACE_PX = 256  # wider faces are shrunk to this in their crop; no model looks closer
_SAME_IOU = 0.2  # overlap of one face's boxes in looks of one window
_FULL_SIZE_PX = 112.0
_RIGHT_ERROR, _WRONG_ERROR = 0.10, 0.18  # mean distance of the five points over the face's width
_FULL_SHARPNESS = 150.0  # variance of the Laplacian of a face 64 px wide


@dataclass(frozen=True)
class Crop:
    """A face with some surroundings, cut from the full picture."""

    image: Image
    points: NDArray[np.float32]  # (5, 2) px of image
    box: NDArray[np.float32]  # (4,) px of image


def crop(picture: Picture, box: NDArray[np.float32], points: NDArray[np.float32]) -> Crop | None:
    """None where the box lies outside the picture."""
    w, h = box[2] - box[0], box[3] - box[1]
    low = np.floor([max(0, box[0] - _MARGIN * w), max(0, box[1] - _MARGIN * h)]).astype(int)
    high = np.ceil([min(picture.width, box[2] + _MARGIN * w), min(picture.height, box[3] + _MARGIN * h)]).astype(int)
    if (high - low < 2).any():
        return None
    image = picture.crop((*low.tolist(), *high.tolist()))
    scale = min(1.0, _FACE_PX / float(w))
    if scale < 1:
        size = np.maximum(1, np.rint((high - low) * scale).astype(int))
        image = cv2.resize(image, tuple(size.tolist()), interpolation=cv2.INTER_AREA)
    ratio = (np.array(image.shape[1::-1]) / (high - low)).astype(np.float32)
    return Crop(image, ((points - low) * ratio).astype(np.float32), ((box.reshape(2, 2) - low) * ratio).reshape(4).astype(np.float32))


def mesh_fit(mesh: FaceMesh, view: Crop) -> float:
    """0..1: the mesh's own score, less where its eyes, nose and mouth are not where the detector's are.

    The mesh alone is easily persuaded: on a fist it said 0.99. Two models that agree about five points are not.
    """
    points, score = mesh.fit(view.image, view.points, view.box)
    if not np.isfinite(view.points).all():
        return float(score)
    error = np.linalg.norm(points_of(points) - view.points, axis=1).mean() / max(1.0, float(view.box[2] - view.box[0]))
    return float(score) * float(np.clip((_WRONG_ERROR - error) / (_WRONG_ERROR - _RIGHT_ERROR), 0, 1))


def quality(view: Crop, width_px: float, score: float) -> float:
    """0..1: size, frontality and sharpness together."""
    size = min(1.0, width_px / _FULL_SIZE_PX)
    return float(size * frontality(view.points) * (0.3 + 0.7 * _sharpness(view)) * min(1.0, score))


def frontality(points: NDArray[np.float32]) -> float:
    """1 where the nose stands midway between the eyes, towards 0 at a profile; 0.5 where there are no points."""
    if not np.isfinite(points).all():
        return 0.5
    left, right, nose = points[0], points[1], points[2]
    across = right - left
    distance = float(across @ across)
    if distance < 1e-3:
        return 0.0
    along = float((nose - left) @ across) / distance  # 0 at the left eye, 1 at the right one
    return float(np.clip(1 - 1.6 * abs(along - 0.5), 0.05, 1))


def _sharpness(view: Crop) -> float:
    x0, y0, x1, y1 = np.clip(np.rint(view.box).astype(int), 0, None)
    face = view.image[y0:y1, x0:x1]
    if min(face.shape[:2]) < 4:
        return 0.0
    grey = cv2.resize(cv2.cvtColor(face, cv2.COLOR_BGR2GRAY), (64, 64), interpolation=cv2.INTER_AREA if face.shape[1] > 64 else cv2.INTER_LINEAR)
    return min(1.0, float(cv2.Laplacian(grey, cv2.CV_32F).var()) / _FULL_SHARPNESS)


@dataclass
class _Candidate:
    """One face of the window that is open, and its best view so far."""

    last_box: NDArray[np.float32]
    last_frame: int
    row: int
    view: Crop
    quality: float
    is_new: bool  # not seen by the look before its first one in this window


@dataclass(frozen=True)
class Sample:
    """One row of FaceSamples; `row` is the caller's number of a detection."""

    row: int
    mesh_score: float  # NaN without a mesh
    embedding: NDArray[np.float32]
    quality: float
    female: float
    age: float
    skin: tuple[float, float, float]


class BestViews:
    """Collects the views of one window; rows must come in order of frames."""

    def __init__(self) -> None:
        self._faces: list[_Candidate] = []
        self._shot = 0  # first frame since the last sudden change
        self._frame_taken: set[int] = set()
        self._frame = -1

    def break_at(self, frame: int) -> None:
        """Faces before and after are not one by place."""
        self._shot = frame

    def add(self, frame: int, row: int, box: NDArray[np.float32], view: Crop, value: float, is_new: bool) -> None:
        if frame != self._frame:
            self._frame, self._frame_taken = frame, set()
        open_faces = [i for i, face in enumerate(self._faces) if face.last_frame >= self._shot and i not in self._frame_taken]
        if open_faces:
            overlap = iou(box[None], np.stack([self._faces[i].last_box for i in open_faces]))[0]
            if overlap.max() >= _SAME_IOU:
                number = open_faces[int(overlap.argmax())]
                self._frame_taken.add(number)
                self._renew(self._faces[number], frame, row, box, view, value)
                return
        self._frame_taken.add(len(self._faces))
        self._faces.append(_Candidate(box, frame, row, view, value, is_new))

    def _renew(self, face: _Candidate, frame: int, row: int, box: NDArray[np.float32], view: Crop, value: float) -> None:
        face.last_box, face.last_frame = box, frame
        if value > face.quality:
            face.row, face.view, face.quality = row, view, value

    def read(self, embedder: FaceEmbedder | None, reader: FaceAttributes | None, mesh: FaceMesh | None, *, only_new: bool) -> list[Sample]:
        """One sample a face, of all faces or of those that came in this window."""
        if embedder is None:
            return []
        return [_read(face, embedder, reader, mesh) for face in self._faces if face.is_new or not only_new]


def _read(face: _Candidate, embedder: FaceEmbedder, reader: FaceAttributes | None, mesh: FaceMesh | None) -> Sample:
    image, points, box = face.view.image, face.view.points, face.view.box
    unknown = float("nan")
    female, age, skin = reader.read(image, points, box) if reader else (unknown, unknown, (unknown,) * 3)
    embedding = np.asarray(embedder.embed(image, points, box), np.float32)
    return Sample(face.row, mesh_fit(mesh, face.view) if mesh else unknown, embedding, face.quality, float(female), float(age), skin)
