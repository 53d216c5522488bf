"""CPU seconds by stage. Stages nest: the inner one's time is not counted for the outer.

Between stages only the wall clock is read, since asking for CPU time costs up to half a millisecond; the CPU time of the whole is
then shared out in proportion. Threads of encoders work on beside the others, so neighbouring stages blur a little. Processes that read for
this one count too: to the stage that goes through their pictures, however far ahead they are, and else to whoever waits for their answer.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from faceanon.media import guarded

T = TypeVar("T")


def cpu_spent_s() -> float:
    """CPU seconds of this process so far, all its threads and those who read for it."""
    return time.process_time() + guarded.child_cpu_s()


class Stopwatch:
    """Runs from its making on; `rounded` says what each stage took."""

    def __init__(self) -> None:
        self._wall_s: dict[str, float] = {}
        self._readers_s: dict[str, float] = {}
        self._open: list[str] = []
        self._since = time.perf_counter()
        self._cpu_began_s = cpu_spent_s()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self._turn()
        self._open.append(name)
        try:
            yield
        finally:
            self._turn()
            self._open.pop()

    def each(self, name: str, entries: Iterable[T]) -> Iterator[T]:
        """Entries as they come, with the time that making them takes counted as stage `name`, and all that readers spend until the last."""
        iterator, began_s = iter(entries), guarded.child_cpu_s()
        try:
            while True:
                with self.stage(name):
                    try:
                        entry = next(iterator)
                    except StopIteration:
                        return
                yield entry
        finally:
            self._readers_s[name] = self._readers_s.get(name, 0.0) + guarded.child_cpu_s() - began_s

    def rounded(self) -> dict[str, float]:
        """Stage to CPU seconds of this process and those who read for it, all their threads together."""
        cpu_s, wall_s = cpu_spent_s() - self._cpu_began_s - sum(self._readers_s.values()), sum(self._wall_s.values())
        return {name: round(value * cpu_s / wall_s + self._readers_s.get(name, 0.0), 4) for name, value in sorted(self._wall_s.items())} if wall_s else {}

    def _turn(self) -> None:
        now = time.perf_counter()
        if self._open:
            self._wall_s[self._open[-1]] = self._wall_s.get(self._open[-1], 0.0) + now - self._since
        self._since = now


class Timed:
    """Any model behind a port, with the CPU time of one of its methods counted as a stage."""

    def __init__(self, inner: object, method: str, watch: Stopwatch, stage: str) -> None:
        self._inner, self._method, self._watch, self._stage = inner, method, watch, stage

    def __getattr__(self, name: str):
        value = getattr(self._inner, name)
        if name != self._method:
            return value

        def timed(*args, **kwargs):
            with self._watch.stage(self._stage):
                return value(*args, **kwargs)

        return timed


def timed(inner, method: str, watch: Stopwatch, stage: str):
    """`inner` timed, or None where there is none."""
    return None if inner is None else Timed(inner, method, watch, stage)
