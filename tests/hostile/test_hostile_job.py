"""Hostile files on their way through the whole job: refused by it, and read by confined processes alone."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest
from support.fake_archive import fake_models, frames, run_local, spec_of
from support.processes import eventually, parsers
from test_hostile_references import PLAYLISTS, mov_by_path, mov_by_url

from faceanon.core.settings import RunSettings, Settings
from faceanon.flow.job import Context
from faceanon.flow.outcome import guarded as answered
from faceanon.flow.stopwatch import Stopwatch, cpu_spent_s
from faceanon.media import decode, guarded
from faceanon.media.clips import write_clip

BLUR = Settings().with_values(render__engine="blur", plan__segment_seconds=0.8, detect__width_px=192)
PACKAGE = Path(guarded.__file__).parents[1]
READERS = ("decode", "describe", "glance", "joined", "probe", "source", "stitch")  # modules of media that touch foreign bytes where they are called
UNIT = {"unit_id": "u", "name": "n"}


@pytest.fixture(autouse=True)
def _usual_limits():
    yield
    guarded.configure(RunSettings())


@pytest.fixture
def clip(tmp_path) -> Path:
    folder = tmp_path / "private"
    folder.mkdir()
    return write_clip(folder / "secret.mp4", frames(lambda n: [(20 + 2 * n, 70, 44, 0)] if n < 40 else [], 60), gop=20)


@pytest.fixture
def context(tmp_path, clip):
    spec, _ = spec_of(tmp_path / "out", BLUR, tmp_path / "key.json", [str(clip)])
    with Context(spec, fake_models) as context:
        yield context


def test_what_points_elsewhere_is_quarantined(clip, tmp_path, http_counter, watched):
    """An archive of playlists called videos, and of movs whose media lie elsewhere: each has its row, nothing that they name is reached, the rest is published."""
    archive = tmp_path / "in"
    archive.mkdir()
    for number, name in enumerate(sorted(PLAYLISTS)):
        (archive / f"list{number}.mp4").write_text(PLAYLISTS[name].format(file=clip, url=http_counter.url("a.ts")))
    mov_by_path(clip, archive / "by_path.mov")
    mov_by_url(clip, archive / "by_url.mov", http_counter.url("a.mp4"))
    (archive / "good.mp4").write_bytes(clip.read_bytes())
    watch = watched(clip)

    summary = run_local([str(archive)], tmp_path / "out", tmp_path / "key.json", BLUR)

    assert [video["name"] for video in summary["videos"]] == ["good.mp4"]
    assert len(summary["quarantined"]) == len(PLAYLISTS) + 2
    assert {entry["stage"] for entry in summary["quarantined"]} == {"probe"}
    assert summary["balances"]
    assert http_counter.requests == 0
    assert not watch.was_opened()


def test_the_run_says_how_its_readers_were_confined(clip, tmp_path):
    """In the summary of the run, in the words of `guarded.level`."""
    summary = run_local([str(clip)], tmp_path / "out", tmp_path / "key.json", BLUR)

    assert summary["confined"] == [guarded.level()]
    assert "no_new_privs" in guarded.level()


def test_limits_of_the_settings_reach_the_readers(clip, tmp_path):
    """A bomb's limit is the run's own, and the quarantine names it."""
    settings = BLUR.with_values(run__media_cpu_s=1.0, plan__max_packets=20)

    summary = run_local([str(clip)], tmp_path / "out", tmp_path / "key.json", settings)

    assert "plan.max_packets = 20" in summary["quarantined"][0]["reason"]
    assert guarded._limits.cpu_s == 1.0


def _attempt(context: Context, clip: Path, killed_by: signal.Signals, deaths: int, made: list[int]) -> dict:
    """Reads all pictures; in the first `deaths` attempts somebody ends the reader."""
    facts, _ = guarded.probe(clip, context.settings.plan)
    reader = guarded.read_pictures(clip, facts, None)
    next(reader)
    made.append(context.attempt)
    if len(made) <= deaths:
        os.kill(parsers(os.getpid())[0], killed_by)
    return {"frames": 1 + sum(1 for _ in reader)}


@pytest.mark.parametrize(("deaths", "kind"), [(2, "done"), (9, "failed")])
def test_a_reader_killed_for_memory_is_not_the_videos_fault_at_once(context, clip, deaths, kind):
    """It is tried again like any attempt that ran out of memory, and given up after as many."""
    made: list[int] = []

    row = answered(lambda context, unit: _attempt(context, clip, signal.SIGKILL, deaths, made), "analyze", context, UNIT)

    assert (row["kind"], made) == (kind, [1, 2, 3])
    assert row.get("frames") == (60 if kind == "done" else None)
    assert kind == "done" or "ran out of memory" in row["reason"]


def test_a_reader_that_crashes_is_the_videos_fault(context, clip):
    """One attempt, and the reason says how it ended."""
    made: list[int] = []

    row = answered(lambda context, unit: _attempt(context, clip, signal.SIGSEGV, 9, made), "analyze", context, UNIT)

    assert (row["kind"], made) == ("failed", [1])
    assert "crashed by SIGSEGV" in row["reason"]


def test_a_time_limit_ends_the_reader_too(context, clip):
    """A unit that is over its time leaves no process that reads on."""
    context.settings = context.settings.with_values(run__unit_limit_s=0.8)

    def hang(context, unit):
        for _ in guarded.read_pictures(clip, guarded.probe(clip, context.settings.plan)[0], None):
            os.kill(parsers(os.getpid())[0], signal.SIGSTOP)
        return {}

    row = answered(hang, "analyze", context, UNIT)

    assert "run.unit_limit_s" in row["reason"]
    assert eventually(lambda: not parsers(os.getpid()))


def test_readers_cpu_time_is_counted_by_stage(clip):
    """What the reading process spends is the stage's that goes through its pictures, and stages still add up to what was spent."""
    facts, _ = guarded.probe(clip, BLUR.plan)
    began_s = cpu_spent_s()

    watch = Stopwatch()
    with watch.stage("rest"):
        for _ in watch.each("decode", guarded.read_pictures(clip, facts, None)):
            pass
    stages, spent_s = watch.rounded(), cpu_spent_s() - began_s

    own = Stopwatch()
    with own.stage("rest"):
        for _ in own.each("decode", decode.read_pictures(clip, facts, None)):
            pass
    assert stages["decode"] > 0.5 * own.rounded()["decode"]
    assert sum(stages.values()) == pytest.approx(spent_s, abs=0.02)


def test_only_confined_processes_read_foreign_bytes():
    """No other package takes a reader of media but the guarded ones; the benchmark's plain decoding is the exception that is meant."""
    pattern = re.compile(rf"from faceanon\.media\.({'|'.join(READERS)}) import (.+)|from faceanon\.media import (.+)")
    harmless = {"MediaSummary", "MOST_SKIPPED", "Glance"}
    found = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.parent.name == "media":
            continue
        for module, names, modules in pattern.findall(path.read_text()):
            taken = {name.strip() for name in (names or modules).split(",")}
            if (module and taken - harmless) or taken & set(READERS):
                found.add(f"{path.relative_to(PACKAGE)}: {module or modules}")

    assert found == {"commands/bench.py: decode"}
