"""The line by which a cluster file starts its head, run for real: who has no token gets nothing, and the dashboard is on loopback alone."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

FILE = Path(__file__).parents[2] / "cluster/onprem.yaml"
OPEN = "from ray import init, cluster_resources; init(address='127.0.0.1:{port}', log_to_driver=False); print(cluster_resources().get('CPU', 0))"
PATIENCE_S = 90.0


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def status(port: int, path: str, token: str = "") -> int:
    """The dashboard's HTTP status; 0 where nothing listens."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


@pytest.fixture(scope="module")
def head() -> Iterator[dict]:
    """A head from the file's own line, with ports, folders and token of its own; ended by its process group."""
    home = Path(tempfile.mkdtemp(prefix="fa-"))  # short: sockets lie below
    token = secrets.token_hex(32)
    (home / ".ray").mkdir()
    (home / ".ray/auth_token").write_text(token)
    port, dashboard, metrics, objects, agent, client = free_ports(6)
    line = next(command for command in yaml.safe_load(FILE.read_text())["head_start_ray_commands"] if "--head" in command)
    own = {"--port=6379": f"--port={port}", "--dashboard-port=8265": f"--dashboard-port={dashboard}", "--metrics-export-port=8080": f"--metrics-export-port={metrics}"}
    own |= {"--object-manager-port=8076": f"--object-manager-port={objects}", "/opt/faceanon/bin/ray": str(Path(sys.executable).with_name("ray"))}
    own |= {"TMPDIR=/scratch": f"TMPDIR={home}", "ulimit -n 65536;": ""}
    for old, new in own.items():
        assert old in line
        line = line.replace(old, new)
    line = re.sub(r"--autoscaling-config=\S+", "", line)  # there are no machines to start
    line += f" --block --temp-dir={home}/ray --dashboard-agent-listen-port={agent} --ray-client-server-port={client} --object-store-memory=100000000"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | {"HOME": str(home)}
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(["bash", "-c", line], stdout=log, stderr=log, env=environment, start_new_session=True)
    stop = time.monotonic() + PATIENCE_S
    try:
        while status(dashboard, "/api/version", token) != 200:
            assert time.monotonic() < stop, (home / "log").read_text()[-2000:]
            time.sleep(0.5)
        yield {"port": port, "dashboard": dashboard, "token": token, "environment": environment}
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        shutil.rmtree(home, ignore_errors=True)


def connect(head: dict, **environment: str) -> subprocess.CompletedProcess:
    """A stranger's or a friend's attempt to join."""
    bare = {**head["environment"], "HOME": tempfile.gettempdir(), **environment}
    return subprocess.run([sys.executable, "-c", OPEN.format(port=head["port"])], capture_output=True, text=True, env=bare, timeout=120, check=False)


@pytest.mark.ray
@pytest.mark.timeout(200)
def test_jobs_are_taken_only_with_the_token(head):
    """The dashboard's port, where jobs are handed in, refuses who has no token or another one."""
    assert [status(head["dashboard"], path) for path in ("/api/version", "/api/jobs/")] == [401, 401]
    assert status(head["dashboard"], "/api/jobs/", "0" * 64) == 403
    assert status(head["dashboard"], "/api/jobs/", head["token"]) == 200


@pytest.mark.ray
@pytest.mark.timeout(200)
def test_drivers_join_only_with_the_token(head):
    """Ray itself refuses a driver with a wrong token, and lets one in with the right one; it finds no CPU on the head."""
    stranger = connect(head, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="0" * 64, RAY_NUM_REDIS_GET_RETRIES="2")
    friend = connect(head, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=head["token"])

    assert stranger.returncode != 0
    assert "AuthenticationError" in stranger.stderr
    assert friend.stdout.split() == ["0"], friend.stderr[-2000:]


@pytest.mark.ray
def test_the_dashboard_listens_on_loopback_alone(head):
    """No address but 127.0.0.1 is bound to the dashboard's port."""
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    bound = {row[1].split(":")[0] for row in rows if row[3] == "0A" and int(row[1].split(":")[1], 16) == head["dashboard"]}

    assert bound == {"0100007F"}
