"""`ray job submit` as a user does it: a dashboard, a submitted job whose driver is killed, and the same submission again."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ray.job_submission import JobStatus, JobSubmissionClient
from support.fault_runs import Job, assert_whole, wait_until
from support.ray_nodes import RayNodes

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

SLOW = {"on": "detect", "how": "slow"}


def submit(nodes: RayNodes, client: JobSubmissionClient, job: Job, plan: list[dict]) -> str:
    """The id of the submitted command."""
    command, environment = job.command(plan=plan, on_ray=True)
    return client.submit_job(entrypoint=shlex.join(command), runtime_env={"env_vars": environment})


def follow(nodes: RayNodes, submitted: str) -> subprocess.Popen:
    """`ray job logs --follow`."""
    command = [str(Path(sys.executable).with_name("ray")), "job", "logs", "--follow", "--address", f"http://127.0.0.1:{nodes.dashboard_port}", submitted]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=nodes.environment)


def ended(client: JobSubmissionClient, submitted: str) -> JobStatus:
    """How it ended."""
    wait_until(lambda: client.get_job_status(submitted).is_terminal() or time.sleep(0.3))
    return client.get_job_status(submitted)


def test_a_submitted_job_whose_driver_is_killed(job, quiet, monkeypatch):
    """FAILED is what Ray says after the kill, the logs were followed until then, and submitting the same again ends the work: SUCCEEDED."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with RayNodes(2, dashboard=True) as nodes:
        client = JobSubmissionClient(f"http://127.0.0.1:{nodes.dashboard_port}")
        first = submit(nodes, client, job, [SLOW])
        logs = follow(nodes, first)
        wait_until(lambda: job.attempt("analyze"))
        os.kill(int(client.get_job_info(first).driver_info.pid), 9)
        died = ended(client, first)
        logs.communicate(timeout=60)

        second = submit(nodes, client, job, [])
        told, _ = follow(nodes, second).communicate(timeout=240)
        finished = ended(client, second)
        said = client.get_job_logs(second)

    summary = json.loads(said[said.index("{\n") : said.rindex("}") + 1])
    assert died == JobStatus.FAILED
    assert finished == JobStatus.SUCCEEDED
    assert '"published"' in told
    assert_whole(job, quiet, {**summary, "stderr": said})
