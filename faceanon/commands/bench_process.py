"""Runs a command and counts what it costs, with all the processes that it starts."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil

_EVERY_S = 0.1


@dataclass(frozen=True)
class Cost:
    """peak_bytes: of the memory that all processes held at one time, a page that several share counted once for each share (PSS)."""

    cpu_s: float
    wall_s: float
    peak_bytes: int
    code: int
    said: str  # the end of what it printed


def measured(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Cost:
    """Processes that outlive their parent (Ray's) are counted as long as they descend from the command; what lives under 0.1 s, by its parent alone."""
    began = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **(environment or {})})
    os.set_blocking(process.stdout.fileno(), False)
    seen: dict[psutil.Process, float] = {}
    said, peak, done = bytearray(), 0, 0
    while not done:
        time.sleep(_EVERY_S)
        peak = max(peak, _look(process.pid, seen))
        said += process.stdout.read() or b""
        done, status, usage = os.wait4(process.pid, os.WNOHANG)
    process.returncode = os.waitstatus_to_exitcode(status)
    said += process.stdout.read() or b""
    process.stdout.close()
    waited_for = usage.ru_utime + usage.ru_stime
    return Cost(max(waited_for, sum(seen.values())), time.monotonic() - began, peak, process.returncode, said[-2000:].decode(errors="replace"))


def _look(pid: int, seen: dict[psutil.Process, float]) -> int:
    """Each living process's CPU seconds so far go into `seen`; the bytes that all hold."""
    total = 0
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for one in family:
        try:
            times = one.cpu_times()
            seen[one] = times.user + times.system
            total += one.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return total
