"""A store that dies, lies or hangs up while a run writes to it: a real server, killed with -9 or behind a proxy that misbehaves."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.fault_proxy import LASTING, FaultProxy
from support.fault_runs import POISONED, Job, assert_whole, names_of, wait_until
from support.faults import met
from support.ray_nodes import RayNodes
from support.s3_restart import RestartableServer
from support.s3_server import BUCKET

from faceanon.archive.store import open_store

pytestmark = [pytest.mark.store, pytest.mark.timeout(600)]

SLOW = {"on": "detect", "how": "slow"}
STORM = {  # what the store answers to writes of this kind, the first few times
    "503": [("503", "PUT", "", 12)],
    "409": [("409", "PUT", "/objects/", 2), ("409", "PUT", "/ledger/records/", 2)],
    "412 to what was carried out": [("412", "PUT", "/ledger/records/", 1), ("412", "PUT", "/objects/", 1), ("412", "PUT", "/staged/", 1)],
    "a connection cut in an upload": [("cut upload", "PUT", "/objects/", 1), ("cut upload", "PUT", "/staged/", 2), ("cut upload", "PUT", "/ledger/records/", 1)],
    "an answer that is lost": [("lost", "PUT", "/ledger/records/", 1), ("lost", "PUT", "/objects/", 1), ("lost", "PUT", "/attempts/", 2)],
    "a connection cut in a download": [("cut download", "GET", "/in/", 2), ("cut download", "GET", "/staged/", 2)],
}


@pytest.fixture
def in_store(quiet, s3_root, s3_server, tmp_path) -> Job:
    """The same archive and OUT, both on the session's server."""
    return job_on(s3_root, quiet, tmp_path)


def job_on(root: str, quiet: Job, home: Path, environment: dict[str, str] | None = None) -> Job:
    source = open_store(f"{root}/in")
    for name in names_of(quiet.archive):
        source.upload(Path(quiet.archive) / name, name)
    return Job(home, source.root, quiet.key, out=f"{root}/out", environment=environment or {})


@pytest.fixture
def proxy(s3_server) -> Iterator[FaultProxy]:
    with FaultProxy(s3_server["AWS_ENDPOINT_URL"]) as proxy:
        yield proxy


def test_every_fault_of_a_store_in_one_run(in_store, quiet, proxy):
    """503, 409, 412 to a write that was carried out, lost answers and connections cut in uploads: the run goes on and the bytes are a quiet run's."""
    rules = [proxy.fault(action, method=method, key=key, count=1) for storm in STORM.values() for action, method, key, _ in storm]
    in_store.environment = {"AWS_ENDPOINT_URL": proxy.endpoint}

    summary = in_store.run()

    assert all(rule.used for rule in rules)
    assert_whole(in_store, quiet, summary)


@pytest.mark.long
@pytest.mark.parametrize("storm", STORM)
def test_one_fault_of_a_store(in_store, quiet, proxy, storm):
    """Each kind by itself, more than once."""
    rules = [proxy.fault(action, method=method, key=key, count=count) for action, method, key, count in STORM[storm]]
    in_store.environment = {"AWS_ENDPOINT_URL": proxy.endpoint}

    summary = in_store.run()

    assert all(rule.used for rule in rules)
    assert_whole(in_store, quiet, summary)


def test_a_driver_that_dies_with_half_an_upload(in_store, quiet, proxy):
    """Killed while an object's bytes are on their way: nobody ever sees that object, and the next run publishes it whole."""
    proxy.fault("hold", method="PUT", key="/objects/")
    in_store.environment = {"AWS_ENDPOINT_URL": proxy.endpoint}
    process = in_store.start()
    in_store.killed_when(proxy.held.is_set, process)
    proxy.release()

    summary = in_store.run()

    assert_whole(in_store, quiet, summary)


@pytest.mark.long
def test_a_source_that_changes_under_a_run(in_store, quiet):
    """An object gets another etag after it was planned: its video is quarantined, and the next run publishes what is there then."""
    process = in_store.start(plan=[{"on": "upload", "match": r"/staged/", "when": "before", "how": "slow"}])
    wait_until(lambda: in_store.attempt("redact"), process)
    open_store(in_store.archive).replace(POISONED, (Path(quiet.archive) / "cam/walk.mp4").read_bytes())

    refused = in_store.finish(process)
    assert_whole(in_store, quiet, refused, quarantined=(POISONED,))
    summary = in_store.run()

    assert "differs from what was planned" in refused["quarantined"][0]["reason"]
    assert_whole(in_store, None, summary)


@pytest.mark.long
@pytest.mark.ray
def test_workers_that_die_while_the_store_fails(in_store, quiet, proxy, s3_server):
    """On a Ray cluster with everything in the store: workers are killed at three moments while requests fail, and the bytes are a quiet run's."""
    in_store.environment = {"AWS_ENDPOINT_URL": proxy.endpoint}
    moments = [("upload", r"/staged/", "after"), ("create", r"/staged/.*json", "after"), ("create", r"/ledger/records/", "before")]
    plan = [{"on": on, "match": match, "when": when, "how": "kill", "times": 1} for on, match, when in moments]
    rules = [proxy.fault(action, method=method, key=key, count=1) for storm in STORM.values() for action, method, key, _ in storm]
    with RayNodes(2, environment={**s3_server, **in_store.environment}) as nodes:
        summary = in_store.run(ray=nodes.address, plan=plan)

    assert [len(met(in_store.faults, number)) for number in range(len(plan))] == [1, 1, 1]
    assert all(rule.used for rule in rules)
    assert_whole(in_store, quiet, summary)


@pytest.mark.long
def test_a_store_that_stays_away(in_store, quiet, proxy):
    """After a minute of asking the run ends with exit 1, says that the store does not answer, and quarantines nothing; the same command ends the work."""
    process_environment = {"AWS_ENDPOINT_URL": proxy.endpoint}
    in_store.environment = process_environment
    process = in_store.start(plan=[SLOW])
    wait_until(lambda: proxy.count("PUT", "/analysis/"), process)
    proxy.fault("503", count=LASTING)
    away = in_store.finish(process)
    proxy.clear()

    summary = in_store.run()

    assert away["exit_code"] == 1
    assert "the store" in away["stderr"]
    assert "the same command takes it up" in away["stderr"]
    assert_whole(in_store, quiet, summary)


def test_a_server_that_is_killed_and_comes_back(quiet, tmp_path, monkeypatch):
    """kill -9 of the server while segments are rendered, started again on the same data: the run waits for it and ends as if nothing had been."""
    with RestartableServer() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        job = job_on(f"s3://{BUCKET}/restart", quiet, tmp_path)
        process = job.start(plan=[SLOW])
        wait_until(lambda: met(job.faults), process)
        server.kill()
        time.sleep(3)
        server.start()

        summary = job.finish(process)

        assert_whole(job, quiet, summary)
