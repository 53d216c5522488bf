from __future__ import annotations

import json
import pickle
from fractions import Fraction

import numpy as np
import pytest

from faceanon.core.errors import SourceTruncated
from faceanon.core.geometry import covered, iou, non_maximum, similarity, transform
from faceanon.core.ids import cluster_id, digest
from faceanon.core.jsonable import from_json, to_json
from faceanon.core.records import ColourTags, RegionTable, Segment, StreamFacts, VideoFacts
from faceanon.core.timeline import Span


def test_records_survive_json():
    """A record with fractions, tuples and optional values comes back equal."""
    facts = VideoFacts(
        "mp4", "h264", "High", 64, 48, "yuv420p", 8, 90, Fraction(4, 3), ColourTags(1, 1, 1, 1), "progressive", Fraction(1, 90000), None, None, 0,
        (StreamFacts(0, "video", "h264", Fraction(1, 90000)),), 10, 10, 0, 900, 1234,
    )  # fmt: skip
    segment = Segment("v", 0, Span(0, 900), 0, 10, True)

    assert from_json(VideoFacts, json.loads(json.dumps(to_json(facts)))) == facts
    assert from_json(Segment, json.loads(json.dumps(to_json(segment)))) == segment
    assert facts.upright_size == (48, 64)


def test_errors_keep_their_words_across_processes():
    """An error that was pickled still names its source and its reason."""
    error = pickle.loads(pickle.dumps(SourceTruncated("ends early", source="a.mp4")))

    assert str(error) == "a.mp4: ends early"
    assert error.fate == "quarantine"


def test_digest_parts_do_not_run_into_each_other():
    """Two ways of cutting the same letters give two digests."""
    assert digest("x", "ab", "c") != digest("x", "a", "bc")
    assert cluster_id("v", 3, (1.2, 2.2, 3.3, 4.4)) == cluster_id("v", 3, (1, 2, 3, 4))


def test_region_table_finds_its_frames():
    """`between` gives the rows of a half-open range of frames."""
    table = RegionTable.empty()
    n = 6
    whole = np.arange(n, dtype=np.int32)
    table = RegionTable(
        whole // 2, whole, whole, *(np.zeros((n, 4), np.float32),) * 2, np.zeros((n, 5, 2), np.float32), *(np.zeros(n, np.uint8),) * 2
    )

    assert table.between(1, 3).frame.tolist() == [1, 1, 2, 2]
    assert table.at(0).track.tolist() == [0, 1]
    assert len(RegionTable.empty().between(0, 5)) == 0


def test_boxes_overlap_as_drawn():
    """IoU, coverage and suppression agree with hand-made numbers."""
    a = np.array([[0, 0, 10, 10], [0, 0, 10, 5], [20, 20, 30, 30]], np.float32)

    assert iou(a, a)[0].tolist() == pytest.approx([1, 0.5, 0])
    assert covered(a[1:2], a[:1]).tolist() == pytest.approx([1])
    assert non_maximum(a, np.array([0.5, 0.9, 0.7], np.float32), 0.4).tolist() == [1, 2]


def test_similarity_is_found():
    """The transform that made the points is found again."""
    points = np.array([[0, 0], [4, 0], [1, 3], [2, 2]], np.float32)
    matrix = np.array([[0, -2, 5], [2, 0, -1]], np.float32)

    assert similarity(points, transform(points, matrix)) == pytest.approx(matrix, abs=1e-5)
