"""What reviewers draw is an input of the job: it is painted, counted, part of the output's id, and touches nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.fake_archive import frames, run_local, spec_of

from faceanon.analyze.cover import add_corrections
from faceanon.archive.store import open_store
from faceanon.core.errors import StoreError
from faceanon.core.ids import output_id
from faceanon.core.records import Correction, Method, RegionTable
from faceanon.core.settings import Settings
from faceanon.flow.corrected import waiting
from faceanon.flow.proof import prove
from faceanon.flow.sweep import sweep
from faceanon.ledger import corrections
from faceanon.ledger.query import query
from faceanon.ledger.story import story
from faceanon.media.clips import write_clip
from faceanon.media.decode import read_pictures
from faceanon.media.probe import probe

BLUR = Settings().with_values(render__engine="blur", plan__segment_seconds=0.8, detect__width_px=192)
BOX = (100, 40, 140, 88)
FIRST, STOP = 22, 28


def rows(out: Path, sql: str) -> list[dict]:
    return query(str(out), sql).to_pylist()


def luma(path: Path) -> list[np.ndarray]:
    return [picture.planes[0].astype(int) for picture in read_pictures(path, probe(path, BLUR.plan)[0], None)]


def drawn(out: Path, first: int = FIRST, stop: int = STOP, box: tuple[int, int, int, int] = BOX) -> Correction:
    """A reviewer has seen something in a.mp4."""
    correction = Correction(rows(out, "SELECT video_id FROM videos WHERE name = 'a.mp4'")[0]["video_id"], first, stop, box)
    corrections.add(open_store(str(out)), correction, name="a.mp4", reviewer="ana", note="a face in the mirror")
    return correction


@pytest.fixture(scope="module")
def job(tmp_path_factory) -> tuple[Path, list[str], Path]:
    """OUT, sources, key: a.mp4 shows somebody in the first of its two segments, b.mp4 nobody; both are published."""
    home = tmp_path_factory.mktemp("corrected")
    (home / "in").mkdir()
    write_clip(home / "in/a.mp4", frames(lambda n: [(60, 70, 44, 0)] if n < 8 else [], 40), gop=20)
    write_clip(home / "in/b.mp4", frames(lambda n: [], 10, seed=3), gop=10)
    run_local([str(home / "in")], home / "out", home / "key.json", BLUR)
    return home / "out", [str(home / "in")], home / "key.json"


def test_a_drawn_region_is_painted_and_nothing_else_changes(job):
    """The next run renders that video alone; the region is hidden in its frames, the other segment comes out with the same bytes, a further run does nothing."""
    out, sources, key = job
    before = rows(out, "SELECT segment_no, state, out_sha256 FROM segments WHERE name = 'a.mp4' ORDER BY segment_no")
    shown = luma(out / "videos/a.mp4")
    tracks = rows(out, "SELECT track_id FROM tracks WHERE name = 'a.mp4'")
    assert len(before) == 2
    assert spec_of(out, BLUR, key, sources)[1].new == ()

    correction = drawn(out)
    (asked,) = waiting(open_store(str(out)))
    assert [item.name for item in asked.items] == ["a.mp4"]
    summary = run_local(sources, out, key, BLUR)

    assert (summary["published"], summary["unchanged"], summary["exit_code"]) == (1, 1, 0)
    now = rows(out, "SELECT segment_no, s.state, out_sha256 FROM segments s JOIN outputs o USING (record_id) WHERE o.name = 'a.mp4' AND o.state = 'current' ORDER BY 1")
    assert now[0] == before[0]
    assert (before[1]["state"], now[1]["state"]) == ("copied", "encoded")
    x0, y0, x1, y1 = BOX
    for number, (was, new) in enumerate(zip(shown, luma(out / "videos/a.mp4"), strict=True)):
        inside, outside = np.abs(new - was)[y0:y1, x0:x1].mean(), np.abs(new - was)[:, :80].mean()
        assert (inside > 12) == (FIRST <= number < STOP), number
        assert outside < 3, number
    added = rows(out, "SELECT t.* FROM tracks t JOIN outputs o USING (record_id) WHERE o.state = 'current' AND t.n_repaired > 0")
    assert [(t["first_frame"], t["stop_frame"], t["n_repaired"], t["method"], t["label"]) for t in added] == [(FIRST, STOP, STOP - FIRST, "obscured", "")]
    assert added[0]["track_id"] not in {t["track_id"] for t in tracks}
    states = rows(out, "SELECT state, output_id, superseded_by FROM outputs WHERE name = 'a.mp4' ORDER BY seq")
    assert [s["state"] for s in states] == ["superseded", "current"]
    assert states[0]["superseded_by"] == states[1]["output_id"]
    record = json.loads(sorted((out / "ledger/records").rglob("000002.json"))[0].read_text())
    assert record["corrections"] == [correction.correction_id]

    assert waiting(open_store(str(out))) == ()
    again = run_local(sources, out, key, BLUR)
    assert (again["published"], again["unchanged"]) == (0, 2)
    assert prove(open_store(str(out))).problems == ()
    assert story(str(out), open_store(str(out)), "a.mp4")["decisions"][-1]["corrections"] == [correction.correction_id]


def test_people_of_a_collection_stay_who_they_are(tmp_path):
    """Rendered again alone, a video's people keep their labels, known from the collection's gallery, and its other segment its bytes."""
    settings = BLUR.with_values(identity__scope="collection")
    (tmp_path / "in/cam").mkdir(parents=True)
    write_clip(tmp_path / "in/cam/a.mp4", frames(lambda n: [(60, 70, 44, 0)] if n < 8 else [], 40), gop=20)
    write_clip(tmp_path / "in/cam/b.mp4", frames(lambda n: [(90, 70, 44, 0), (150, 40, 30, 120)], 12, seed=3), gop=12)
    out, sources, key = tmp_path / "out", [str(tmp_path / "in")], tmp_path / "key.json"
    run_local(sources, out, key, settings)
    shown = "FROM {} t JOIN outputs o USING (record_id) WHERE o.name = 'cam/a.mp4' AND o.state = 'current'"
    labels, first = f"SELECT DISTINCT label {shown.format('tracks')} AND label <> ''", f"SELECT out_sha256 {shown.format('segments')} AND segment_no = 0"
    before = rows(out, labels), rows(out, first)
    video = rows(out, "SELECT video_id FROM videos WHERE name = 'cam/a.mp4'")[0]["video_id"]
    corrections.add(open_store(str(out)), Correction(video, FIRST, STOP, BOX), name="cam/a.mp4", reviewer="ana")

    summary = run_local(sources, out, key, settings)

    assert (summary["published"], summary["unchanged"], len(before[0])) == (1, 1, 1)
    assert (rows(out, labels), rows(out, first)) == before


def test_the_same_region_twice_is_one_correction(job):
    """Who draws what is drawn already asks for nothing, and the first word stands."""
    out, _, _ = job
    correction = drawn(out, 30, 33)
    store = open_store(str(out))

    assert not corrections.add(store, correction, name="a.mp4", reviewer="ben")

    assert correction in corrections.corrections_of(store, correction.video_id)
    assert "ben" not in (out / "ledger/corrections" / correction.video_id / f"{correction.correction_id}.json").read_text()


def test_a_sweep_and_a_plan_leave_corrections_alone(job):
    """What nobody needs goes; what a reviewer said stays, and is work to do."""
    out, sources, key = job
    drawn(out, 35, 36)
    before = corrections.known_ids(open_store(str(out)))

    swept = [s.uri for s in sweep(open_store(str(out)), open_store(str(out / ".work")), older_than_s=0.0)]

    assert not [uri for uri in swept if "corrections" in uri]
    assert corrections.known_ids(open_store(str(out))) == before
    assert [w.item.name for w in spec_of(out, BLUR, key, sources)[1].new] == ["a.mp4"]


def test_an_altered_correction_is_not_taken(job):
    """A region that somebody moved keeps its video from being published; the output that stands is not touched, and others go on."""
    out, sources, key = job
    correction = drawn(out, 37, 39)
    path = out / "ledger/corrections" / correction.video_id / f"{correction.correction_id}.json"
    content = path.read_text()
    path.write_text(content.replace("100", "101"))
    (path.parent / f"{'0' * 32}.json").write_text("no JSON")
    assert path.read_text() != content
    view = (out / "videos/a.mp4").read_bytes()

    summary = run_local(sources, out, key, BLUR)

    assert [q["name"] for q in summary["quarantined"]] == ["a.mp4"]
    assert "is not a correction" in summary["quarantined"][0]["reason"]
    assert (out / "videos/a.mp4").read_bytes() == view
    with pytest.raises(StoreError, match="is not a correction"):
        corrections.corrections_of(open_store(str(out)), correction.video_id)
    assert [item.name for job in waiting(open_store(str(out))) for item in job.items] == ["a.mp4"]
    (problem,) = prove(open_store(str(out))).problems
    assert (problem.kind, "is not a correction" in problem.reason) == ("correction", True)
    (path.parent / f"{'0' * 32}.json").unlink()
    (problem,) = prove(open_store(str(out))).problems
    assert (problem.kind, "was changed" in problem.reason) == ("correction", True)


def test_a_correction_that_was_dropped_is_named(job):
    """An output that was made with it keeps saying so, and is not made again without it."""
    out, sources, key = job
    shutil.rmtree(out / "ledger/corrections")

    problems = prove(open_store(str(out))).problems

    assert {problem.kind for problem in problems} == {"correction"}
    assert all(problem.reason == "is missing: the output of a.mp4 was made with it" for problem in problems)
    assert all(wanted.item.name != "a.mp4" for wanted in spec_of(out, BLUR, key, sources)[1].new)


def test_without_corrections_ids_are_as_they_were():
    """The id of an output that nobody corrected does not know of corrections; their order is nothing."""
    plain = output_id("v", "s", "k", "scope")

    assert plain == output_id("v", "s", "k", "scope", [])
    assert plain != output_id("v", "s", "k", "scope", ["a"])
    assert output_id("v", "s", "k", "scope", ["a", "b"]) == output_id("v", "s", "k", "scope", ["b", "a", "a"])


def test_what_lies_beyond_the_video_is_cut_off():
    """Frames after the end and boxes outside the picture cover nothing; the rest is padded, and a repair."""
    wanted = [Correction("v", 8, 100, (150, 100, 500, 400)), Correction("v", 0, 2, (300, 300, 310, 310))]

    table = add_corrections(RegionTable.empty(), wanted, 4, 10, Settings(), width=192, height=144)

    assert table.frame.tolist() == [8, 9]
    assert set(table.track.tolist()) == {4}
    assert set(table.method.tolist()) == {Method.REPAIR}
    assert table.cover[0, 2:].tolist() == [192, 144]
    assert table.cover[0, 0] < 150


@pytest.mark.parametrize("change", [{"first_frame": -1}, {"stop_frame": 5}, {"box": (9, 0, 9, 9)}, {"box": (-1, 0, 9, 9)}])
def test_a_correction_of_nothing_is_refused(change):
    """Empty ranges and boxes are no corrections."""
    values = {"video_id": "v", "first_frame": 5, "stop_frame": 6, "box": (0, 0, 9, 9)} | change

    with pytest.raises(ValueError, match="of nothing"):
        Correction(**values)
