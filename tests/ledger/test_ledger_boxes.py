"""Where faces were: one small object a video, exact to the pixel, named by its digest, and known to no record."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import ledger_cases as cases
import numpy as np
import pytest

from faceanon.archive.store import open_store
from faceanon.core.errors import StoreError
from faceanon.core.records import RegionTable, VideoRegions
from faceanon.ledger import boxes

DAY = datetime(2026, 3, 1, 23, 59, tzinfo=UTC)


@pytest.fixture
def store(tmp_path):
    return open_store(str(tmp_path / "out"))


def write(store, video: VideoRegions) -> dict | None:
    return boxes.write(store, "output", video, lambda: DAY)


def test_boxes_come_back_as_they_were(store):
    """A row a track: frames that follow each other in lists, in whole px that hold the face, with score and origin."""
    where = write(store, cases.regions("v"))
    rows = boxes.read(store, where).to_pylist()

    assert [(r["track_id"], r["chunk_no"], r["frame0"], len(r["x"])) for r in rows] == [(0, 0, 2, 20), (1, 0, 40, 4), (7, 0, 50, 3)]
    assert [rows[0][name][:3] for name in ("x", "y", "w", "h", "score_percent", "source")] == [[100] * 3, [80] * 3, [60] * 3, [70] * 3, [90, 0, 0], [0, 1, 1]]
    assert rows[2]["score_percent"] == [0, 0, 0]  # what the verifier found was never scored
    assert (where["rows"], where["object"].split("/")[2]) == (3, "2026-03-01")


def test_a_gap_and_a_long_run_begin_new_rows(store):
    """No row holds more frames than CHUNK_FRAMES, and none spans a frame that it has no box for."""
    long = cases.track(0, 0, 600)
    table = cases.region_rows(long)
    kept = table.take((table.frame < 100) | (table.frame >= 110))
    rows = boxes.chunks(VideoRegions("v", (), (long,), kept))

    assert [(r["frame0"], len(r["x"])) for r in rows] == [(0, 100), (110, 256), (366, 234)]


def test_edges_are_rounded_outwards(store):
    """Never a px less than the face."""
    track = cases.track(0, 0, 1)
    table = replace(cases.region_rows(track), face=np.array([[10.6, 20.2, 30.1, 40.9]], np.float32))
    row = boxes.chunks(VideoRegions("v", (), (track,), table))[0]

    assert [row[name] for name in ("x", "y", "w", "h")] == [[10], [20], [21], [21]]


def test_a_video_without_faces_has_none(store):
    """And no object."""
    empty = VideoRegions("v", (), (), RegionTable.concatenate([]))

    assert write(store, empty) is None
    assert (store.list(""), boxes.read(store, None)) == ([], None)


def test_the_same_boxes_are_one_object(store):
    """A second attempt meets what the first one wrote."""
    assert write(store, cases.regions("v")) == write(store, cases.regions("v"))
    assert len(store.list(boxes.BOXES)) == 1


def test_an_object_that_was_changed_is_not_believed(store):
    """Its digest stands in the record. One that has expired is simply gone."""
    where = write(store, cases.regions("v"))
    store.replace(where["object"], store.read(where["object"]) + b"x")
    with pytest.raises(StoreError, match="not what its record says"):
        boxes.read(store, where)
    store.delete(where["object"])

    assert boxes.read(store, where) is None


def test_a_record_holds_no_box(store):
    """It names the object and its digest."""
    where = write(store, cases.regions("v"))

    assert set(where) == {"object", "sha256", "rows"}
    assert "[100" not in json.dumps(cases.published())
