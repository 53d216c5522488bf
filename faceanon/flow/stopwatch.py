"""CPU seconds by stage. Stages nest: the inner one's time is not counted for the outer.

Between stages only the wall clock is read, since asking for CPU time costs up to half a millisecond; the CPU time of the whole is
then shared out in proportion. Threads of decoders and encoders work on beside the others, so neighbouring stages blur a little.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class Stopwatch:
    """Runs from its making on; `rounded` says what each stage took."""

    def __init__(self) -> None:
        self._wall_s: dict[str, float] = {}
        self._open: list[str] = []
        self._since = time.perf_counter()
        self._cpu_began_s = time.process_time()

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
        """Entries as they come, with the time that making them takes counted as stage `name`."""
        iterator = iter(entries)
        while True:
            with self.stage(name):
                try:
                    entry = next(iterator)
                except StopIteration:
                    return
            yield entry

    def rounded(self) -> dict[str, float]:
        """Stage to CPU seconds of this process, all its threads together."""
        cpu_s, wall_s = time.process_time() - self._cpu_began_s, sum(self._wall_s.values())
        return {name: round(value * cpu_s / wall_s, 4) for name, value in sorted(self._wall_s.items())} if wall_s else {}

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
