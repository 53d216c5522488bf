"""Workers that die, on a real Ray: real SIGKILLs and real crashes, and the bytes of a quiet run without Ray."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.fault_runs import POISONED, Job, assert_whole, wait_until
from support.faults import met
from support.ray_nodes import RayNodes

from faceanon.ledger.query import query

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

SLOW = {"on": "detect", "how": "slow"}
MOMENTS = {
    "before write": {"on": "upload", "match": r"/staged/", "when": "before"},
    "between write and commit": {"on": "upload", "match": r"/staged/", "when": "after"},
    "after commit": {"on": "create", "match": r"/staged/.*json", "when": "after"},
    "before the upload of a video": {"on": "upload", "match": r"/objects/", "when": "before"},
    "between upload and commit of a video": {"on": "create", "match": r"/ledger/records/", "when": "before"},
    "between commit and view of a video": {"on": "link", "match": r"/videos/", "when": "before"},
}
ONCE = {"how": "kill", "times": 1}


@pytest.fixture(scope="module")
def nodes() -> Iterator[RayNodes]:
    with RayNodes(2) as cluster:
        yield cluster


def reason(summary: dict) -> str:
    (entry,) = summary["quarantined"]
    return entry["reason"]


def attempts(job: Job) -> list[int]:
    return query(job.out, "SELECT attempt FROM segments ORDER BY attempt").column("attempt").to_pylist()


def test_workers_that_are_killed_at_every_moment(job, quiet, nodes):
    """Six workers die, each at another place between two writes; the run goes on, and the ledger says which segments took more than one attempt."""
    summary = job.run(ray=nodes.address, plan=[{**moment, **ONCE} for moment in MOMENTS.values()])

    assert [len(met(job.faults, number)) for number in range(len(MOMENTS))] == [1] * len(MOMENTS)
    assert_whole(job, quiet, summary)
    assert attempts(job)[0] == 1
    assert attempts(job)[-1] >= 2


@pytest.mark.long
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_worker_that_is_killed(job, quiet, nodes, moment):
    """At this moment twice: the third attempt is the one that counts, and it is the last one allowed."""
    summary = job.run(ray=nodes.address, plan=[{**MOMENTS[moment], "how": "kill", "times": 2}])

    assert len(met(job.faults)) == 2
    assert_whole(job, quiet, summary)


def test_a_segment_that_always_crashes(job, quiet, nodes):
    """Three workers die of SIGSEGV in turn, then its video is quarantined with what killed them; its neighbours are published."""
    summary = job.run(ray=nodes.address, plan=[{"on": "detect", "how": "segv"}])

    assert len(set(met(job.faults))) == 3
    assert_whole(job, quiet, summary, quarantined=(POISONED,))
    assert "given up after 3 attempts" in reason(summary)
    assert "crashed: Segmentation fault" in reason(summary)


@pytest.mark.long
def test_a_segment_that_hangs(job, quiet, nodes):
    """Its worker ends itself at the time limit, twice as allowed here, and the reason names the setting."""
    job.settings = {"run": {"unit_limit_s": 12.0, "max_attempts": 2}}

    summary = job.run(ray=nodes.address, plan=[{"on": "detect", "how": "hang"}])

    assert len(set(met(job.faults))) == 2
    assert_whole(job, quiet, summary, quarantined=(POISONED,))
    assert "given up after 2 attempts" in reason(summary)
    assert "exceeded run.unit_limit_s" in reason(summary)


@pytest.mark.long
def test_a_segment_that_always_raises(job, quiet, nodes):
    """An error is no death: one attempt, its reason, and the worker goes on."""
    summary = job.run(ray=nodes.address, plan=[{"on": "detect", "how": "raise"}])

    assert len(met(job.faults)) == 1
    assert_whole(job, quiet, summary, quarantined=(POISONED,))
    assert "ValueError: planted" in reason(summary)


@pytest.mark.long
def test_a_segment_that_needs_too_much_memory(job, quiet, nodes):
    """A worker that meets its limit is replaced by a fresh one; after three the video is quarantined for memory."""
    summary = job.run(ray=nodes.address, plan=[{"on": "detect", "how": "memory"}])

    assert len(set(met(job.faults))) == 3
    assert_whole(job, quiet, summary, quarantined=(POISONED,))
    assert "ran out of memory" in reason(summary)


@pytest.mark.long
@pytest.mark.parametrize("phase", ["probe", "analyze", "link", "redact", "publish"])
def test_a_driver_that_is_killed(job, quiet, nodes, phase):
    """Its workers end with it, late ones disturb nothing, and the next run takes up what there is, with another number of workers."""
    process = job.start("--workers", "1", ray=nodes.address, plan=[SLOW])
    job.killed_when(lambda: job.attempt(phase), process)

    summary = job.run("--workers", "2", ray=nodes.address)

    assert_whole(job, quiet, summary)


def test_a_worker_killed_from_outside_and_the_driver_after_it(job, quiet, nodes):
    """A worker is found by what the work store says of it and killed, then the driver; the run that takes it up has other workers and blocks, without Ray."""
    process = job.start(ray=nodes.address, plan=[SLOW])
    wait_until(lambda: job.attempt("analyze"), process)
    nodes.kill_process(job.attempt("analyze"))
    job.killed_when(lambda: job.attempt("redact"), process)

    summary = job.run()

    assert_whole(job, quiet, summary)


@pytest.mark.long
def test_two_drivers_on_one_cluster(job, quiet, nodes, tmp_path):
    """They share its workers as they come, each video gets one record, and both say that all is well."""
    other = Job(tmp_path / "other", job.archive, job.key, out=job.out)
    first, second = (one.start("--workers", "1", ray=nodes.address, plan=[SLOW]) for one in (job, other))

    theirs = other.finish(second)
    ours = job.finish(first)

    assert theirs["exit_code"] == 0, theirs["stderr"]
    assert theirs["published"] + theirs["unchanged"] == theirs["requested"]
    assert_whole(job, quiet, ours)
    assert list(other.scratch.iterdir()) == []
