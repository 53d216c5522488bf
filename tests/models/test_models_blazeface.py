"""BlazeFace: what its numbers mean, which parts of a picture it looks at, and, with its weights, whom it finds."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceanon.core.geometry import iou
from faceanon.core.settings import ModelSettings
from faceanon.models.blazeface import decoded, squares
from faceanon.models.detectors import make_detector


def test_a_cell_is_decoded():
    """Centre and size are px of the input, from the middle of a cell of 4 px; what scores below the threshold is not given."""
    raw, logits = np.zeros((2304, 16), np.float32), np.full(2304, -100, np.float32)
    logits[[48 * 2 + 3, 5]] = 2.0, -1.0
    raw[48 * 2 + 3, :4] = 1, -1, 20, 10

    boxes, scores = decoded(raw, logits, 0.5)

    assert boxes.tolist() == [[5, 4, 25, 14]]
    assert scores[0] == pytest.approx(0.8808, abs=1e-4)


@given(st.integers(1, 2000), st.integers(1, 2000))
def test_squares_cover_the_picture(width, height):
    """The first holds it whole; of the later sizes every row and column lies in some square, and none reaches beyond."""
    first, *later = squares(width, height)
    left, top, side = first

    assert left <= 0 < width <= left + side
    assert top <= 0 < height <= top + side
    for size in {s for _, _, s in later}:
        xs, ys = (sorted({square[axis] for square in later if square[2] == size}) for axis in (0, 1))
        for starts, length in ((xs, width), (ys, height)):
            assert (starts[0], starts[-1] + size) == (0, length)
            assert all(b - a <= 0.76 * size + 1 for a, b in itertools.pairwise(starts))


@pytest.mark.models
@pytest.mark.parametrize(("width", "height"), [(1, 1), (16, 16), (5, 300), (300, 5), (640, 360)])
def test_any_size_is_looked_at(width, height):
    """A plain picture has no face."""
    boxes, points, scores = make_detector("blazeface", threshold=0.5, models=ModelSettings()).detect(np.full((height, width, 3), 128, np.uint8))

    assert (boxes.shape, points.shape, scores.shape) == ((0, 4), (0, 5, 2), (0,))


@pytest.mark.models
@pytest.mark.parametrize("size", [60, 150, 300])
def test_it_finds_whom_yunet_finds(size):
    """One synthetic face, small or large, in a wide picture: one box, where the other family sees it."""
    from test_models_real import WOMAN, portraits

    face = cv2.resize(portraits()[WOMAN], (size, size), interpolation=cv2.INTER_AREA)
    image = np.full((360, 640, 3), 120, np.uint8)
    image[30 : 30 + size, 330 - size // 2 : 330 - size // 2 + size] = face
    boxes, points, scores = make_detector("blazeface", threshold=0.5, models=ModelSettings()).detect(image)
    theirs = make_detector("yunet", threshold=0.5, models=ModelSettings()).detect(image)[0]

    assert (len(boxes), len(theirs)) == (1, 1)
    assert iou(boxes, theirs)[0, 0] > 0.5
    assert np.isnan(points).all()
    assert scores[0] > 0.7
