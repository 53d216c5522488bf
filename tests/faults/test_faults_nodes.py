"""Nodes that are lost and nodes that come, and nodes that cannot see the keystore: several raylets on this machine."""

from __future__ import annotations

import base64
import time

import pytest
from support.fault_runs import Job, assert_whole, wait_until
from support.faults import met
from support.ray_nodes import RayNodes

from faceanon.ledger.query import query

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

SLOW = {"on": "detect", "how": "slow"}


def nodes_at_work(job: Job, phase: str) -> set[str]:
    """The nodes that have begun a unit of a phase."""
    return {a["node"] for a in job.attempts(phase)}


def test_a_node_that_is_lost(job, quiet):
    """The raylet of the second node is killed while both work: the first one ends the work alone, and no segment is blamed, though one attempt is all there is."""
    job.settings = {"run": {"max_attempts": 1}}
    with RayNodes(1) as nodes:
        second = nodes.add(1)
        process = job.start(ray=nodes.address, plan=[SLOW])
        wait_until(lambda: len(nodes_at_work(job, "analyze")) == 2, process)
        nodes.kill_raylet(second)

        summary = job.finish(process)

    assert_whole(job, quiet, summary)


@pytest.mark.long
def test_a_node_that_comes_in_its_place(job, quiet):
    """A node is lost, another one joins, and it works on the same run."""
    job.settings = {"run": {"max_attempts": 1}}
    with RayNodes(1) as nodes:
        second = nodes.add(1)
        process = job.start(ray=nodes.address, plan=[SLOW])
        wait_until(lambda: len(nodes_at_work(job, "analyze")) == 2, process)
        before = nodes_at_work(job, "analyze")
        nodes.kill_raylet(second)
        nodes.add(1)
        came = []
        wait_until(lambda: came.extend(nodes_at_work(job, "redact") | nodes_at_work(job, "publish")) or set(came) - before, process)

        summary = job.finish(process)

    assert_whole(job, quiet, summary)


@pytest.mark.long
def test_more_nodes_than_before(job, quiet):
    """A driver dies while one node works; the run that takes it up finds three, and more than one of them renders."""
    with RayNodes(1) as nodes:
        process = job.start(ray=nodes.address, plan=[SLOW])
        job.killed_when(lambda: job.attempt("analyze"), process)
        nodes.add(1)
        nodes.add(1)
        process = job.start(ray=nodes.address, plan=[{"on": "upload", "match": r"/staged/", "when": "before", "how": "slow"}])
        seen: set[str] = set()
        wait_until(lambda: seen.update(nodes_at_work(job, "redact")) or len(seen) > 1, process)

        summary = job.finish(process)

    assert_whole(job, quiet, summary)


def test_every_node_must_see_the_keystore(job, quiet, tmp_path):
    """A second node with another home and without FACEANON_KEY stops the run before any work, with exit 2 and the node's name; with the key it takes part."""
    key = "base64:" + base64.b64encode(quiet.key.read_bytes()).decode()
    with RayNodes(1, environment={"FACEANON_KEY": key}) as nodes:
        bare = nodes.add(1, FACEANON_KEY="", HOME=str(tmp_path / "nobody"), XDG_CONFIG_HOME="")
        job.key, job.environment = None, {"FACEANON_KEY": key}
        refused = job.run(ray=nodes.address)
        nodes.stop(bare)
        nodes.add(1)
        time.sleep(1)

        summary = job.run(ray=nodes.address)

    assert refused["exit_code"] == 2
    assert "node " in refused["stderr"]
    assert "the key file does not exist on this node" in refused["stderr"]
    assert not met(job.faults)
    assert_whole(job, quiet, summary)
    assert query(job.out, "SELECT count(*) AS n FROM runs WHERE published > 0").to_pylist() == [{"n": 1}]
