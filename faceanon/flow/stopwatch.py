"""CPU seconds by stage. Stages nest: the inner one's time is not counted for the outer."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class Stopwatch:
    """`cpu_s` maps a stage to CPU seconds of this process, all its threads together."""

    def __init__(self) -> None:
        self.cpu_s: dict[str, float] = {}
        self._open: list[str] = []
        self._since = time.process_time()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self._turn(name)
        try:
            yield
        finally:
            self._turn(None)

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
        return {name: round(value, 4) for name, value in sorted(self.cpu_s.items())}

    def _turn(self, name: str | None) -> None:
        now = time.process_time()
        if self._open:
            self.cpu_s[self._open[-1]] = self.cpu_s.get(self._open[-1], 0.0) + now - self._since
        self._since = now
        if name is None:
            self._open.pop()
        else:
            self._open.append(name)


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
