"""Attempts at a unit: each is written down in the work store before it begins and removed when the unit has answered.

So an attempt that is found there is one whose process died, and nobody has to be alive to count it. It counts against the unit where the
process died and its machine lived on: then the unit may well be what kills it. Where the machine itself is gone (a spot node taken
back, a power cut) it does not count, up to LOST_MACHINES times, since a unit may also be what takes machines down.

    attempts/<run>/<phase>/<unit>.<n>       who tries: machine, process, where its stderr goes
    attempts/<run>/<phase>/<unit>.<n>.why   what that process could still say of its end
"""

from __future__ import annotations

import itertools
import json
import os
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from faceanon.core.errors import AlreadyExists
from faceanon.flow import layout
from faceanon.flow.host import memory_kills, this_process

if TYPE_CHECKING:
    from faceanon.flow.job import Context

LOST_MACHINES = 20  # of one unit in one run, before the unit itself is suspected
UNKNOWN = "its process was killed, or crashed without a word"
_TRACE_BYTES = 16384


@dataclass(frozen=True)
class Attempt:
    """number counts from 1 within the run. given_up: why there is no such attempt any more; "" where it has begun."""

    name: str
    number: int
    given_up: str = ""


def begin(context: Context, phase: str, unit: str) -> Attempt:
    """The next attempt at a unit in this run."""
    died: list[str] = []
    lost = 0
    own = _own(context)
    for number in itertools.count(1):
        name = layout.attempt(context.spec.run.run_id, phase, unit, number)
        given_up = _given_up(died, lost, context.settings.run.max_attempts)
        if given_up:
            return Attempt(name, number, given_up)
        try:
            context.work.create(name, json.dumps(own).encode())
            return Attempt(name, number)
        except AlreadyExists:
            other = _read(context, name)
        if other is None:  # it has answered in between
            continue
        if other.get("token") == own["token"]:  # our own, whose reply was lost
            return Attempt(name, number)
        if context.host.is_lost(str(other.get("node", ""))):
            lost += 1
        else:
            died.append(_ending(context, name, other))
    raise AssertionError("counting does not end")


def end(context: Context, attempt: Attempt) -> None:
    """The unit has answered, well or badly: its process lives."""
    context.work.delete(attempt.name)


def note(context: Context, attempt: Attempt, why: str) -> None:
    """A last word on an attempt whose process is about to end."""
    context.work.replace(_why(attempt.name), why.encode())


def crash_in(trace: str) -> str:
    """What a process that died wrote to stderr about it, as a sentence; "" where it wrote nothing."""
    if "bad_alloc" in trace or "MemoryError" in trace:
        return "its process ran out of memory"
    if re.search(r"^Timeout \(", trace, re.MULTILINE):
        return "exceeded run.unit_limit_s: its process was ended"
    crash = re.search(r"^Fatal Python error: (.+)$", trace, re.MULTILINE)
    return f"its process crashed: {crash[1].strip()}" if crash else ""


def _given_up(died: list[str], lost: int, most: int) -> str:
    if len(died) >= most:
        return f"given up after {len(died)} attempts, each of which ended its worker; the last: {died[-1]}"
    if lost >= LOST_MACHINES:
        return f"given up after {lost} machines were lost while they worked on it"
    return ""


def _own(context: Context) -> dict[str, str | int]:
    trace = _stderr()
    size = os.stat(trace).st_size if trace else 0
    return {
        **this_process(), "node": context.host.node, "worker": context.host.worker, "token": secrets.token_hex(8), "trace": trace, "trace_from": size,
        "memory_kills": memory_kills(),
    }  # fmt: skip


def _stderr() -> str:
    """The file that stderr goes to, "" where it is none: a crash leaves its trace there."""
    try:
        path = os.readlink("/proc/self/fd/2")
    except OSError:
        return ""
    return path if os.path.isfile(path) else ""


def _read(context: Context, name: str) -> dict | None:
    try:
        return json.loads(context.work.read(name) or b"{}")
    except FileNotFoundError:
        return None


def _ending(context: Context, name: str, other: dict) -> str:
    try:
        return context.work.read(_why(name)).decode()
    except FileNotFoundError:
        return context.host.ending_of(str(other.get("worker", ""))) or _seen_from_here(other) or UNKNOWN


def _seen_from_here(other: dict) -> str:
    """What this machine knows of a process that died on it."""
    here = this_process()
    if any(other.get(key) != here[key] for key in ("host", "boot", "pids")):
        return ""
    crash = crash_in(_tail(str(other.get("trace", "")), int(other.get("trace_from", 0))))
    if not crash and memory_kills() > int(other.get("memory_kills", 0)):
        return "its process was killed while the system was out of memory"
    return crash


def _tail(path: str, start: int) -> str:
    try:
        with open(path, "rb") as file:
            file.seek(max(start, os.fstat(file.fileno()).st_size - _TRACE_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def _why(name: str) -> str:
    return f"{name}.why"
