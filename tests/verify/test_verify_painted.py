"""Painted means changed: what still shows the source's pixels is found."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from verify_cases import picture, regions

from faceanon.verify.painted import Kept, changed_shares, detail, unpainted

FACE, OTHER = (100, 80, 160, 150), (200, 80, 260, 150)
BOTH = regions([(0, 3, FACE, 5), (0, 4, OTHER, 5)])


def textured(depth: int = 8):
    """A picture of noise that stands for faces."""
    frame = picture(depth=depth)
    noise = np.random.default_rng(1).integers(40, 200, frame.planes[0].shape)
    frame.planes[0][...] = noise << (depth - 8)
    return frame


def paint(frame, box) -> None:
    x0, y0, x1, y1 = box
    frame.planes[0][y0:y1, x0:x1] = cv2.GaussianBlur(frame.planes[0][y0:y1, x0:x1], (0, 0), 12)


@pytest.mark.parametrize("depth", [8, 10])
def test_an_unpainted_face_is_named_by_its_track(depth):
    """Of two faces the one that was forgotten comes back."""
    frame = textured(depth)
    kept = Kept.of(frame, BOTH)
    paint(frame, FACE)

    assert unpainted(kept, frame) == [4]


def test_what_was_kept_is_a_copy():
    """Painting in place does not reach what was kept."""
    frame = textured()
    kept = Kept.of(frame, BOTH)
    frame.planes[0][...] = 16

    assert unpainted(kept, frame) == []
    assert changed_shares(kept, frame) == [1.0, 1.0]


def test_a_hand_before_the_face_may_stay():
    """A core of which most is left alone, and some was painted, counts as painted."""
    frame = textured()
    kept = Kept.of(frame, BOTH)
    paint(frame, OTHER)
    frame.planes[0][98:106, 115:145] = 0

    assert 0.1 < changed_shares(kept, frame)[0] < 0.3
    assert unpainted(kept, frame) == []


def test_paint_beside_the_face_does_not_count():
    """A change around the core only leaves the face where it was."""
    frame = textured()
    kept = Kept.of(frame, regions([(0, 3, FACE, 5)]))
    core = frame.planes[0][97:133, 115:145].copy()
    paint(frame, FACE)
    frame.planes[0][97:133, 115:145] = core

    assert unpainted(kept, frame) == [3]


def test_nothing_to_see_cannot_be_unpainted():
    """Black frames and slopes of light stay as they are under a held box, and show nobody."""
    black, slope = picture(), picture()
    slope.planes[0][...] = np.linspace(20, 235, slope.width).astype(np.uint8)

    assert unpainted(Kept.of(black, BOTH), black) == []
    assert unpainted(Kept.of(slope, BOTH), slope) == []


def test_a_dim_face_still_counts_as_one():
    """Detail of a few steps, as in a dark scene, is a face to be hidden."""
    dim = textured()
    dim.planes[0][...] = 20 + dim.planes[0] // 16

    assert detail(dim.planes[0][80:150, 100:160]) > 1.0
    assert unpainted(Kept.of(dim, BOTH), dim) == [3, 4]


def test_an_encoder_is_not_a_painter():
    """After encoding small differences do not count as paint, with a tolerance."""
    frame = textured()
    kept = Kept.of(frame, BOTH)
    frame.planes[0][...] += np.random.default_rng(2).integers(0, 4, frame.planes[0].shape).astype(np.uint8)

    assert unpainted(kept, frame) == []
    assert unpainted(kept, frame, tolerance=8) == [3, 4]


def test_faces_at_the_edge_and_of_a_few_px():
    """Cores are cut to the picture, the smallest has 3 px a side, and one outside is left out."""
    frame = textured()
    kept = Kept.of(frame, regions([(0, 0, (-40, -40, 20, 20), 0), (0, 1, (50, 50, 52, 52), 0), (0, 2, (400, 50, 440, 90), 0)]))

    assert (kept.tracks, kept.boxes) == ((0, 1), ((0, 0, 5, 5), (50, 50, 53, 53)))
    assert unpainted(kept, frame) == [0, 1]


def test_two_frames_are_not_compared():
    """A kept face belongs to its own frame."""
    with pytest.raises(ValueError, match="two different frames"):
        unpainted(Kept.of(textured(), BOTH), picture(1))
