"""Records: what a decision says, and what two runs of the same work must agree on."""

from __future__ import annotations

import json
from dataclasses import replace

import ledger_cases as cases
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceanon.core.errors import StoreError
from faceanon.core.ids import output_id
from faceanon.ledger.privacy import assert_private
from faceanon.ledger.records import comparable, object_name


def test_a_record_is_plain_json():
    """A record goes through JSON and comes back equal."""
    record = cases.published()

    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_a_record_holds_the_rows_of_every_table():
    """Segments are in order, shots cover the video, tracks carry label and method, and what the verifier found is a row too."""
    record = cases.published()

    assert [(s["segment_no"], s["state"]) for s in record["segments"]] == [(0, "encoded"), (1, "copied")]
    assert [(s["first_frame"], s["stop_frame"], s["cut_score"]) for s in record["shots"]] == [(0, 30, None), (30, 60, 0.75)]
    tracks = [(t["track_id"], t["label"], t["method"], t["n_repaired"]) for t in record["tracks"]]
    assert tracks == [(0, "p-4f2a", "swap", 0), (1, "", "obscured", 0), (7, "", "obscured", 3)]
    assert (record["tracks"][0]["frames_face"], record["tracks"][0]["frames_obscured"], record["tracks"][0]["n_det"]) == (18, 2, 5)
    assert record["output"]["reencode_reason"] == "faces"
    assert (record["people"], record["faces"]) == (1, 1)


def test_the_output_id_is_the_content_id():
    """The record's output id is core's, over video, settings, keystore and scope."""
    record = cases.published()

    assert record["output_id"] == output_id(record["video_id"], cases.RUN.settings_digest, "ks-1", "video")
    assert record["output"]["object"] == object_name(record["output_id"], "a.mp4")


def test_identical_work_compares_equal_whoever_did_it():
    """Run id, clock, host, actor and Ray's version do not count; settings do."""
    other = replace(cases.RUN, run_id="02RUN", started_at="2027-01-01T00:00:00+00:00", host_class="arm", actor="other", ray_version="")

    assert comparable(cases.published(run=other)) == comparable(cases.published())
    assert comparable(cases.published(content="2")) != comparable(cases.published())


def test_parts_of_two_videos_are_refused():
    """A plan and the regions of another video make no record."""
    plan, other = cases.plan("a.mp4"), cases.plan("b.mp4")

    with pytest.raises(ValueError, match="different videos"):
        cases.publication(plan, cases.verified(plan), cases.regions(other.video_id), cases.analysis(plan.video_id), (), cases.RUN, cases.Settings())


@pytest.mark.parametrize(
    "row",
    [
        {"note": [0.1] * 128},
        {"deep": {"deeper": [[0.5] * 17]}},
        {"note": b"\x89PNG"},
        {"note": "iVBORw0KGgo" + "A9f+" * 60},
        {"note": "0123456789abcdef" * 20},
        {"embedding": [0.1]},
        {"note": 1 << 255},
        {"secret": "x"},
        {"note": "-----BEGIN PRIVATE KEY-----"},
        {"note": "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA="},
        {"note": cases.np.zeros(3)},
        {"reason": "A9f+" * 70},
    ],
)
def test_what_looks_like_a_face_or_a_key_is_refused(row):
    """Number lists, bytes, arrays, encoded blobs and key material never reach the ledger."""
    with pytest.raises(StoreError, match="refused to write column"):
        assert_private(row)


def test_a_real_record_is_private():
    """Nothing in a record trips the guard, long paths and digests included."""
    record = cases.published(name="/".join(["a_rather_long_folder_name_of_forty_letters"] * 20) + "/a.mp4")

    assert_private(record)


PLAIN = st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | st.floats() | st.text(max_size=40)
NESTED = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.just("note"), inner), max_leaves=20)


@settings(max_examples=40, deadline=None)
@given(NESTED)
def test_ordinary_values_pass_the_guard(value):
    """Short lists, words and numbers are no one's face."""
    assert_private({"note": value})
