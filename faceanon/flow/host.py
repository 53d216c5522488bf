"""What a process knows of the machine it works on, and what it does when a unit goes wrong in a way that no exception tells.

`OneProcess` is the local runner's: nothing dies but the run itself. Ray's is in faceanon.rayflow.host.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from faceanon.core.errors import LimitExceeded


class Host(Protocol):
    """node, worker: ids that no other machine and no other process of the run has."""

    node: str
    worker: str

    def is_lost(self, node: str) -> bool:
        """Whether that machine no longer takes part: what ran there ended with it, whatever it did."""
        ...

    def ending_of(self, worker: str) -> str:
        """Why that process ended, as a sentence; "" where nobody knows."""
        ...

    def limited(self, limit_s: float, note: Callable[[str], None]) -> AbstractContextManager[None]:
        """Ends what is inside after `limit_s`: by LimitExceeded, or, having noted why, together with the process."""
        ...

    def renew(self) -> None:
        """Memory ran out: a fresh start before the next attempt. May not come back."""
        ...


class OneProcess:
    node = worker = ""

    def is_lost(self, node: str) -> bool:
        return False

    def ending_of(self, worker: str) -> str:
        return ""

    @contextmanager
    def limited(self, limit_s: float, note: Callable[[str], None]) -> Iterator[None]:
        """By a timer signal, which only a main thread can take; it interrupts Python, not a library that never returns to it."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(number: int, frame: object) -> None:
            raise LimitExceeded(overtime(limit_s))

        before = signal.signal(signal.SIGALRM, stop)
        signal.setitimer(signal.ITIMER_REAL, limit_s)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    def renew(self) -> None:
        pass


def overtime(limit_s: float) -> str:
    return f"exceeded run.unit_limit_s: not done after {limit_s:g} s"


def this_process() -> dict[str, str | int]:
    """Tells this process from any other, also after a reboot and in containers that share a host name."""
    return {"host": socket.gethostname(), "boot": _line("/proc/sys/kernel/random/boot_id"), "pids": _pid_space(), "pid": os.getpid(), "since": started(os.getpid())}


def is_dead(process: dict) -> bool:
    """Whether a process that `this_process` described is certainly gone. One of another machine never is, as far as can be seen from here."""
    here = this_process()
    return all(process.get(key) == here[key] for key in ("host", "boot", "pids")) and started(int(process.get("pid", 0))) != process.get("since")


def started(pid: int) -> int:
    """When a process of this machine started, in ticks since boot; 0 where there is none."""
    words = _line(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return int(words[19]) if len(words) > 19 and words[0] != "Z" else 0


def memory_kills() -> int:
    """How often the system has killed a process to get memory, since boot."""
    counts = dict(line.split(" ", 1) for line in _text("/proc/vmstat").splitlines() if " " in line)
    return int(counts.get("oom_kill", 0))


def _pid_space() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _line(path: str) -> str:
    return _text(path).strip()


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
