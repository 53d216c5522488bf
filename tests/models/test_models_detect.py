"""Detection without weights: decoding, the union of detectors, and the repair of ONNX graphs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceanon.core.errors import SettingsError
from faceanon.core.settings import ModelSettings
from faceanon.models import detectors, onnx_graph
from faceanon.models.detectors import Union, merge, nothing
from faceanon.models.fakes import FakeDetector, draw_face

NAN = np.full((5, 2), np.nan, np.float32)
POINTS = np.arange(10, dtype=np.float32).reshape(5, 2)


def found(*faces):
    """(box, points, score) rows as what a detector gives."""
    boxes, points, scores = zip(*faces, strict=True) if faces else ((), (), ())
    return np.array(boxes, np.float32).reshape(-1, 4), np.array(points, np.float32).reshape(-1, 5, 2), np.array(scores, np.float32)


def test_a_face_seen_by_both_is_one_face_with_the_better_score():
    """Boxes of two detectors that overlap by more than 0.4 are one face."""
    boxes, _, scores = merge([found(((0, 0, 10, 10), POINTS, 0.5)), found(((1, 0, 11, 10), POINTS, 0.8))])

    assert boxes.tolist() == [[1, 0, 11, 10]]
    assert scores.tolist() == [np.float32(0.8)]


def test_points_come_from_the_one_that_has_them():
    """The better box without points takes those of the box that it replaces."""
    boxes, points, _ = merge([found(((0, 0, 10, 10), POINTS, 0.5)), found(((1, 0, 11, 10), NAN, 0.8))])

    assert boxes.tolist() == [[1, 0, 11, 10]]
    assert points[0].tolist() == POINTS.tolist()


def test_points_are_not_borrowed_from_another_face():
    """A face that no detector with points has seen keeps unknown points."""
    _, points, scores = merge([found(((50, 50, 60, 60), POINTS, 0.9)), found(((1, 0, 11, 10), NAN, 0.8))])

    assert scores.tolist() == [np.float32(0.9), np.float32(0.8)]
    assert np.isnan(points[1]).all()


def test_what_either_sees_is_found():
    """A union loses nothing that one of its members finds."""
    boxes, _, scores = merge([found(((0, 0, 10, 10), POINTS, 0.5)), found(((20, 0, 30, 10), POINTS, 0.4)), nothing()])

    assert boxes.tolist() == [[0, 0, 10, 10], [20, 0, 30, 10]]
    assert scores.tolist() == [np.float32(0.5), np.float32(0.4)]


def test_nothing_and_nothing_is_nothing():
    """A union of empty answers has the shapes of an empty answer."""
    boxes, points, scores = merge([nothing(), nothing()])

    assert (boxes.shape, points.shape, scores.shape) == ((0, 4), (0, 5, 2), (0,))


def test_a_union_is_named_after_its_members():
    """Name and digests of a union are those of its members, in order."""
    image = np.full((64, 64, 3), 120, np.uint8)
    draw_face(image, 30, 30, 24, 300)
    union = Union([FakeDetector("a"), FakeDetector("b")])

    boxes, _, _ = union.detect(image)

    assert union.name == "a+b"
    assert len(union.model_sha256) == 2
    assert len(boxes) == 1


@pytest.mark.parametrize("name", ["yolo", "", "yunet+", "yunet+yunet", "yunet,centerface"])
def test_a_detector_that_does_not_exist_is_refused(name):
    """A wrong name is a settings error that lists the right ones."""
    with pytest.raises(SettingsError, match="yunet, centerface, mtcnn"):
        detectors.make_detector(name, threshold=0.5, models=ModelSettings())


def test_a_picture_is_padded_not_stretched():
    """A picture of any size keeps its px; the sides grow to multiples of 32 on the right and below."""
    image = np.random.default_rng(0).integers(0, 256, (33, 5, 3), dtype=np.uint8)

    padded = detectors._padded(image)

    assert padded.shape == (64, 32, 3)
    assert np.array_equal(padded[:33, :5], image)
    assert padded.sum() == image.sum()


def test_boxes_end_at_the_picture():
    """Boxes are cut to the picture, and those in the padding alone are dropped."""
    boxes, _, scores = detectors._sorted(np.array([[-5, -5, 20, 20], [70, 0, 90, 20.0]], np.float32), np.stack([POINTS, POINTS]), np.array([0.6, 0.9]), 64, 48)

    assert boxes.tolist() == [[0, 0, 20, 20]]
    assert scores.tolist() == [np.float32(0.6)]


def field(number: int, value: bytes) -> bytes:
    return onnx_graph._field(number, value)


def number(at: int, value: int) -> bytes:
    return onnx_graph._encoded(at << 3) + onnx_graph._encoded(value)


def value_info(name: bytes, *sizes: int) -> bytes:
    shape = b"".join(field(1, number(1, size)) for size in sizes)
    return field(1, name) + field(2, field(1, number(1, 1) + field(2, shape)))


def test_weights_that_pose_as_inputs_are_taken_off():
    """Only real inputs stay inputs, and nothing but inputs, outputs and inner sizes changes."""
    node, weight = field(1, b"a node"), field(5, field(8, b"w") + field(9, b"\x00" * 8))
    inputs = field(11, value_info(b"image", 1, 3, 640, 640)) + field(11, value_info(b"w", 2))
    graph = node + weight + inputs + field(12, value_info(b"out", 1, 6400, 4)) + field(13, b"inner")
    model = number(1, 8) + field(7, graph) + field(8, b"opset")

    repaired = onnx_graph.repair(model)

    fields = {key: value for key, value, _ in onnx_graph._fields(repaired)}
    parts = [(key, onnx_graph._text(value, 1)) for key, value, _ in onnx_graph._fields(fields[7])]
    assert [name for key, name in parts if key == 11] == [b"image"]
    assert [name for key, name in parts if key == 12] == [b"out"]
    assert [key for key, _ in parts] == [1, 5, 11, 12]
    assert fields[8] == b"opset"


def test_sizes_are_freed_but_channels_stay():
    """All sizes of an image input become free, its number of channels does not."""
    model = field(7, field(11, value_info(b"image", 10, 3, 32, 32)))

    repaired = onnx_graph.repair(model)

    assert number(1, 3) in repaired
    assert number(1, 32) not in repaired
    assert [b"image_%d" % axis in repaired for axis in range(4)] == [True, False, True, True]


@given(st.integers(0, 2**63 - 1))
def test_numbers_survive_their_coding(value):
    """What is written as a varint is read back."""
    assert onnx_graph._varint(onnx_graph._encoded(value), 0) == (value, len(onnx_graph._encoded(value)))
