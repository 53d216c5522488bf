"""Scores of new faces, from made-up embeddings."""

import math

import numpy as np
import pytest

from faceanon.evaluation.report import swap_table
from faceanon.evaluation.swap import Seen, score, total, tracklets_of

NOISE = np.random.default_rng(5)


def face(sample, x=0.0, shot=0, frontal=True, original=(0.0, 0.0), new=(1.0, 0.0)):
    box = np.array([x, 0, x + 60, 60], np.float32)
    return Seen(sample, 10 * sample, shot, box, frontal, np.array(original, np.float32), None if new is None else np.array(new, np.float32))


def test_two_faces_side_by_side_are_two_tracklets():
    """Faces that move a little go on as themselves, whatever their order in a frame."""
    seen = [f for n in range(6) for f in (face(n, 5.0 * n), face(n, 200 - 5.0 * n))[:: 1 if n % 2 else -1]]

    joined = tracklets_of(seen)

    assert [[f.sample for f in t] for t in joined] == [list(range(6))] * 2
    assert {len({f.box[0] < 100 for f in t}) for t in joined} == {1}


def test_a_tracklet_ends_at_a_cut_and_after_a_long_gap():
    """Nobody is followed across a cut; a face that is missed twice goes on, thrice it does not."""
    assert [len(t) for t in tracklets_of([face(0), face(1), face(2, shot=1)])] == [2, 1]
    assert [len(t) for t in tracklets_of([face(0), face(3)])] == [2]
    assert [len(t) for t in tracklets_of([face(0), face(4)])] == [1, 1]


def test_spread_and_distance_are_those_of_the_frames_that_show_a_new_face():
    """A frame that is obscured counts as not swapped and in no spread."""
    around = [(0.1, 0.0), (-0.1, 0.0), (0.0, 0.1), (0.0, -0.1)] * 2
    tracklet = [face(n, original=at, new=(1 + 2 * at[0], 2 * at[1])) for n, at in enumerate(around)] + [face(8, original=(9, 9), new=None)]

    found = score("a.mp4", tracklet)

    assert (found.frames, found.swapped, found.frontal_swapped) == (9, 8, 8)
    assert found.original_spread == pytest.approx(0.1)
    assert found.new_spread == pytest.approx(0.2)
    assert found.low == pytest.approx(0.1) == found.high
    assert found.distance == pytest.approx(1.0)
    assert found.least_distance == pytest.approx(0.9)


def test_profiles_count_in_spreads_only_where_asked():
    """With frontal_only a turned head's embeddings are left out, its frames are still counted."""
    tracklet = [face(n) for n in range(5)] + [face(5, frontal=False, new=(5.0, 0.0))]

    both, frontal = score("a", tracklet), score("a", tracklet, frontal_only=True)

    assert (frontal.new_spread, frontal.swapped, frontal.frontal) == (0.0, 6, 5)
    assert both.new_spread > 0.5


def test_few_frames_have_no_spread():
    """Four new faces do not make a spread; they still make a distance."""
    found = score("a", [face(n) for n in range(4)])

    assert math.isnan(found.new_spread)
    assert found.distance == pytest.approx(1.0)


def test_totals_count_tracklets_and_say_how_sure_they_are():
    """Shares are over frames, spreads over tracklets, and the interval holds the mean difference."""
    wide = [score("a", [face(n, original=NOISE.normal(0, 0.1, 2), new=NOISE.normal(1, 0.3, 2)) for n in range(20)]) for _ in range(8)]
    near = score("b", [face(n, new=(0.5, 0.0) if n % 2 else None) for n in range(12)])

    everything = total("all", [*wide, near], 0.6)

    assert (everything.tracklets, everything.measured, everything.larger) == (9, 9, 8)
    assert (everything.far, everything.with_distance) == (8, 9)
    assert everything.swapped_share == pytest.approx(166 / 172)
    assert everything.low < everything.new_spread - everything.original_spread < everything.high
    assert "all" in swap_table([*wide, near], [everything])


def test_nothing_swapped_is_no_number():
    """A clip without a new face has shares of zero and no spread, and a table all the same."""
    hidden = score("a", [face(n, new=None) for n in range(6)])
    everything = total("all", [hidden], 0.6)

    assert (everything.swapped_share, everything.frontal_swapped_share, everything.with_distance) == (0, 0, 0)
    assert math.isnan(everything.new_spread)
    assert "nan" in swap_table([hidden], [everything])
