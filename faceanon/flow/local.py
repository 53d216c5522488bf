"""The reference runner: every step in this process, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from faceanon.flow.driver import STEPS
from faceanon.flow.job import Context
from faceanon.flow.kept import Keeper
from faceanon.flow.outcome import Row, guarded


class LocalExecutor:
    def __init__(self, context: Context) -> None:
        self._context = context
        context.kept = Keeper(context.settings.run.kept_pictures_mb * 1_000_000)

    def map(self, phase: str, units: Sequence[Row]) -> Iterator[Row]:
        for unit in units:
            yield guarded(STEPS[phase], phase, self._context, unit)
