"""The reference runner: every step in this process, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from faceanon.flow.driver import STEPS
from faceanon.flow.job import Context
from faceanon.flow.outcome import Row, guarded


class LocalExecutor:
    def __init__(self, context: Context) -> None:
        self._context = context

    def map(self, phase: str, units: Sequence[Row]) -> Iterator[Row]:
        for unit in units:
            yield guarded(STEPS[phase], phase, self._context, unit)
