"""Who counts as dead, which attempts count, and what one run may clear of another's: without Ray and without a kill."""

from __future__ import annotations

import errno
import json
import subprocess
import sys

import pytest
from support.fake_archive import fake_models, spec_of, write_archive

from faceanon.core.errors import AlreadyExists, SourceUnsupported, StoreUnavailable
from faceanon.core.settings import Settings
from faceanon.flow import attempts, layout, others, outcome
from faceanon.flow.host import OneProcess, is_dead, started, this_process
from faceanon.flow.job import Context
from faceanon.flow.outcome import guarded, limit_s

UNIT = {"unit_id": "u", "name": "n"}


class Cluster(OneProcess):
    """A machine "lost" that is lost, whatever else lives."""

    node = "here"

    def is_lost(self, node: str) -> bool:
        return node == "lost"

    def ending_of(self, worker: str) -> str:
        return {"fat": "it was fat"}.get(worker, "")


@pytest.fixture
def context(tmp_path):
    archive = write_archive(tmp_path / "in")
    spec, _ = spec_of(tmp_path / "out", Settings().with_values(render__engine="blur"), tmp_path / "key.json", [str(archive / "empty.mp4")])
    with Context(spec, fake_models, Cluster()) as context:
        yield context


def begun(context: Context, numbers: range, **who: str) -> None:
    for number in numbers:
        context.work.create(layout.attempt(context.spec.run.run_id, "redact", "u", number), json.dumps(who).encode())


def test_a_lost_machine_is_not_the_units_fault(context):
    """Attempts that ended with their machine do not count: the fourth attempt is made where three deaths would have been too many."""
    begun(context, range(1, 4), node="lost")

    attempt = attempts.begin(context, "redact", "u")

    assert (attempt.number, attempt.given_up) == (4, "")


def test_a_unit_that_takes_machines_down_is_given_up(context):
    """Twenty lost machines are too many to be chance."""
    begun(context, range(1, attempts.LOST_MACHINES + 1), node="lost")

    attempt = attempts.begin(context, "redact", "u")

    assert "20 machines were lost" in attempt.given_up


@pytest.mark.parametrize(("who", "words"), [({"node": "here", "worker": "fat"}, "it was fat"), ({"node": "there"}, attempts.UNKNOWN)])
def test_the_last_death_is_the_reason(context, who, words):
    """Three deaths on machines that live: given up, with what is known of the last one."""
    begun(context, range(1, 4), **who)

    row = guarded(lambda context, unit: {}, "redact", context, UNIT)

    assert row["kind"] == "failed"
    assert row["reason"].startswith("given up after 3 attempts")
    assert words in row["reason"]


def test_a_last_word_beats_a_guess(context):
    """What a process wrote down before its end is told rather than what others saw of it."""
    begun(context, range(1, 4), node="here", worker="fat")
    attempts.note(context, attempts.Attempt(layout.attempt(context.spec.run.run_id, "redact", "u", 3), 3), "too slow")

    assert attempts.begin(context, "redact", "u").given_up.endswith("the last: too slow")


def test_a_lost_reply_is_no_death(context, monkeypatch):
    """A store that says "exists" to our own write, since its first answer was lost, has begun the first attempt, not the second."""
    create = type(context.work).create

    def twice(store, name, data):
        create(store, name, data)
        raise AlreadyExists("exists", source=name)

    monkeypatch.setattr(type(context.work), "create", twice)

    assert attempts.begin(context, "redact", "u").number == 1


@pytest.mark.parametrize(
    ("trace", "words"),
    [
        ("Fatal Python error: Segmentation fault\n\nStack", "its process crashed: Segmentation fault"),
        ("terminate called after throwing an instance of 'std::bad_alloc'\nFatal Python error: Aborted", "its process ran out of memory"),
        ("Timeout (0:00:05)!\nThread 0x1", "exceeded run.unit_limit_s: its process was ended"),
        ("a warning of no weight", ""),
    ],
)
def test_a_trace_tells_what_happened(trace, words):
    """What a dying process leaves on stderr, as a sentence."""
    assert attempts.crash_in(trace) == words


def test_a_longer_video_may_take_longer(context):
    """The limit is for up to a minute of video; ten minutes have ten times as much."""
    assert limit_s(context, {}) == limit_s(context, {"seconds": 59.0}) == 3600.0
    assert limit_s(context, {"seconds": 600.0}) == 36000.0


def test_a_full_disk_is_seen_through_a_librarys_words(context):
    """However an error was wrapped: no space left is the machine's fault, so it ends the run and fails no unit."""

    def step(context, unit):
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise SourceUnsupported("cannot be written") from error

    with pytest.raises(StoreUnavailable, match="no room"):
        guarded(step, "redact", context, UNIT)


def test_a_store_that_stays_away_ends_the_run(context, monkeypatch):
    """Asked again as often as there are pauses, then raised: no unit is failed for it."""
    monkeypatch.setattr(outcome, "RETRY_PAUSES_S", (0, 0))
    asked = []

    def step(context, unit):
        asked.append(unit)
        raise StoreUnavailable("nobody there")

    with pytest.raises(StoreUnavailable, match="nobody there"):
        guarded(step, "redact", context, UNIT)
    assert len(asked) == 3


def test_dead_and_alive():
    """This process lives; one that has ended is dead; one of another machine is nobody's to judge."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    mark = {**this_process(), "pid": child.pid, "since": started(child.pid)}
    alive = is_dead(mark)
    child.kill()
    child.wait()

    assert not is_dead(this_process())
    assert not alive
    assert is_dead(mark)
    assert not is_dead({**mark, "host": "another"})



@pytest.mark.parametrize(("mark", "left"), [({}, []), ({"host": "another"}, ["attempts/old/driver.json", "videos/aa/plan.json"])])
def test_what_a_run_clears_at_its_end(context, mark, left):
    """A dead run's attempts and half-made work of the same video go; beside a run that may live nothing of it is touched."""
    dead = {**this_process(), "since": 1}
    context.work.replace(layout.driver_mark("old"), json.dumps({**dead, **mark}).encode())
    context.work.replace(layout.plan("aa"), json.dumps({"item": {"name": "cam/walk.mp4"}}).encode())
    others.mark(context)

    others.clear(context, ["cam/walk.mp4"])

    assert context.work.list("") == left


def test_work_of_other_videos_stays(context):
    """What a dead run left of a video that this run was not asked for is taken up by whoever asks for it."""
    context.work.replace(layout.plan("aa"), json.dumps({"item": {"name": "cam/other.mp4"}}).encode())
    others.mark(context)

    others.clear(context, ["cam/walk.mp4"])

    assert context.work.list("") == ["videos/aa/plan.json"]
