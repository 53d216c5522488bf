"""Face detectors by name: yunet, centerface, mtcnn, or a union of several such as yunet+centerface; and blazeface, for audits.

All see the image at the size it is given; the caller chooses the scale. All give boxes (N, 4) xyxy px inside the image, the five
points in the order left eye, right eye, nose, left mouth corner, right mouth corner (left and right as seen in the image), and scores
0..1, best first, ties by position. Any size works, from one px.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from faceanon.core.errors import SettingsError
from faceanon.core.geometry import clip, empty_boxes, iou, non_maximum
from faceanon.core.picture import Image
from faceanon.core.ports import FaceDetector
from faceanon.core.settings import ModelSettings
from faceanon.models import registry
from faceanon.models.device import Bf16Net, OnnxNet, has_bf16

Found = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]  # boxes (N, 4), points (N, 5, 2), scores (N,)

NAMES = ("yunet", "centerface", "mtcnn", "blazeface")
WEIGHTS_OF = {"yunet": ("yunet",), "centerface": ("centerface",), "mtcnn": ("mtcnn_pnet", "mtcnn_rnet", "mtcnn_onet"), "blazeface": ("blazeface",)}
OVERLAP = 0.3  # IoU above which two boxes of one detector are one face
UNION_OVERLAP = 0.4  # the same for boxes of two detectors, whose boxes differ in habit
_MOST = 5000  # candidates that enter the suppression
# YuNet draws faces of 14 to 28 px about half a px higher and narrower than the same faces seen larger (200 LFW photos shrunk). Each side
# is moved so that no part is lost: the upper one, already high, stays. At IoU 0.4 faces of 16 to 24 px gain 4 points of recall.
YUNET_SIDES_PX = np.array([-0.5, 0.0, 1.0, 1.5], np.float32)


def make_detector(name: str, *, threshold: float, models: ModelSettings, device: str = "cpu") -> FaceDetector:
    """The detector called `name`; faces that score below `threshold` are not given. Raises SettingsError, LicenceRefused, WeightsUnavailable."""
    parts = name.split("+")
    if not set(parts) <= set(NAMES) or len(set(parts)) < len(parts):
        raise SettingsError(f"no such detector: {name!r}; there are {', '.join(NAMES)} and unions such as yunet+centerface")
    for part in parts:
        for weight in WEIGHTS_OF[part]:
            registry.require(weight, models.licences)
    made = [_make(part, threshold, models, device) for part in parts]
    return made[0] if len(made) == 1 else Union(made)


def _make(name: str, threshold: float, models: ModelSettings, device: str) -> FaceDetector:
    if name == "yunet":
        return YuNet(threshold, models, device)
    if name == "centerface":
        return CenterFace(threshold, models, device)
    if name == "blazeface":
        from faceanon.models.blazeface import BlazeFace

        return BlazeFace(threshold, models)
    from faceanon.models.mtcnn import Mtcnn  # brings torch, which takes a second to import

    return Mtcnn(threshold, models, device)


class YuNet:
    """Wu et al., 2023: YuNet, a tiny millisecond-level face detector. Anchor-free, strides 8, 16 and 32."""

    name = "yunet"
    model_sha256: tuple[str, ...] = (registry.weight("yunet").sha256,)

    def __init__(self, threshold: float, models: ModelSettings, device: str = "cpu") -> None:
        self._threshold = threshold
        self._net = _net("yunet", models, device)

    def detect(self, image: Image) -> Found:
        height, width = image.shape[:2]
        out = self._net(image)
        columns = -(-width // 32) * 32
        parts = [self._decoded(out, stride, columns // stride) for stride in (8, 16, 32)]
        boxes, points, scores = (np.concatenate(column) for column in zip(*parts, strict=True))
        return _sorted(boxes, points, scores, width, height)

    def _decoded(self, out: dict[str, NDArray[np.float32]], stride: int, columns: int) -> Found:
        """Cells of one stride above the threshold. A cell's score is the root of class times objectness; its size is a power of e in strides."""
        scores = np.sqrt(np.clip(out[f"cls_{stride}"][0, :, 0], 0, 1) * np.clip(out[f"obj_{stride}"][0, :, 0], 0, 1))
        cell = np.flatnonzero(scores >= self._threshold)
        origin = np.stack([cell % columns, cell // columns], axis=1).astype(np.float32)  # (n, 2) cells
        box = out[f"bbox_{stride}"][0, cell]
        centre, half = (origin + box[:, :2]) * stride, np.exp(box[:, 2:]) * (stride / 2)
        points = (out[f"kps_{stride}"][0, cell].reshape(-1, 5, 2) + origin[:, None]) * stride
        return np.concatenate([centre - half, centre + half], axis=1) + YUNET_SIDES_PX, points, scores[cell]


class CenterFace:
    """Xu et al., 2019: CenterFace, joint face detection and alignment using face as point. One heat map of stride 4."""

    name = "centerface"
    model_sha256: tuple[str, ...] = (registry.weight("centerface").sha256,)

    def __init__(self, threshold: float, models: ModelSettings, device: str = "cpu") -> None:
        self._threshold = threshold
        self._net = _net("centerface", models, device)

    def detect(self, image: Image) -> Found:
        height, width = image.shape[:2]
        heat, scale, offset, marks = (part[0] for part in self._net(image[..., ::-1]).values())  # (1|2|2|10, H/4, W/4)
        row, column = np.nonzero(heat[0] >= self._threshold)
        size = np.exp(scale[:, row, column].T)[:, ::-1] * 4  # (n, 2) width, height px
        centre = (np.stack([column, row], axis=1) + offset[::-1, row, column].T + 0.5) * 4
        low = centre - size / 2
        points = marks[:, row, column].T.reshape(-1, 5, 2)[..., ::-1] * size[:, None] + low[:, None]
        boxes = np.concatenate([low, low + size], axis=1)
        return _sorted(boxes, points, heat[0, row, column], width, height)


class Union:
    """Whatever any of several detectors finds; boxes of one face are merged, with the best score and points of one that has them."""

    def __init__(self, detectors: list[FaceDetector]) -> None:
        self._detectors = detectors
        self.name = "+".join(detector.name for detector in detectors)
        self.model_sha256: tuple[str, ...] = tuple(sha for detector in detectors for sha in detector.model_sha256)

    def detect(self, image: Image) -> Found:
        return merge([detector.detect(image) for detector in self._detectors])


def merge(found: list[Found]) -> Found:
    """One list out of several. A box of another family that overlaps a better one by more than UNION_OVERLAP is the same face."""
    boxes, points, scores = (np.concatenate(column) for column in zip(*found, strict=True))
    keep = non_maximum(boxes, scores, UNION_OVERLAP)
    if not len(keep):
        return nothing()
    points = points.copy()
    has_points = np.isfinite(points).all((1, 2))
    for index in keep[~has_points[keep]]:
        overlap = np.where(has_points, iou(boxes[index : index + 1], boxes)[0], 0)
        if overlap.max() > UNION_OVERLAP:
            points[index] = points[overlap.argmax()]
    return boxes[keep], points[keep], scores[keep]


def nothing() -> Found:
    """No face."""
    return empty_boxes(), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32)


def _net(name: str, models: ModelSettings, device: str) -> Callable[[Image], dict[str, NDArray[np.float32]]]:
    """The net as it runs fastest here, for pictures (H, W, 3) uint8 of any size."""
    if device == "cpu" and has_bf16():
        net = Bf16Net(name, models)
        return lambda image: net(_padded(image))
    floats = OnnxNet(name, models, device)
    return lambda image: floats(np.stack(cv2.split(_padded(image)))[None].astype(np.float32))


def _padded(image: Image) -> Image:
    """Sides grown to multiples of 32 with black on the right and below, as the nets' strides ask."""
    height, width = image.shape[:2]
    return cv2.copyMakeBorder(np.ascontiguousarray(image), 0, -height % 32, 0, -width % 32, cv2.BORDER_CONSTANT)


def _sorted(boxes: NDArray, points: NDArray, scores: NDArray, width: int, height: int) -> Found:
    """Suppressed, best first, cut to the image; what lies wholly in the padding is dropped."""
    if len(scores) > _MOST:
        best = np.argsort(-scores, kind="stable")[:_MOST]
        boxes, points, scores = boxes[best], points[best], scores[best]
    keep = non_maximum(boxes, scores, OVERLAP)
    boxes, points, scores = clip(boxes[keep], width, height), points[keep].astype(np.float32), scores[keep].astype(np.float32)
    inside = (boxes[:, 2] - boxes[:, 0] >= 1) & (boxes[:, 3] - boxes[:, 1] >= 1)
    return boxes[inside], points[inside], scores[inside]
