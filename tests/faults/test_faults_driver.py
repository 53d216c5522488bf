"""A driver that dies, wherever it is, and the same command again: real processes, real SIGKILLs, the bytes of a quiet run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.fault_runs import POISONED, Job, assert_whole, kill, rows_of, videos_of, wait_until
from support.faults import met

from faceanon.archive.store import open_store
from faceanon.core.records import Persona
from faceanon.flow.job import open_keystore
from faceanon.identity.sealed import load_regions
from faceanon.ledger.query import query

PHASES = ("probe", "analyze", "link", "redact", "publish")
SLOW = {"on": "detect", "how": "slow"}
OTHER = "cam/walk.mp4"
SWAP = ("--engine", "swap", "--scope", "archive", "--segment-seconds", "0.8")
MOMENTS = {
    "before a segment is written": {"on": "upload", "match": r"/staged/", "when": "before"},
    "between write and commit of a segment": {"on": "upload", "match": r"/staged/", "when": "after"},
    "after the commit of a segment": {"on": "create", "match": r"/staged/.*json", "when": "after"},
    "before the upload of a video": {"on": "upload", "match": r"/objects/", "when": "before"},
    "between upload and commit of a video": {"on": "create", "match": r"/ledger/records/", "when": "before"},
    "between commit and view of a video": {"on": "link", "match": r"/videos/", "when": "before"},
    "after the view of a video": {"on": "link", "match": r"/videos/", "when": "after"},
}


def test_a_driver_that_is_killed_in_every_phase(job, quiet):
    """Five times in a row, each time in a later phase; the sixth run ends the work, and nothing tells the outputs from a quiet run's."""
    for phase in PHASES:
        process = job.start()
        job.killed_when(lambda phase=phase: job.attempt(phase), process)
    half = Path(job.out) / "objects/ab/.aside-1-0123456789abcdef"  # as a copy leaves it that is killed half way
    half.parent.mkdir(parents=True, exist_ok=True)
    half.write_bytes(b"half")

    summary = job.run()

    assert_whole(job, quiet, summary)


@pytest.mark.long
@pytest.mark.parametrize("phase", PHASES)
def test_a_driver_that_is_killed_in_one_phase(job, quiet, phase):
    """The next run takes up what there is."""
    process = job.start(plan=[SLOW])
    job.killed_when(lambda: job.attempt(phase), process)

    summary = job.run()

    assert_whole(job, quiet, summary)


@pytest.mark.parametrize("moment", ["between write and commit of a segment", "between upload and commit of a video"])
def test_a_driver_that_dies_between_two_writes(job, quiet, moment):
    """Half of a step that has two halves is found and finished, never done twice."""
    died = job.run(plan=[{**MOMENTS[moment], "how": "kill", "times": 1}])

    summary = job.run()

    assert died["exit_code"] == -9
    assert len(met(job.faults)) == 1
    assert_whole(job, quiet, summary)


@pytest.mark.long
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_driver_that_dies_at_the_same_place_three_times(job, quiet, moment):
    """Every run gets at least as far as the one before, and the fourth ends the work."""
    plan = [{**MOMENTS[moment], "how": "kill", "times": 3}]
    codes = [job.run(plan=plan)["exit_code"] for _ in range(3)]

    summary = job.run(plan=plan)

    assert codes == [-9, -9, -9]
    assert_whole(job, quiet, summary)


@pytest.mark.parametrize("lead", ["together", pytest.param("one ahead", marks=pytest.mark.long)])
def test_two_drivers_at_once(job, quiet, tmp_path, lead):
    """Each video gets one record, both runs say that all is well, and the bytes are a quiet run's."""
    other = Job(tmp_path / "other", job.archive, job.key, out=job.out)
    first = job.start(plan=[SLOW])
    if lead == "one ahead":
        wait_until(lambda: job.attempt("redact"), first)
    second = other.start(plan=[SLOW])

    theirs = other.finish(second)
    ours = job.finish(first)

    assert theirs["exit_code"] == 0, theirs["stderr"]
    assert theirs["balances"]
    assert theirs["published"] + theirs["unchanged"] == theirs["requested"]
    assert_whole(job, quiet, ours)
    assert list(other.scratch.iterdir()) == []


def test_work_that_another_run_clears_away(job, quiet):
    """Half-made work vanishes under a run's hands, as when another run has just ended those videos: it is made again, and nothing is quarantined."""
    process = job.start(plan=[SLOW])
    wait_until(lambda: job.attempt("redact"), process)
    for folder in Path(job.out).glob(".work/videos/*"):
        shutil.rmtree(folder, ignore_errors=True)

    summary = job.finish(process)

    assert_whole(job, quiet, summary)


@pytest.mark.long
def test_one_of_two_drivers_is_killed(job, quiet, tmp_path):
    """The other one goes on and ends the work alone."""
    other = Job(tmp_path / "other", job.archive, job.key, out=job.out)
    first, second = job.start(plan=[SLOW]), other.start(plan=[SLOW])
    wait_until(lambda: job.attempt("analyze"), first)
    kill(second)

    summary = job.finish(first)
    again = job.run()

    assert summary["exit_code"] == 0, summary["stderr"]
    assert again["unchanged"] == again["requested"]
    assert_whole(job, quiet, again)


def test_another_segment_length_keeps_people(job, quiet):
    """A run dies while it renders and is taken up with longer segments: other bytes may come, the same people do, and nothing of the first try stays."""
    process = job.start()
    job.killed_when(lambda: job.attempt("redact"), process)

    summary = job.run("--segment-seconds", "30")

    assert_whole(job, None, summary)
    people = "SELECT name, track_id, label, shot_no, n_det FROM tracks ORDER BY ALL"
    assert query(job.out, people).to_pylist() == query(quiet.out, people).to_pylist()


@pytest.mark.long
def test_another_segment_length_keeps_faces(quiet, tmp_path):
    """Two runs die before they render, one with short segments and one with long: they had chosen the same synthetic people, and with another key there are others."""
    keys = {"short": quiet.key, "long": quiet.key, "stranger": tmp_path / "key.json"}
    short, long, stranger = (Job(tmp_path / name, quiet.archive, key, options=SWAP) for name, key in keys.items())
    short.killed_when(lambda: short.attempt("redact"), short.start())
    long.killed_when(lambda: long.attempt("redact"), long.start("--segment-seconds", "30"))
    stranger.killed_when(lambda: stranger.attempt("redact"), stranger.start())
    chosen = people_of(short)

    assert None not in chosen.values()
    assert len(chosen) == len(set(chosen.values())) > 2
    assert people_of(long) == chosen
    assert set(people_of(stranger).values()) != set(chosen.values())
    assert_whole(short, None, short.run("--segment-seconds", "30"))


def people_of(job: Job) -> dict[str, Persona]:
    """Label to synthetic person, of everybody whom a run that died has linked."""
    work, keystore = open_store(f"{job.out}/.work"), open_keystore(str(job.key), create=False)
    sealed = [load_regions(work, keystore, name) for name in work.list("videos") if name.endswith("regions.sealed")]
    return {person.label: person.persona for regions in sealed for person in regions.identities}


def test_a_source_that_changes_under_a_run(job, quiet, tmp_path):
    """Other bytes come under a name after they were planned: that video is quarantined and not mixed, and the next run publishes what is there then."""
    archive = Path(shutil.copytree(quiet.archive, tmp_path / "archive"))
    own, calm = (Job(tmp_path / name, str(archive), quiet.key) for name in ("own", "calm"))
    process = own.start(plan=[{"on": "upload", "match": r"/staged/", "when": "before", "how": "slow"}])
    wait_until(lambda: own.attempt("redact"), process)
    shutil.copy(archive / OTHER, archive / "new")
    (archive / "new").replace(archive / POISONED)  # the first one, whatever runs without Ray

    refused = own.finish(process)
    assert_whole(own, quiet, refused, quarantined=(POISONED,))
    summary = own.run()
    expected = calm.run()

    assert "differs from what was planned" in refused["quarantined"][0]["reason"]
    assert_whole(calm, None, expected)
    assert_whole(own, calm, summary)


@pytest.mark.long
def test_a_source_that_changes_between_two_runs(job, quiet, tmp_path):
    """A run dies while it renders and other bytes come meanwhile: the run that takes it up publishes them, and nothing of the old ones."""
    archive = Path(shutil.copytree(quiet.archive, tmp_path / "archive"))
    own, calm = (Job(tmp_path / name, str(archive), quiet.key) for name in ("own", "calm"))
    own.killed_when(lambda: own.attempt("redact"), own.start())
    shutil.copy(archive / OTHER, archive / POISONED)

    summary = own.run()
    expected = calm.run()

    assert_whole(calm, None, expected)
    assert_whole(own, calm, summary)


@pytest.mark.long
def test_people_of_a_collection_keep_their_faces(quiet, tmp_path):
    """Swap over a collection, killed after people were linked: labels, personas and bytes are those of a run that nothing happened to."""
    options = ("--engine", "swap", "--scope", "collection", "--segment-seconds", "0.8")
    calm, shaken = (Job(tmp_path / name, quiet.archive, quiet.key, options=options) for name in ("calm", "shaken"))
    expected = calm.run()
    shaken.killed_when(lambda: shaken.attempt("redact"), shaken.start())

    summary = shaken.run()

    assert_whole(calm, None, expected)
    assert_whole(shaken, calm, summary)


@pytest.mark.long
@pytest.mark.parametrize("wrong_by_s", [-400 * 86400.0, 400 * 86400.0])
def test_a_clock_that_jumps(job, quiet, wrong_by_s):
    """A run that dies is taken up more than a year before it began, or after; then other settings supersede, whatever the clock says."""
    process = job.start()
    job.killed_when(lambda: job.attempt("publish"), process)

    summary = job.run(clock_s=wrong_by_s)
    assert_whole(job, quiet, summary)
    before = videos_of(job.out)
    job.run("--engine", "pixelate")
    job.run("--engine", "fill", clock_s=wrong_by_s)
    job.run("--engine", "pixelate")

    states = query(job.out, "SELECT DISTINCT engine, state FROM outputs ORDER BY ALL").to_pylist()
    assert [row["engine"] for row in states if row["state"] == "current"] == ["pixelate"]
    assert videos_of(job.out) != before
    assert {row["state"] for row in rows_of(job.out, "videos")} == {"published"}
