"""Scores of cuts, covers and identities, from numbers."""

import numpy as np
import pytest

from faceanon.core.errors import UsageError
from faceanon.core.records import Method, Origin, RegionTable
from faceanon.evaluation.metrics import hidden_share, identity_switches, uncovered_faces
from faceanon.evaluation.report import cut_table
from faceanon.evaluation.shots import evaluate_shots, read_cuts, score_cuts


def regions(rows):
    """rows of (frame, identity, x0, y0, x1, y1)."""
    n = len(rows)
    boxes = np.array([r[2:] for r in rows], np.float32)
    frame, identity = (np.array([r[k] for r in rows], np.int32) for k in (0, 1))
    method, origin = np.full(n, Method.ENGINE, np.uint8), np.full(n, Origin.DETECTED, np.uint8)
    return RegionTable(frame, np.arange(n, dtype=np.int32), identity, boxes, boxes, np.full((n, 5, 2), np.nan, np.float32), method, origin)


def test_a_cut_table_is_read_and_scored(tmp_path):
    """Cuts are matched once; clips without cuts count what was invented there."""
    (tmp_path / "cuts.tsv").write_text("clip\tkind\tstart\tend\na.mp4\tcut\t9\t10\na.mp4\tfade_in\t20\t30\na.mp4\tcut\t49\t50\nb.mp4\tnone\t\t\n")
    scores = evaluate_shots({"a.mp4": [10, 51], "b.mp4": [7]}, read_cuts(tmp_path / "cuts.tsv"))

    assert [(s.clip, s.found, s.missed, s.invented) for s in scores] == [("a.mp4", 1, (50,), (51,)), ("b.mp4", 0, (), (7,)), ("all", 1, (50,), (51, 7))]
    assert scores[-1].f1 == pytest.approx(0.4)
    assert "0.400" in cut_table(scores)


def test_tolerance_matches_neighbours_once():
    """Within the tolerance the nearest found cut is used, and only once."""
    assert score_cuts("a", [11], [10, 12], tolerance_frames=1).found == 1


def test_a_table_that_is_none_is_refused(tmp_path):
    """A file without the columns is the user's error."""
    (tmp_path / "cuts.tsv").write_text("a\tb\n1\t2\n")

    with pytest.raises(UsageError):
        read_cuts(tmp_path / "cuts.tsv")


def test_boxes_that_overlap_hide_their_union():
    """Hidden area is counted once."""
    face = np.float32([0, 0, 10, 10])

    assert hidden_share(face, np.float32([[0, 0, 5, 10], [4, 0, 7.5, 10]])) == pytest.approx(0.75)
    assert hidden_share(face, np.float32([[20, 20, 30, 30]])) == 0


def test_faces_outside_regions_are_named():
    """A face is a leak in the frame where too little of it is hidden."""
    table = regions([(0, 1, 0, 0, 10, 10), (1, 1, 5, 0, 15, 10)])
    leaks = uncovered_faces(np.array([0, 1, 2], np.int32), np.tile(np.float32([0, 0, 10, 10]), (3, 1)), table)

    assert [(leak.frame, leak.share) for leak in leaks] == [(1, 0.5), (2, 0.0)]


def test_a_person_whose_identity_changes_is_a_switch():
    """One change counts once; other people's identities do not matter."""
    table = regions([(0, 1, 0, 0, 10, 10), (1, 1, 0, 0, 10, 10), (2, 2, 0, 0, 10, 10), (3, 2, 0, 0, 10, 10)])
    boxes = np.tile(np.float32([0, 0, 10, 10]), (4, 1))

    assert identity_switches(np.arange(4, dtype=np.int32), boxes, ["ann"] * 4, table) == 1
    assert identity_switches(np.arange(4, dtype=np.int32), boxes, ["ann", "ann", "bob", "bob"], table) == 0
