"""Leaks: a face outside what was painted is found, a painted one is left alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from verify_cases import BrightSquares, picture, regions

from faceanon.core.settings import VerifySettings
from faceanon.verify.leak import covered_share, find_leaks

FACE = (100, 80, 160, 150)


def test_a_face_outside_every_cover_is_a_leak():
    """The frame and box of an uncovered face come back, in px of the full picture."""
    leaks, sampled = find_leaks([picture(3), picture(7, [FACE])], regions([(7, 0, (10, 10, 50, 50), 5)]), BrightSquares(), VerifySettings())

    assert sampled == 2
    assert [(leak.frame, leak.box) for leak in leaks] == [(7, (100.0, 80.0, 160.0, 150.0))]


def test_a_painted_face_is_no_leak():
    """A new face inside its cover is what was asked for."""
    assert find_leaks([picture(7, [FACE])], regions([(7, 0, FACE, 10)]), BrightSquares(), VerifySettings()) == ([], 1)


def test_the_cover_of_another_frame_does_not_help():
    """Covers count in their own frame only."""
    assert len(find_leaks([picture(8, [FACE])], regions([(7, 0, FACE, 10)]), BrightSquares(), VerifySettings())[0]) == 1


def test_small_pictures_are_scaled_back():
    """The auditor sees a shrunk picture; boxes come back in the large one's px."""
    auditor = BrightSquares()
    leaks, _ = find_leaks([picture(0, [(400, 200, 600, 440)], 1280, 720)], regions([]), auditor, VerifySettings(width_px=320))

    assert auditor.sizes == [(180, 320)]
    assert np.allclose(leaks[0].box, (400, 200, 600, 440), atol=4)


def test_two_covers_hide_one_face_together():
    """What counts is the union of covers, not the best single one."""
    halves = [(0, 0, (100, 80, 131, 150), 0), (0, 1, (131, 80, 160, 150), 0)]

    assert find_leaks([picture(0, [FACE])], regions(halves), BrightSquares(), VerifySettings())[0] == []


@pytest.mark.parametrize(("cover", "leaks"), [((100, 80, 140, 150), 0), ((100, 80, 120, 150), 1), ((113, 95, 147, 135), 0), ((105, 120, 160, 150), 1)])
def test_the_middle_or_most_of_a_face_must_be_inside(cover, leaks):
    """Two thirds pass, a third does not; the whole middle passes, the chin alone does not."""
    assert len(find_leaks([picture(0, [FACE])], regions([(0, 0, cover, 0)]), BrightSquares(), VerifySettings())[0]) == leaks


def test_weak_hits_are_not_faces():
    """Scores below the threshold do not count."""
    assert find_leaks([picture(0, [FACE])], regions([]), BrightSquares(0.49), VerifySettings())[0] == []


def test_the_source_tells_a_displaced_new_face_from_an_old_one():
    """A new face that peeps out of its cover is no leak if the source's face was inside; a second face beside it is."""
    cover = regions([(0, 0, (100, 80, 160, 150), 0)])
    peeping = picture(0, [(135, 80, 205, 150)])
    clean, second = picture(0, [FACE]), picture(0, [(100, 80, 150, 150), (165, 80, 205, 150)])

    assert len(find_leaks([peeping], cover, BrightSquares(), VerifySettings())[0]) == 1
    assert find_leaks([peeping], cover, BrightSquares(), VerifySettings(), [clean])[0] == []
    assert len(find_leaks([peeping], cover, BrightSquares(), VerifySettings(), [second])[0]) == 1


def test_a_source_that_ends_early_is_said():
    """Sampled frames must exist in the source, too."""
    with pytest.raises(ValueError, match="end before frame 0"):
        find_leaks([picture(0, [FACE])], regions([]), BrightSquares(), VerifySettings(), [])


BOXES = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(1, 20), st.integers(1, 20)), max_size=6)


@settings(max_examples=80, deadline=None)
@given(BOXES)
def test_covered_share_counts_every_px_once(sides):
    """The share equals a count of px, however covers overlap."""
    covers = np.array([[x, y, x + w, y + h] for x, y, w, h in sides], np.float32).reshape(-1, 4)
    grid = np.zeros((40, 40), bool)
    for x0, y0, x1, y1 in covers.astype(int):
        grid[y0:y1, x0:x1] = True

    assert covered_share(np.array([5, 6, 25, 28], np.float32), covers) == pytest.approx(grid[6:28, 5:25].mean())
