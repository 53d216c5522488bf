"""Private working space: bounded, unreadable to others, gone afterwards.

One folder a process, mode 0700, beside a lock file that the process holds for as long as it lives. Whoever can take the lock knows
that the owner is dead; its name also says pid and start time, and both must say dead before anything is removed. So a sweep never
takes a live process's files, also in containers that cannot see each other's processes.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import re
import secrets
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path

from faceanon.core.errors import LimitExceeded, StoreUnavailable

_NAME = re.compile(r"faceanon-(\d+)-(\d+)-[0-9a-f]{16}\.lock")


class Scratch:
    """A private folder for one process's unfinished files. Use as a context manager, or call `close`."""

    def __init__(self, base: Path | None, limit_bytes: int) -> None:
        self.base = default_base() if base is None else Path(base)
        self.limit_bytes = limit_bytes
        self.base.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock, handle = _locked(self.base)
        self.path = self._lock.with_suffix("")
        self.path.mkdir(mode=0o700)
        self._numbers = itertools.count()
        self._close = weakref.finalize(self, _remove, os.getpid(), self.path, self._lock, handle)  # also when the interpreter ends

    def __enter__(self) -> Scratch:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._close()

    def file(self, suffix: str = "") -> Path:
        """A path that nothing has yet; what is written there goes with the scratch."""
        return self.path / f"{next(self._numbers):06d}{suffix}"

    def used_bytes(self) -> int:
        return sum(_size(Path(folder) / name) for folder, _, names in os.walk(self.path) for name in names)

    def check(self, wanted_bytes: int = 0, *, source: str = "") -> None:
        """Raises LimitExceeded where `wanted_bytes` can never fit, StoreUnavailable where there is no room just now."""
        self.check_ever(wanted_bytes, source=source)
        used = self.used_bytes()
        if used + wanted_bytes > self.limit_bytes:
            raise StoreUnavailable(f"scratch is full: {used} of {self.limit_bytes} bytes used, {wanted_bytes} more wanted", source=source)
        free = shutil.disk_usage(self.base).free
        if wanted_bytes > free:
            raise StoreUnavailable(f"the disk under {self.base} has {free} bytes left, {wanted_bytes} are wanted", source=source)

    def check_ever(self, wanted_bytes: int, *, source: str = "") -> None:
        """Raises LimitExceeded where `wanted_bytes` can never fit."""
        if wanted_bytes > self.limit_bytes:
            raise LimitExceeded(f"needs {wanted_bytes} bytes of scratch, the limit is {self.limit_bytes} (run.scratch_gb)", source=source)


def default_base() -> Path:
    return Path(tempfile.gettempdir())


def sweep(base: Path | None = None) -> int:
    """Remove what dead processes left below `base`; how many folders went. Other users' and live ones stay."""
    folder = default_base() if base is None else Path(base)
    return sum(_sweep_one(lock) for lock in _locks(folder))


def _locks(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from sorted(folder / name for name in os.listdir(folder) if _NAME.fullmatch(name))


def _sweep_one(lock: Path) -> bool:
    try:
        handle = os.open(lock, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:  # gone, or another user's
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(handle).st_uid != os.geteuid() or _is_alive(lock.name):
            return False
        shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
        if lock.with_suffix("").exists():  # the next sweep tries again
            return False
        lock.unlink(missing_ok=True)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(handle)


def _locked(base: Path) -> tuple[Path, int]:
    """A new lock file, held. A sweep may take one between its making and its locking; then another is made."""
    while True:
        lock = base / f"faceanon-{os.getpid()}-{_start_time(os.getpid())}-{secrets.token_hex(8)}.lock"
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return lock, handle
        os.close(handle)


def _remove(owner: int, folder: Path, lock: Path, handle: int) -> None:
    if os.getpid() != owner:  # a forked child must not clear its parent's files
        return
    shutil.rmtree(folder, ignore_errors=True)
    lock.unlink(missing_ok=True)
    os.close(handle)


def _is_alive(name: str) -> bool:
    match = _NAME.fullmatch(name)
    return match is not None and _start_time(int(match[1])) == int(match[2]) != 0


def _start_time(pid: int) -> int:
    """When a process of this machine started, in ticks since boot; 0 where there is none, or none can be seen."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    return int(status.rpartition(")")[2].split()[19])


def _size(path: Path) -> int:
    """What a file takes; less than its size where it has holes."""
    try:
        status = path.lstat()
        return min(status.st_size, status.st_blocks * 512)
    except FileNotFoundError:
        return 0
