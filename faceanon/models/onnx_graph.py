"""Two repairs of a stored ONNX graph, made on its bytes, since the onnx package is not needed for anything else.

- Old exporters list every weight as an input too, which forbids a runtime to fold it (CenterFace: 36 ms become 17); those go.
- Inputs and outputs declare the one size that they were exported with; all their dimensions are made free, so that any size runs.

An ONNX file is a protobuf: fields of (number << 3 | wire type), then a value. Only the few fields named here are understood, the rest
is copied. https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

from collections.abc import Iterator

_MODEL_GRAPH = 7
_GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT, _GRAPH_VALUE_INFO = 5, 11, 12, 13
_TENSOR_NAME = 8
_VALUE_NAME, _VALUE_TYPE = 1, 2
_TYPE_TENSOR = 1
_TENSOR_ELEMENT, _TENSOR_SHAPE = 1, 2
_SHAPE_DIMENSION = 1
_DIMENSION_PARAMETER = 2

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def repair(model: bytes) -> bytes:
    """The same model whose only inputs are real ones, of any size."""
    return b"".join(_field(number, _graph(value)) if number == _MODEL_GRAPH else raw for number, value, raw in _fields(model))


def _graph(graph: bytes) -> bytes:
    weights = {_text(value, _TENSOR_NAME) for number, value, _ in _fields(graph) if number == _GRAPH_INITIALIZER}
    parts = []
    for number, value, raw in _fields(graph):
        if number == _GRAPH_INPUT and _text(value, _VALUE_NAME) in weights:
            continue
        if number == _GRAPH_VALUE_INFO:  # sizes of inner results, wrong from now on; runtimes infer them again
            continue
        parts.append(_field(number, _freed(value)) if number in (_GRAPH_INPUT, _GRAPH_OUTPUT) else raw)
    return b"".join(parts)


def _freed(value_info: bytes) -> bytes:
    """A ValueInfoProto with each dimension but the second of four (channels) named instead of numbered."""
    name = _text(value_info, _VALUE_NAME)
    return b"".join(_field(number, _freed_type(value, name)) if number == _VALUE_TYPE else raw for number, value, raw in _fields(value_info))


def _freed_type(kind: bytes, name: bytes) -> bytes:
    return b"".join(_field(number, _freed_tensor(value, name)) if number == _TYPE_TENSOR else raw for number, value, raw in _fields(kind))


def _freed_tensor(tensor: bytes, name: bytes) -> bytes:
    parts = []
    for number, value, raw in _fields(tensor):
        if number == _TENSOR_SHAPE:
            dimensions = [part for part_number, _, part in _fields(value) if part_number == _SHAPE_DIMENSION]
            raw = _field(number, b"".join(part if axis == 1 and len(dimensions) == 4 else _free(name, axis) for axis, part in enumerate(dimensions)))
        parts.append(raw)
    return b"".join(parts)


def _free(name: bytes, axis: int) -> bytes:
    return _field(_SHAPE_DIMENSION, _field(_DIMENSION_PARAMETER, name + b"_" + str(axis).encode()))


def _fields(message: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """(number, value, the whole field) for each field, in order; the value is empty where it is not a run of bytes."""
    at = 0
    while at < len(message):
        start = at
        tag, at = _varint(message, at)
        kind, value = tag & 7, b""
        if kind == _VARINT:
            _, at = _varint(message, at)
        elif kind == _BYTES:
            length, at = _varint(message, at)
            value, at = message[at : at + length], at + length
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"not a protobuf message: got {kind = } at byte {start}")
        yield tag >> 3, value, message[start:at]


def _varint(message: bytes, at: int) -> tuple[int, int]:
    total = shift = 0
    while True:
        byte = message[at]
        at += 1
        total |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return total, at


def _field(number: int, value: bytes) -> bytes:
    return _encoded(number << 3 | _BYTES) + _encoded(len(value)) + value


def _encoded(number: int) -> bytes:
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def _text(message: bytes, wanted: int) -> bytes:
    return next((value for number, value, _ in _fields(message) if number == wanted), b"")
