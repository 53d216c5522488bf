"""A face embedder that judges and does nothing else: no engine, no choice of a persona and no loss asks it.

FaceRes of the Human library (Vladimir Mandic), a MobileNet (Howard et al., 2017) trained for age, sex and identity on VGGFace2 after Savchenko,
2019, kept as a TensorFlow.js graph: a JSON of nodes, and their weights as one run of half floats. The graph's few operations are carried out here,
channels first. On 150 same and 150 different LFW pairs: median distances 0.72 and 1.14, area under the curve 0.996 (dlib 1.000).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from faceanon.core.picture import Image
from faceanon.core.settings import ModelSettings
from faceanon.models import registry, weights
from faceanon.models.crops import shrink_warp
from faceanon.models.mesh import roll_of

SIDE_PX = 224
_OUTPUT = "global_pooling/Mean"  # (1, 1024)
_MEANS = np.array([103.939, 116.779, 123.68], np.float32)  # BGR
_BOX_SHARE = 1.1  # side of the crop over the longer side of the face's box


class FaceresEmbedder:
    """Fulfils core.ports.FaceEmbedder. Embeddings have length 1."""

    name = "faceres"
    dimensions = 1024
    same_person_distance = 0.9  # about; a judge is calibrated by whoever asks it
    model_sha256: tuple[str, ...] = tuple(registry.weight(name).sha256 for name in ("faceres_graph", "faceres_weights"))

    def __init__(self, models: ModelSettings) -> None:
        for name in ("faceres_graph", "faceres_weights"):
            registry.require(name, models.licences)
        torch.set_num_threads(models.threads)
        graph, data = (weights.path_of(name) for name in ("faceres_graph", "faceres_weights"))
        self._net = Graph(json.loads(graph.read_bytes()), data.read_bytes())

    def embed(self, image: Image, points: NDArray[np.float32], box: NDArray[np.float32]) -> NDArray[np.float32]:
        crop = shrink_warp(image, crop_of(points, box), SIDE_PX).astype(np.float32) - _MEANS
        raw = self._net.run(np.ascontiguousarray(crop.transpose(2, 0, 1)[None]), _OUTPUT)[0]
        return raw / max(float(np.linalg.norm(raw)), 1e-9)


def crop_of(points: NDArray[np.float32], box: NDArray[np.float32]) -> NDArray[np.float32]:
    """(2, 3) image to crop px: a square around the middle of the box, its eyes level."""
    roll = roll_of(points)
    scale = SIDE_PX / (_BOX_SHARE * max(float(box[2] - box[0]), float(box[3] - box[1]), 1.0))
    cos, sin = np.cos(roll) * scale, np.sin(roll) * scale
    turn = np.array([[cos, sin], [-sin, cos]])
    middle = np.array([box[0] + box[2], box[1] + box[3]]) / 2
    return np.concatenate([turn, (SIDE_PX / 2 - turn @ middle)[:, None]], axis=1).astype(np.float32)


class Graph:
    """A frozen TensorFlow.js graph of one input."""

    def __init__(self, model: Mapping[str, Any], data: bytes) -> None:
        self._nodes = {node["name"]: node for node in model["modelTopology"]["node"]}
        self._values = {name: torch.from_numpy(value) for name, value in _weights(model["weightsManifest"], data)}

    @torch.inference_mode()
    def run(self, batch: NDArray[np.float32], output: str) -> NDArray[np.float32]:
        """The value of the node `output` for the input (N, 3, H, W)."""
        values = dict(self._values)
        pending = [output]
        while pending:
            name = pending[-1]
            node = self._nodes[name]
            missing = [entry for entry in node.get("input", ()) if entry not in values]
            if missing:
                pending += missing
                continue
            pending.pop()
            if node["op"] == "Placeholder":
                values[name] = torch.from_numpy(batch)
            elif name not in values:
                values[name] = _OPERATIONS[node["op"]](node["attr"], *(values[entry] for entry in node["input"]))
        return values[output].numpy()


def _weights(manifest: list[dict[str, Any]], data: bytes):
    at = 0
    for entry in (entry for group in manifest for entry in group["weights"]):
        kind = np.dtype(entry.get("quantization", entry)["dtype"])
        count = int(np.prod(entry["shape"]))
        value = np.frombuffer(data, kind, count, at).reshape(entry["shape"])
        yield entry["name"], value.astype(entry["dtype"])
        at += count * kind.itemsize


def _words(attribute: dict[str, Any]) -> list[str]:
    return [base64.b64decode(word).decode() for word in attribute["list"]["s"]]


def _padded(x: Tensor, kernel: int, stride: int, attributes: Mapping[str, Any]) -> Tensor:
    """TensorFlow's SAME: what is odd is added below and on the right."""
    if base64.b64decode(attributes["padding"]["s"]) != b"SAME":
        return x
    pads = [max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in x.shape[2:]]
    return functional.pad(x, (pads[1] // 2, pads[1] - pads[1] // 2, pads[0] // 2, pads[0] - pads[0] // 2))


def _conv(attributes: Mapping[str, Any], x: Tensor, kernel: Tensor) -> Tensor:
    stride = int(attributes["strides"]["list"]["i"][1])
    return functional.conv2d(_padded(x, kernel.shape[0], stride, attributes), kernel.permute(3, 2, 0, 1), stride=stride)


def _depthwise(attributes: Mapping[str, Any], x: Tensor, kernel: Tensor) -> Tensor:
    stride = int(attributes["strides"]["list"]["i"][1])
    return functional.conv2d(_padded(x, kernel.shape[0], stride, attributes), kernel.permute(2, 3, 0, 1), stride=stride, groups=kernel.shape[2])


def _over_channels(x: Tensor, other: Tensor) -> Tensor:
    """A vector of channels as TensorFlow spreads it over (N, H, W, C), for (N, C, H, W)."""
    return other.reshape(1, -1, 1, 1) if x.dim() == 4 and other.numel() > 1 else other


def _matmul(attributes: Mapping[str, Any], x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    y = x @ kernel + bias
    return torch.relu(y) if "Relu" in _words(attributes["fused_ops"]) else y


_OPERATIONS: dict[str, Callable[..., Tensor]] = {
    "Conv2D": _conv,
    "DepthwiseConv2dNative": _depthwise,
    "Add": lambda _, x, y: x + _over_channels(x, y),
    "Mul": lambda _, x, y: x * _over_channels(x, y),
    "Minimum": lambda _, x, y: torch.minimum(x, _over_channels(x, y)),
    "Maximum": lambda _, x, y: torch.maximum(x, _over_channels(x, y)),
    "Relu": lambda _, x: torch.relu(x),
    "Mean": lambda _, x, axes: x.mean((2, 3)),
    "_FusedMatMul": _matmul,
    "Sigmoid": lambda _, x: torch.sigmoid(x),
    "Softmax": lambda _, x: torch.softmax(x, -1),
}
