"""Scratch is private, bounded and gone afterwards; fetched sources are proven bytes."""

from __future__ import annotations

import hashlib
import os
import signal
import stat
import subprocess
import sys

import pytest

from faceanon.archive import fetch
from faceanon.archive.fetch import fetch_source, open_source
from faceanon.archive.scratch import Scratch, sweep
from faceanon.archive.store import open_store
from faceanon.core.errors import LimitExceeded, SourceChanged, SourceUnreadable, StoreUnavailable


def start(base, then):
    """A process that opens a scratch below base, writes a file, says so, and goes on with `then`."""
    code = f"""
import sys, time, os
from pathlib import Path
from faceanon.archive.scratch import Scratch
scratch = Scratch(Path({str(base)!r}), 1000)
scratch.file('.bin').write_bytes(b'secret')
print(scratch.path, flush=True)
{then}
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    return process, process.stdout.readline().strip()


def test_private_and_removed(tmp_path):
    """Nobody else can look inside, no two files share a name, and nothing stays."""
    with Scratch(tmp_path, 1000) as scratch:
        a, b = scratch.file(".mp4"), scratch.file(".mp4")
        a.write_bytes(b"x")

        assert stat.S_IMODE(scratch.path.stat().st_mode) == 0o700
        assert a != b
        assert a.suffix == ".mp4"
        assert scratch.used_bytes() == 1
    assert list(tmp_path.iterdir()) == []


def test_removed_when_work_fails_and_when_the_interpreter_ends(tmp_path):
    """An exception, and a process that never closes its scratch, leave nothing."""
    with pytest.raises(FileNotFoundError), Scratch(tmp_path, 1000) as scratch:
        scratch.file().read_bytes()
    process, _ = start(tmp_path, "")
    process.wait(20)

    assert list(tmp_path.iterdir()) == []


def test_bounds(tmp_path):
    """What can never fit is a limit; what does not fit just now is worth another try."""
    with Scratch(tmp_path, 10) as scratch:
        scratch.file().write_bytes(b"12345")
        scratch.check(5)

        with pytest.raises(LimitExceeded):
            scratch.check(11)
        with pytest.raises(StoreUnavailable, match="scratch is full"):
            scratch.check(6)
        scratch.file().write_bytes(b"123456")
        with pytest.raises(StoreUnavailable):
            scratch.check()


def test_sweep_takes_the_dead_and_leaves_the_living(tmp_path):
    """A killed process's files go; a living process's, and whatever else lies there, stay."""
    dead, dead_path = start(tmp_path, "time.sleep(60)")
    alive, alive_path = start(tmp_path, "time.sleep(60)")
    (tmp_path / "faceanon-notes").mkdir()
    try:
        assert sweep(tmp_path) == 0
        os.kill(dead.pid, signal.SIGKILL)
        dead.wait()
        assert os.path.exists(dead_path)  # the trap is set

        assert sweep(tmp_path) == 1
        assert not os.path.exists(dead_path)
        assert os.path.exists(alive_path)
        assert (tmp_path / "faceanon-notes").exists()
    finally:
        alive.kill()
        alive.wait()
    assert sweep(tmp_path) == 1


def test_forked_children_do_not_clear_their_parents_scratch(tmp_path):
    """A child that ends runs its exit handlers, and the parent's files stay."""
    process, path = start(tmp_path, "pid = os.fork()\nif pid == 0: sys.exit()\nos.waitpid(pid, 0)\nprint(len(os.listdir(scratch.path)), flush=True)")

    assert process.stdout.read().strip() == "1"
    process.wait(20)
    assert not os.path.exists(path)


def test_sweep_of_nothing(tmp_path):
    """A base that does not exist yet has nothing to sweep."""
    assert sweep(tmp_path / "none") == 0


@pytest.fixture(params=["disk", pytest.param("s3", marks=pytest.mark.store)])
def store(request, tmp_path):
    return open_store(request.getfixturevalue("s3_root") if request.param == "s3" else str(tmp_path / "root"))


def test_fetch_proves_the_bytes(store, tmp_path):
    """The file at hand, its size and its digest are the source's; a second opening gives the same bytes."""
    data = os.urandom(9_000_000)  # more than one chunk
    store.create("x.mp4", data)
    with Scratch(tmp_path / "scratch", 100_000_000) as scratch:
        path, version = fetch_source(store.uri("x.mp4"), scratch)

        assert path.read_bytes() == open_source(version, scratch).read_bytes() == data
        assert (version.uri, version.size, version.sha256) == (store.uri("x.mp4"), len(data), hashlib.sha256(data).hexdigest())


def test_fetch_notices_another_version(store, tmp_path):
    """A source that was renewed since it was planned is not worked on."""
    store.create("x.mp4", b"one")
    with Scratch(tmp_path / "scratch", 1000) as scratch:
        _, version = fetch_source(store.uri("x.mp4"), scratch)
        store.replace("x.mp4", b"two!")

        with pytest.raises(SourceChanged):
            open_source(version, scratch)


def test_fetch_of_what_cannot_be_read(store, tmp_path):
    """Missing, empty and too large sources say so."""
    store.create("empty.mp4", b"")
    store.create("large.mp4", b"x" * 100)
    with Scratch(tmp_path / "scratch", 10) as scratch:
        with pytest.raises(SourceUnreadable, match="does not exist"):
            fetch_source(store.uri("none.mp4"), scratch)
        with pytest.raises(SourceUnreadable, match="empty"):
            fetch_source(store.uri("empty.mp4"), scratch)
        if store.uri("x").startswith("s3:"):
            with pytest.raises(LimitExceeded):
                fetch_source(store.uri("large.mp4"), scratch)


def test_fetch_of_a_file_that_grows(tmp_path, monkeypatch):
    """A file that is still being written while it is hashed is refused."""
    path = tmp_path / "x.mp4"
    path.write_bytes(b"one")
    read = fetch._hash_file

    def grow(name):
        path.write_bytes(b"one and more")
        return read(name)

    monkeypatch.setattr(fetch, "_hash_file", grow)

    with Scratch(tmp_path / "scratch", 1000) as scratch, pytest.raises(SourceChanged):
        fetch_source(str(path), scratch)


def test_fetch_of_files_without_permission(tmp_path, monkeypatch):
    """An operating system's refusal is a reason that a person understands."""
    path = tmp_path / "x.mp4"
    path.write_bytes(b"x")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)  # the tests may run as root, whom no mode stops

    with Scratch(tmp_path / "scratch", 1000) as scratch, pytest.raises(SourceUnreadable, match="permission denied"):
        fetch_source(str(path), scratch)
