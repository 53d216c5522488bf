"""A Ray cluster of several nodes on this machine, from `ray start`, with ports of its own; every process is stopped by its id."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack, suppress
from pathlib import Path

from faceanon.flow.host import started

_WAIT_S = 90.0
_PORTS = ("node-manager-port", "object-manager-port", "dashboard-agent-listen-port", "dashboard-agent-grpc-port", "metrics-export-port", "runtime-env-agent-port")


class RayNodes:
    """`with RayNodes(2) as nodes:` one head of 2 CPUs; `nodes.add(1, **environment)` one more node. `nodes.address` is for RAY_ADDRESS."""

    def __init__(self, cpus: int, *, dashboard: bool = False, environment: dict[str, str] | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="fr-"))  # short: sockets lie below
        path = os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")]))
        self.environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_TMPDIR": str(self.folder), "PYTHONPATH": path}
        self.environment |= environment or {}
        self._processes: list[subprocess.Popen] = []
        port, self.dashboard_port, client = free_ports(3)
        self.address = f"127.0.0.1:{port}"
        head = ["--head", f"--port={port}", f"--ray-client-server-port={client}", f"--temp-dir={self.folder}", f"--dashboard-port={self.dashboard_port}"]
        head += [f"--include-dashboard={'true' if dashboard else 'false'}", "--dashboard-host=127.0.0.1"]
        self._start(head, cpus, {})
        if dashboard:
            self._wait_for_dashboard()

    def __enter__(self) -> RayNodes:
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            self.stop(process)
        shutil.rmtree(self.folder, ignore_errors=True)

    def add(self, cpus: int, **environment: str) -> subprocess.Popen:
        return self._start([f"--address={self.address}"], cpus, environment)

    def stop(self, process: subprocess.Popen) -> None:
        """All of a node's processes, by their ids."""
        family = [] if process.poll() is not None else [(pid, started(pid)) for pid in below(process.pid)]
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pid, since in family:
            if since and started(pid) == since:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def kill_raylet(self, process: subprocess.Popen) -> int:
        """kill -9 of a node's raylet, and of nothing else; its pid."""
        (pid,) = [pid for pid in below(process.pid) if Path(f"/proc/{pid}/comm").read_text().strip() == "raylet"]
        os.kill(pid, signal.SIGKILL)
        return pid

    def kill_process(self, attempt: dict) -> None:
        """kill -9 of the worker that an attempt's record names."""
        with suppress(ProcessLookupError):
            os.kill(attempt["pid"], signal.SIGKILL)

    def _start(self, where: list[str], cpus: int, environment: dict[str, str]) -> subprocess.Popen:
        ports = [f"--{name}={port}" for name, port in zip(_PORTS, free_ports(len(_PORTS)), strict=True)]
        log = self.folder / f"node-{len(self._processes)}.txt"
        command = [str(Path(sys.executable).with_name("ray")), "start", *where, f"--num-cpus={cpus}", "--node-ip-address=127.0.0.1", "--object-store-memory=100000000"]
        with log.open("wb") as out:
            process = subprocess.Popen([*command, *ports, "--disable-usage-stats", "--block"], stdout=out, stderr=out, env={**self.environment, **environment})
        self._processes.append(process)
        stop = time.monotonic() + _WAIT_S
        while b"Ray runtime started" not in log.read_bytes():
            if process.poll() is not None or time.monotonic() > stop:
                raise RuntimeError(f"a Ray node did not start: {log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.1)
        return process

    def _wait_for_dashboard(self) -> None:
        stop = time.monotonic() + _WAIT_S
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.dashboard_port}/api/version", timeout=5).close()
                return
            except OSError:
                if time.monotonic() > stop:
                    raise
                time.sleep(0.2)


def below(pid: int) -> list[int]:
    """The ids of a process's children, and of theirs."""
    children = [int(child) for task in Path(f"/proc/{pid}/task").glob("*/children") for child in task.read_text().split()]
    return [*children, *(deeper for child in children if Path(f"/proc/{child}").exists() for deeper in below(child))]


def free_ports(count: int) -> list[int]:
    """Ports that are free now; all are held until all are known."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
