"""One archive and one quiet run of it for all fault tests of a session: what every other run is compared with."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.fault_runs import Job, assert_whole, write_faulty_archive


@pytest.fixture(scope="session")
def faulty_archive(tmp_path_factory) -> Path:
    return write_faulty_archive(tmp_path_factory.mktemp("faulty-archive"))


@pytest.fixture(scope="session")
def quiet(faulty_archive, tmp_path_factory) -> Job:
    """A run in which nothing went wrong."""
    home = tmp_path_factory.mktemp("quiet")
    job = Job(home, str(faulty_archive), home / "key.json")
    summary = job.run()
    assert_whole(job, None, summary)
    return job


@pytest.fixture
def job(quiet, tmp_path) -> Job:
    """The same work, to be disturbed."""
    return Job(tmp_path, quiet.archive, quiet.key)
