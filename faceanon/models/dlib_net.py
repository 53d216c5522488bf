"""dlib's face recognition net, read from dlib's own file and run by OpenVINO: the same numbers at a thirteenth of the CPU time.

The file is dlib's serialization of its template net: each layer writes its name, then its weights as one tensor. A tensor is its version, four
sizes and its values, float32; an integer is a byte that tells its length, then so many bytes, the low ones first. Layers come in order of input to output.

    conv 7x7/2 32, relu, max pool 3x3/2, then residual units of two 3x3 convs:  3 x 32,  4 x 64,  3 x 128,  3 x 256,  256 down;  mean, dense 128

A unit that goes down strides by two and adds means of 2x2. dlib adds results of unequal sizes as if the smaller one had zeros beyond its ends, in channels
and in place alike, and pads no convolution that strides. Every convolution is followed by a scale and a shift, which are folded into it here.

http://dlib.net/dnn_face_recognition_ex.cpp.html
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as op

from faceanon.core.errors import WeightsUnavailable
from faceanon.models.openvino_net import compiled

CHIP_PX = 150
_MEAN = np.array([122.782, 117.001, 104.298], np.float32)  # RGB, of the pictures that it was trained with
_BETWEEN = 32  # most bytes between a layer's name and its weights
_UNITS = [(32, False)] * 3 + [(64, True)] + [(64, False)] * 3 + [(128, True)] + [(128, False)] * 2 + [(256, True)] + [(256, False)] * 2 + [(256, True)]


class DlibNet:
    """dlib's face descriptor for chips of one face. Raises WeightsUnavailable where the file is another net's."""

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        self._net = compiled(ov.Core(), _model(_Reader(path)), threads)

    def __call__(self, chip: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(128,) for a chip (150, 150, 3) uint8 RGB."""
        return np.array(self._net([chip[None]])[0][0], np.float32)


class _Reader:
    """Tensors of dlib's file, one after the other."""

    def __init__(self, path: Path) -> None:
        self._path, self._data, self._at = path, path.read_bytes(), 0

    def tensor(self, layer: bytes, sizes: tuple[int, ...]) -> NDArray[np.float32]:
        """The weights of the next layer of this name, which has so many."""
        start = self._data.find(layer, self._at)
        self._at = start + len(layer)
        wanted = b"".join(_integer(size) for size in (2, *map(int, sizes)))
        count = int(np.prod(sizes))
        found = self._data.find(wanted, self._at, self._at + _BETWEEN)
        first = found + len(wanted)
        if start < 0 or found < 0 or first + 4 * count > len(self._data):
            raise WeightsUnavailable(f"not dlib's face recognition net: no {layer.decode()} of {count} numbers", source=str(self._path))
        self._at = first + 4 * count
        return np.frombuffer(self._data, "<f4", count, first)

    def convolution(self, inputs: int, outputs: int, side: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Weights (outputs, inputs, side, side) and shift (outputs,), with the scale and shift that follow folded in."""
        values = self.tensor(b"con_4", (outputs * (inputs * side * side + 1), 1, 1, 1))
        scale, shift = self.tensor(b"affine_", (2 * outputs, 1, 1, 1)).reshape(2, outputs)
        weights = values[:-outputs].reshape(outputs, inputs, side, side) * scale[:, None, None, None]
        return weights, values[-outputs:] * scale + shift


def _integer(value: int) -> bytes:
    """As dlib writes it."""
    size = max(1, (value.bit_length() + 7) // 8)
    return bytes([size]) + value.to_bytes(size, "little")


def _model(reader: _Reader) -> ov.Model:
    chip = op.parameter([1, CHIP_PX, CHIP_PX, 3], np.uint8, name="chip")
    rgb = op.transpose(op.convert(chip, np.float32), np.array([0, 3, 1, 2], np.int64))
    x = op.multiply(op.subtract(rgb, _MEAN[None, :, None, None]), np.float32(1 / 256))
    x = op.relu(_convolved(x, reader, 32, 7, 2))
    x = op.max_pool(x, [2, 2], [1, 1], [0, 0], [0, 0], [3, 3]).output(0)
    for channels, down in _UNITS:
        inner = op.relu(_convolved(x, reader, channels, 3, 2 if down else 1))
        inner = _convolved(inner, reader, channels, 3, 1)
        beside = op.avg_pool(x, [2, 2], [0, 0], [0, 0], [2, 2], True) if down else x
        x = op.relu(_added(inner, beside))
    dense = reader.tensor(b"fc_2", (x.get_output_shape(0)[1], 128, 1, 1)).reshape(-1, 128)
    return ov.Model([op.matmul(op.reduce_mean(x, np.array([2, 3], np.int64)), dense, False, False)], [chip], "dlib face descriptor")


def _convolved(x: Any, reader: _Reader, outputs: int, side: int, stride: int) -> Any:
    weights, shift = reader.convolution(_shape(x)[1], outputs, side)
    pad = [side // 2 if stride == 1 else 0] * 2
    return op.add(op.convolution(x, weights, [stride] * 2, pad, pad, [1, 1]), shift[None, :, None, None])


def _added(one: Any, other: Any) -> Any:
    """(1, C, H, W), each as large as the larger of both."""
    size = np.maximum(_shape(one), _shape(other))
    return op.add(_grown(one, size), _grown(other, size))


def _grown(x: Any, size: NDArray[np.int64]) -> Any:
    """With zeros beyond the ends, up to `size`."""
    missing = size - _shape(x)
    return op.pad(x, np.zeros(4, np.int64), missing, "constant", np.float32(0)) if missing.any() else x


def _shape(x: Any) -> NDArray[np.int64]:
    node = x.get_node() if hasattr(x, "get_node") else x
    return np.array(node.get_output_shape(0), np.int64)
