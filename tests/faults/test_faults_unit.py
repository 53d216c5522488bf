"""One segment that goes wrong every time, in a run without Ray: the rest of the archive is published and the reason is told."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from support.fault_runs import POISONED, Job, assert_whole


def reason(summary: dict) -> str:
    (entry,) = summary["quarantined"]
    return entry["reason"]


def test_a_segment_that_always_raises(job, quiet):
    """Quarantined at once, with the error; asked again after the cause is gone, it is published."""
    summary = job.run(plan=[{"on": "detect", "how": "raise"}])
    assert_whole(job, quiet, summary, quarantined=(POISONED,))
    assert "ValueError: planted" in reason(summary)

    again = job.run("--retry-quarantined")

    assert_whole(job, quiet, again)


def test_a_segment_that_hangs(job, quiet):
    """The time limit interrupts it, names the setting, and the run goes on."""
    job.settings = {"run": {"unit_limit_s": 5.0}}

    summary = job.run(plan=[{"on": "detect", "how": "hang"}])

    assert_whole(job, quiet, summary, quarantined=(POISONED,))
    assert "exceeded run.unit_limit_s" in reason(summary)


def test_a_segment_that_needs_too_much_memory(job, quiet):
    """A real limit on memory, met at every attempt: three attempts, then quarantine, and the reason is memory."""
    summary = job.run(plan=[{"on": "detect", "how": "memory"}])

    assert_whole(job, quiet, summary, quarantined=(POISONED,))
    assert "given up after 3 attempts" in reason(summary)
    assert "ran out of memory" in reason(summary)


@pytest.mark.long
def test_memory_that_is_short_once(job, quiet):
    """The second attempt is as good as a first one; only the ledger knows."""
    summary = job.run(plan=[{"on": "detect", "how": "memory", "times": 1}])

    assert_whole(job, quiet, summary)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 kB: a tmpfs where that may be mounted; else a limit on the size of a file has to do, which is met in the same calls."""
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    mounted = os.geteuid() == 0 and subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)], capture_output=True, check=False).returncode == 0
    yield folder, mounted
    if mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
    shutil.rmtree(folder, ignore_errors=True)


def test_a_full_disk_is_no_videos_fault(job, quiet, small_disk):
    """No room in scratch ends the run with exit 1, names the place and quarantines nothing; with room the same command ends the work."""
    folder, mounted = small_disk
    cramped = Job(job.home, job.archive, job.key, settings={"run": {"scratch_dir": str(folder)}}, environment={} if mounted else {"FAULT_FILE_BYTES": "20000"})
    full = cramped.run()
    files = [p for p in folder.rglob("*") if p.is_file()]

    summary = job.run()

    assert full["exit_code"] == 1, full["stderr"]
    assert "scratch" in full["stderr"]
    assert "the same command takes it up" in full["stderr"]
    assert files == []
    assert_whole(job, quiet, summary)
