"""Credentials reach no argument, log, error, row or task: a job on a store that fails is searched for the secret, everywhere it leaves a trace."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from ray import cloudpickle
from support.fake_archive import spec_of, write_archive
from support.fault_runs import Job
from support.s3_server import SECRET

from faceanon.archive.store import open_store
from faceanon.core.errors import StoreError, StoreUnavailable
from faceanon.core.settings import Settings
from faceanon.flow.job import JobSpec

pytestmark = pytest.mark.store
WRONG = "wrong-s3cret-of-a-user"


def descendants(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(n for child in children for n in descendants(int(child)))]


def arguments_of(process: subprocess.Popen) -> bytes:
    """The command lines of a process and all below it, from its start to its end."""
    seen: set[bytes] = set()
    while process.poll() is None:
        try:
            seen |= {Path(f"/proc/{pid}/cmdline").read_bytes() for pid in descendants(process.pid)}
        except OSError:  # one of them has just ended
            continue
        finally:
            time.sleep(0.2)
    return b"\n".join(seen)


def files_below(*folders: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}


@pytest.fixture
def ray_folder():
    """Short, since sockets lie in it."""
    with tempfile.TemporaryDirectory(prefix="fa-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("on_ray", [False, pytest.param(True, marks=[pytest.mark.ray, pytest.mark.long])])
def test_a_job_with_faults_tells_nobody_the_secret(faulty_root, fault_proxy, tmp_path, ray_folder, on_ray):
    """At the chattiest log level, with errors of every kind on the way and a source in quarantine."""
    archive = write_archive(tmp_path / "archive")
    (archive / "cut.mp4").write_bytes((archive / "cam/walk.mp4").read_bytes()[:9000])
    source = open_store(f"{faulty_root}/in")
    for path in sorted(p for p in archive.rglob("*") if p.is_file()):
        source.upload(path, path.relative_to(archive).as_posix())
    for fault, after in (("503", 2), ("drop", 9), ("500", 15), ("cut download", 1), ("lost", 4), ("409", 8)):
        fault_proxy.fault(fault, method="GET" if "down" in fault else "", after=after, count=2)
    environment = {"FACEANON_LOG": "INFO" if on_ray else "DEBUG", "RAY_TMPDIR": str(ray_folder), "PYTHONPATH": str(Path(__file__).parents[1])}
    job = Job(tmp_path / "home", f"{faulty_root}/in", tmp_path / "key.json", out=f"{faulty_root}/out", settings={"store": {"whole_mb": 0.0}}, environment=environment)
    command, more = job.command(on_ray=on_ray)

    with (tmp_path / "home/out.txt").open("wb") as out, (tmp_path / "home/err.txt").open("wb") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, env={**os.environ, **more})
        arguments = arguments_of(process)
    summary = json.loads((tmp_path / "home/out.txt").read_text()[(tmp_path / "home/out.txt").read_text().index("{") :])

    assert (summary["published"], len(summary["quarantined"])) == (3, 1)
    traces = files_below(tmp_path / "home", ray_folder)
    store = open_store(f"{faulty_root}/out")
    traces |= {name: store.read(name) for name in store.list("")}
    assert on_ray or b"botocore" in traces[str(tmp_path / "home/err.txt")]  # the log is as chatty as can be
    assert [name for name, data in traces.items() if SECRET.encode() in data] == []
    assert b"anonymize" in arguments or b"fault_job" in arguments
    assert SECRET.encode() not in arguments


def test_what_travels_to_workers_holds_no_secret(faulty_root, tmp_path):
    """The job's description and stores, pickled as tasks are, and a filesystem that was opened before does not come along."""
    store = open_store(faulty_root)
    store.create("x", b"")
    spec, _ = spec_of(f"{faulty_root}/out", Settings(), tmp_path / "key.json", [f"{faulty_root}/x"])

    for thing in (spec, store, spec.to_row(), JobSpec.from_row(spec.to_row())):
        assert SECRET.encode() not in cloudpickle.dumps(thing)
        assert SECRET not in repr(thing)


def test_errors_hold_no_secret(faulty_root, fault_proxy, monkeypatch):
    """A refusal, a lasting fault and a server that is not there: the whole chain of errors is searched."""
    code = f"from faceanon.archive.store import open_store; open_store({faulty_root!r}).create('x', b'')"
    refused = subprocess.run([sys.executable, "-c", code], env={**os.environ, "AWS_SECRET_ACCESS_KEY": WRONG, "FACEANON_LOG": "DEBUG"}, capture_output=True, text=True)
    monkeypatch.setattr("faceanon.archive.objects._PAUSES_S", ())
    fault_proxy.fault("503", count=100)
    with pytest.raises(StoreUnavailable) as lasting:
        open_store(faulty_root).read("x")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StoreError) as absent:
        open_store(faulty_root).read("x")

    assert "StoreError" in refused.stderr
    assert WRONG not in refused.stderr
    for found in (lasting, absent):
        assert SECRET not in str(found.getrepr(style="long", chain=True))
