"""MTCNN (Zhang et al., 2016: Joint face detection and alignment using multi-task cascaded convolutional networks), in torch.

Three nets in turn: P slides over a pyramid of the image and proposes boxes, R and O look at a 24 and a 48 px crop of each and refine
it; O adds the five points. Crops of one stage, from all levels of the pyramid, go through in one batch.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as nn

from faceanon.core.geometry import clip, empty_boxes, heights, non_maximum, widths
from faceanon.core.picture import Image
from faceanon.core.settings import ModelSettings
from faceanon.models import device as devices
from faceanon.models import registry, weights

LEAST_FACE_PX = 16
_CELL_PX, _STRIDE = 12, 2  # what one output of P sees, and the step to the next
_SHRINK = 0.709  # from level to level: half the area
_P_SCORE, _R_SCORE = 0.6, 0.7  # the published thresholds; the last one is the caller's
_MOST = 4096  # crops of one batch; in a picture with more, the best ones

State = dict[str, torch.Tensor]
_NAMES = ("mtcnn_pnet", "mtcnn_rnet", "mtcnn_onet")


class Mtcnn:
    """Fulfils core.ports.FaceDetector."""

    name = "mtcnn"
    model_sha256: tuple[str, ...] = tuple(registry.weight(name).sha256 for name in _NAMES)

    def __init__(self, threshold: float, models: ModelSettings, device: str = "cpu") -> None:
        torch.set_num_threads(models.threads)
        self._threshold = threshold
        self._device = devices.torch_device(device)
        self._p, self._r, self._o = (torch.load(weights.path_of(name), map_location=self._device, weights_only=True) for name in _NAMES)

    @torch.inference_mode()
    def detect(self, image: Image) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        height, width = image.shape[:2]
        rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        boxes = self._proposed(rgb)
        boxes, scores, _ = self._refined(rgb, boxes, 24, _r_net, self._r, _R_SCORE)
        keep = non_maximum(boxes, scores, 0.7)
        boxes, scores, points = self._refined(rgb, boxes[keep], 48, _o_net, self._o, self._threshold)
        keep = non_maximum(boxes, scores, 0.5)
        boxes = clip(boxes[keep], width, height)
        inside = (widths(boxes) >= 1) & (heights(boxes) >= 1)
        return boxes[inside], points[keep][inside], scores[keep][inside]

    def _proposed(self, rgb: Image) -> NDArray[np.float32]:
        """(N, 4) square boxes that P finds likely, over all levels."""
        found, scores = [empty_boxes()], [np.zeros(0, np.float32)]
        scale = _CELL_PX / LEAST_FACE_PX
        while min(rgb.shape[:2]) * scale >= _CELL_PX:
            size = (int(np.ceil(rgb.shape[1] * scale)), int(np.ceil(rgb.shape[0] * scale)))
            level = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
            probability, shift = (part[0].cpu().numpy() for part in _p_net(self._tensor(level[None]), self._p))
            boxes, score = _cells(probability[1], shift, scale)
            keep = non_maximum(boxes, score, 0.5)
            found.append(boxes[keep])
            scores.append(score[keep])
            scale *= _SHRINK
        boxes, score = np.concatenate(found), np.concatenate(scores)
        return boxes[non_maximum(boxes, score, 0.7)[:_MOST]]

    def _refined(self, rgb: Image, boxes: NDArray[np.float32], side: int, net, state: State, threshold: float):
        """boxes (n, 4), scores (n,) and points (n, 5, 2) of those crops that a net calls faces."""
        if not len(boxes):
            return empty_boxes(), np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32)
        squares = np.round(_squared(boxes))
        crops = np.stack([_crop(rgb, square, side) for square in squares])  # (N, side, side, 3) uint8
        probability, shift, marks = (part.cpu().numpy() for part in net(self._tensor(crops), state))
        keep = probability[:, 1] >= threshold
        squares, size = squares[keep], (squares[keep, 2:] - squares[keep, :2])
        refined = squares + shift[keep] * np.tile(size, (1, 2))
        points = squares[:, None, :2] + np.stack([marks[keep, :5], marks[keep, 5:]], axis=2) * size[:, None]
        return refined.astype(np.float32), probability[keep, 1], points.astype(np.float32)

    def _tensor(self, images: NDArray[np.uint8]) -> torch.Tensor:
        """(N, 3, H, W) float32, (x - 127.5) / 128, from (N, H, W, 3) uint8 RGB."""
        return (torch.from_numpy(images).to(self._device).permute(0, 3, 1, 2).float() - 127.5) / 128


def _cells(probability: NDArray[np.float32], shift: NDArray[np.float32], scale: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Boxes (n, 4) and scores (n,) of P's map (h, w) above its threshold; shift is (4, h, w) in sides of a cell."""
    row, column = np.nonzero(probability >= _P_SCORE)
    low = np.stack([column, row], axis=1) * _STRIDE
    boxes = np.concatenate([low, low + _CELL_PX], axis=1) / scale
    return (boxes + shift[:, row, column].T * (_CELL_PX / scale)).astype(np.float32), probability[row, column]


def _squared(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each box grown to a square around its centre."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = np.maximum(np.maximum(widths(boxes), heights(boxes)), 1)[:, None] / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def _crop(rgb: Image, square: NDArray[np.float32], side: int) -> Image:
    """(side, side, 3): the square's part of the image; what lies outside is the border's colour."""
    x0, y0, x1, y1 = square.astype(int)
    height, width = rgb.shape[:2]
    left, top, right, bottom = (min(max(edge, 0), limit) for edge, limit in zip((x0, y0, x1, y1), (width - 1, height - 1, width, height), strict=True))
    part = rgb[top : max(bottom, top + 1), left : max(right, left + 1)]
    if (left, top, right, bottom) != (x0, y0, x1, y1):
        part = cv2.copyMakeBorder(part, max(top - y0, 0), max(y1 - bottom, 0), max(left - x0, 0), max(x1 - right, 0), cv2.BORDER_REPLICATE)
    return cv2.resize(part, (side, side), interpolation=cv2.INTER_AREA if part.shape[0] > side else cv2.INTER_LINEAR)


def _conv(x: torch.Tensor, state: State, layer: str) -> torch.Tensor:
    return nn.conv2d(x, state[f"conv{layer}.weight"], state[f"conv{layer}.bias"])


def _bent(x: torch.Tensor, state: State, layer: str) -> torch.Tensor:
    return nn.prelu(x, state[f"prelu{layer}.weight"])


def _dense(x: torch.Tensor, state: State, layer: str) -> torch.Tensor:
    return nn.linear(x, state[f"dense{layer}.weight"], state[f"dense{layer}.bias"])


def _p_net(x: torch.Tensor, state: State) -> tuple[torch.Tensor, torch.Tensor]:
    x = nn.max_pool2d(_bent(_conv(x, state, "1"), state, "1"), 2, 2, ceil_mode=True)
    x = _bent(_conv(x, state, "2"), state, "2")
    x = _bent(_conv(x, state, "3"), state, "3")
    return nn.softmax(_conv(x, state, "4_1"), dim=1), _conv(x, state, "4_2")


def _r_net(x: torch.Tensor, state: State) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    x = nn.max_pool2d(_bent(_conv(x, state, "1"), state, "1"), 3, 2, ceil_mode=True)
    x = nn.max_pool2d(_bent(_conv(x, state, "2"), state, "2"), 3, 2, ceil_mode=True)
    x = _bent(_conv(x, state, "3"), state, "3")
    x = _bent(_dense(_flat(x), state, "4"), state, "4")
    return nn.softmax(_dense(x, state, "5_1"), dim=1), _dense(x, state, "5_2"), x.new_zeros(len(x), 10)


def _o_net(x: torch.Tensor, state: State) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    x = nn.max_pool2d(_bent(_conv(x, state, "1"), state, "1"), 3, 2, ceil_mode=True)
    x = nn.max_pool2d(_bent(_conv(x, state, "2"), state, "2"), 3, 2, ceil_mode=True)
    x = nn.max_pool2d(_bent(_conv(x, state, "3"), state, "3"), 2, 2, ceil_mode=True)
    x = _bent(_conv(x, state, "4"), state, "4")
    x = _bent(_dense(_flat(x), state, "5"), state, "5")
    return nn.softmax(_dense(x, state, "6_1"), dim=1), _dense(x, state, "6_2"), _dense(x, state, "6_3")


def _flat(x: torch.Tensor) -> torch.Tensor:
    """(N, W * H * C): the nets were trained in a framework that counts columns first and channels last."""
    return x.permute(0, 3, 2, 1).reshape(len(x), -1)
