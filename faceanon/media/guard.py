"""Requests to parsers, from the side that asks: start one, read its answers with an eye on the clock, say in words how it ended.

A `Call` is one request. Its parser runs in a process of its own, forked by this process's keeper. One that crashes, is killed, hits a
limit or does nothing for too long becomes an error of its source; the next call gets a new parser, and a new keeper if that died too.
Nothing of a parser is left when its call is closed, or when this process is gone.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import itertools
import json
import logging
import mmap
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from numpy.typing import NDArray

from faceanon.core import errors
from faceanon.core.errors import FaceanonError, LimitExceeded, SourceError, SourceUnreadable
from faceanon.core.settings import RunSettings
from faceanon.media import wire
from faceanon.media.ring import PAGE_BYTES, make_memory
from faceanon.media.sandbox import Limits

log = logging.getLogger("faceanon")

_LOOK_S = 0.5  # how often a silent parser's progress is looked at
_END_S = 10.0  # for a killed process to be gone
_CPUCLOCK_SCHED = 2
_KILLED = "the process that read it was killed, as happens when the machine's memory runs out"
# Nothing else of this process's environment reaches a parser: no credentials.
_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR", "SVT_LOG")
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "8", "PYTHONDONTWRITEBYTECODE": "1"}
_START = "import sys, json; sys.path[:] = json.loads(sys.argv[2]); from faceanon.media.keeper import main; main(int(sys.argv[1]))"


def limits_of(run: RunSettings) -> Limits:
    return Limits(int(run.media_memory_gb * (1 << 30)), run.media_cpu_s, int(run.scratch_gb * 1e9), run.media_stall_s)


class _Keeper:
    """This process's handle on its keeper."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = {**{name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}, **_ONE_THREAD}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START, str(theirs.fileno()), json.dumps([entry or os.getcwd() for entry in sys.path])],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=environment,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # a Ctrl-C in the terminal is for the process that asks
            )
        self.spent_s = 0.0  # CPU of the keeper itself, as last seen

    def begin(self, number: int, limits: Limits, mapped_bytes: int, handles: Sequence[int]) -> None:
        """Raises OSError where the keeper is gone."""
        command = {"begin": number, "limits": dataclasses.asdict(limits), "mapped": mapped_bytes}
        socket.send_fds(self._control, [json.dumps(command).encode()], handles)

    def kill(self, number: int) -> None:
        with contextlib.suppress(OSError):  # a keeper that is gone took its parsers along
            self._control.send(json.dumps({"kill": number}).encode())

    def cpu_s(self) -> float:
        self.spent_s = _cpu_of(self._process.pid, self.spent_s)
        return self.spent_s

    def stop(self) -> None:
        """It ends, with all its parsers, when its socket is closed."""
        self._control.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class _House:
    """One keeper a process, made when first needed; and the account of what parsers cost."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._keeper: _Keeper | None = None
        self._numbers = itertools.count()
        self._alive: dict[int, Call] = {}
        self._spent_s = 0.0  # of parsers and keepers that are gone
        self._level = ""

    def begin(self, call: Call, limits: Limits, mapped_bytes: int, handles: Sequence[int]) -> tuple[_Keeper, int]:
        with self._lock:
            number = next(self._numbers)
            try:
                keeper = self._current()
                keeper.begin(number, limits, mapped_bytes, handles)
            except OSError:  # it died since the last call
                self.stop()
                keeper = self._current()
                keeper.begin(number, limits, mapped_bytes, handles)
            self._alive[number] = call
            return keeper, number

    def _current(self) -> _Keeper:
        if self._keeper is not None and self._keeper.owner != os.getpid():
            self._keeper, self._alive, self._spent_s = None, {}, 0.0  # this process was forked; the keeper is its parent's
        if self._keeper is None:
            self._keeper = _Keeper()
        return self._keeper

    def ended(self, number: int, cpu_s: float) -> None:
        with self._lock:
            if self._alive.pop(number, None) is not None:
                self._spent_s += cpu_s

    def cpu_s(self) -> float:
        with self._lock:
            calls = tuple(self._alive.values())  # a call that the collector drops meanwhile ends in this very thread, lock or no lock
            return self._spent_s + (self._keeper.cpu_s() if self._keeper else 0.0) + sum(call.cpu_s() for call in calls)

    def note_level(self, words: Sequence[str]) -> None:
        with self._lock:
            if not self._level:
                self._level = ", ".join(words)
                walled = any(word.startswith("Landlock") for word in words)
                log.log(logging.INFO if walled else logging.WARNING, "videos are read by processes of their own, confined by: %s", self._level)

    def level(self) -> str:
        return self._level

    def stop(self) -> None:
        with self._lock:
            if self._keeper is not None and self._keeper.owner == os.getpid():
                self._spent_s += self._keeper.cpu_s()
                self._keeper.stop()
            self._keeper = None


HOUSE = _House()
atexit.register(HOUSE.stop)


class Call:
    """One request to one parser, about `source`. Close it; also closed by being dropped."""

    def __init__(
        self,
        task: str,
        arguments: Mapping[str, Any],
        source: Path,
        limits: Limits,
        *,
        readable: Sequence[Path] = (),
        folder: Path | None = None,
        ring_bytes: int = 0,
        patient: bool = False,
    ) -> None:
        """patient: bytes that it reads and writes count as progress too."""
        self._source, self._limits, self._patient = source, limits, patient
        self._pid, self._cpu_s, self._status, self._killed_for = 0, 0.0, 0, ""
        self.closed = False
        handle = make_memory(ring_bytes)
        try:
            self.memory = mmap.mmap(handle, 0)
            self._channel, theirs = socket.socketpair()
            self._fate, keepers = socket.socketpair()
            with theirs, keepers:
                self._keeper, self._number = HOUSE.begin(self, limits, PAGE_BYTES + ring_bytes, [theirs.fileno(), keepers.fileno(), handle])
        finally:
            os.close(handle)
        self._read: wire.Read = wire.Buffered(self._channel, self._look)
        self._fate.settimeout(_END_S)
        self._counter = memoryview(self.memory)[:8].cast("q")
        self._seen: tuple[int, ...] = ()
        self._since = time.monotonic()
        paths = [_absolute(source), *map(_absolute, readable)]
        try:
            self._ask({"task": task, "arguments": arguments, "read": paths, "folder": str(folder) if folder else None})
            ready = self._message()[0].get("ready")
            self._pid = int(ready["pid"])
            HOUSE.note_level([str(word) for word in ready["level"]])
        except BaseException as error:
            self.close()
            if isinstance(error, KeyError | TypeError | ValueError):
                self.nonsense(error)
            raise

    def answer(self) -> tuple[dict[str, Any], list[NDArray]]:
        """The next message. Raises the error that the parser tells, or that its end amounts to."""
        return self._message()

    def send(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # it ended, or is being killed; the next answer says how
            self._channel.sendall(data)

    def close(self) -> None:
        """Ends the parser, if it has not ended, and waits until it is gone."""
        if self.closed:
            return
        self.closed = True
        self._keeper.kill(self._number)
        self._channel.close()
        self._read = _nobody  # and no circle of references keeps the memory
        self._counter.release()
        with contextlib.suppress(BufferError):  # pictures are still held; it goes with the last of them
            self.memory.close()
        self._bury()

    def cpu_s(self) -> float:
        """So far."""
        if not self.closed and self._pid:
            self._cpu_s = _cpu_of(self._pid, self._cpu_s)
        return self._cpu_s

    def _ask(self, request: dict[str, Any]) -> None:
        wire.set_patience(self._channel, self._limits.stall_s)
        try:
            wire.send(self._channel, request)
        except (ConnectionError, BlockingIOError):
            self._died()
        wire.set_patience(self._channel, min(_LOOK_S, self._limits.stall_s / 4))

    def _message(self) -> tuple[dict[str, Any], list[NDArray]]:
        self._since = time.monotonic()
        try:
            value, arrays = wire.receive(self._read)
        except (EOFError, ConnectionError):
            self._died()
        except wire.Garbled as error:
            self.nonsense(error)
        if "error" in value:
            self.close()
            raise self._told(value["error"])
        return value, arrays

    def _look(self) -> None:
        """Kills a parser that has stood still for too long; its end is then read from the channel."""
        if self._killed_for and time.monotonic() - self._since > self._limits.stall_s + _END_S:
            raise EOFError
        progress = (self._counter[0], *(_bytes_moved(self._pid) if self._patient else ()))
        if progress != self._seen:
            self._seen, self._since = progress, time.monotonic()
        elif not self._killed_for and time.monotonic() - self._since > self._limits.stall_s:
            self._killed_for = f"nothing came of it for {self._limits.stall_s:g} s (run.media_stall_s)"
            self._keeper.kill(self._number)

    def _bury(self) -> None:
        """Waits for the end and notes what it cost."""
        try:
            with self._fate:
                data = self._fate.recv(4096)
            fate = json.loads(data or '{"status": 9}')  # the keeper died, and the parser with it
            self._status, self._cpu_s = int(fate["status"]), float(fate.get("cpu_s", self._cpu_s))
        except (OSError, ValueError, KeyError):
            self._status = signal.SIGKILL
        HOUSE.ended(self._number, self._cpu_s)

    def _died(self) -> NoReturn:
        """The parser closed its end of the channel without an answer."""
        self.close()
        raise self._error_of_end() from MemoryError(_KILLED) if self._was_killed() else None

    def _was_killed(self) -> bool:
        """By neither us nor a limit: no file can do that, but the system does where memory runs out."""
        return not self._killed_for and os.WIFSIGNALED(self._status) and os.WTERMSIG(self._status) == signal.SIGKILL

    def _error_of_end(self) -> SourceError:
        source = str(self._source)
        if self._killed_for:
            return SourceUnreadable(f"reading it was given up: {self._killed_for}", source=source)
        number = os.WTERMSIG(self._status) if os.WIFSIGNALED(self._status) else 0
        if number == signal.SIGXCPU:
            return LimitExceeded(f"reading it takes more than {self._limits.cpu_s:g} CPU seconds (run.media_cpu_s)", source=source)
        if self._was_killed():
            return SourceUnreadable(_KILLED, source=source)
        how = f"by {signal.Signals(number).name}" if number else f"with status {self._status}"
        return SourceUnreadable(f"the process that read it crashed {how}", source=source)

    def _told(self, error: Any) -> Exception:
        """The parser's own words as one of our errors; only leaves that it may raise are believed."""
        if not isinstance(error, dict):
            return SourceUnreadable("the process that read it answered nonsense", source=str(self._source))
        kind, reason, named = str(error.get("kind")), str(error.get("reason", "")), str(error.get("source", ""))
        source = str(self._source) if named in ("", _absolute(self._source)) else named
        leaf = getattr(errors, kind, None)
        if isinstance(leaf, type) and issubclass(leaf, FaceanonError) and leaf.fate == "quarantine":
            return leaf(reason, source=source)
        if kind == "memory":
            return LimitExceeded(f"reading it takes more than {self._limits.memory_bytes / (1 << 30):g} GiB of memory (run.media_memory_gb)", source=source)
        if kind == "file size":
            return LimitExceeded(f"its output is larger than {self._limits.file_bytes} bytes (run.scratch_gb)", source=source)
        if kind == "OSError" and isinstance(error.get("errno"), int):
            return OSError(error["errno"], reason, source)
        log.warning("%s: %s", source, error.get("trace", reason))
        return SourceUnreadable(f"cannot be taken apart: {reason}", source=source)

    def nonsense(self, error: BaseException) -> NoReturn:
        """For an answer that is not what was asked for."""
        self.close()
        raise SourceUnreadable(f"the process that read it answered nonsense: {error}", source=str(self._source)) from error

    def __enter__(self) -> Call:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _nobody(_: memoryview) -> None:
    """Reads from a closed call."""
    raise EOFError


def _cpu_of(pid: int, before_s: float) -> float:
    """CPU seconds of a process; what was known before where it is gone. The clock's number is made as in clock_getcpuclockid(3)."""
    try:
        return time.clock_gettime(~pid << 3 | _CPUCLOCK_SCHED)
    except OSError:
        return before_s


def _bytes_moved(pid: int) -> tuple[int, ...]:
    """Read and written by a process so far."""
    try:
        lines = Path(f"/proc/{pid}/io").read_text(encoding="ascii").splitlines()
    except OSError:
        return ()
    return tuple(int(line.split()[1]) for line in lines[:2])


def _absolute(path: Path) -> str:
    return os.path.abspath(path)
