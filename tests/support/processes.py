"""Which processes of ours are alive, as /proc tells it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path


def children(pid: int) -> list[int]:
    """Direct children of a process; none where it is gone."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, task.read_text().split())
        except OSError:
            continue
    return found


def keepers(pid: int) -> list[int]:
    """The processes that fork the readers of foreign media for `pid`."""
    return [child for child in children(pid) if "faceanon.media.keeper" in _command(child)]


def parsers(pid: int) -> list[int]:
    """The readers themselves."""
    return [parser for keeper in keepers(pid) for parser in children(keeper)]


def is_alive(pid: int) -> bool:
    """False for what is gone, and for what only waits to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def eventually(holds: Callable[[], bool], patience_s: float = 15.0) -> bool:
    until = time.monotonic() + patience_s
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
