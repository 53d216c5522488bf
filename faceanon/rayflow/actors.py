"""A worker: one Context, so that models are loaded once, and one phase's step."""

from __future__ import annotations

import json
from typing import Any

from faceanon.core.errors import FaceanonError, StoreUnavailable
from faceanon.core.memory import keep_freed_blocks
from faceanon.flow.driver import STEPS
from faceanon.flow.job import Context, JobSpec, Loader
from faceanon.flow.outcome import guarded
from faceanon.rayflow.host import RayWorker


class StepActor:
    """Callable for Ray Data: a batch of units as JSON in, as many answers as JSON out."""

    def __init__(self, spec: str, phase: str, loader: Loader) -> None:
        keep_freed_blocks()
        self._context = Context(JobSpec.from_row(spec), loader, RayWorker())
        self._phase = phase

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        return {"row": [json.dumps(self._answer(json.loads(unit))) for unit in batch["unit"]]}

    def _answer(self, unit: dict) -> dict:
        try:
            return guarded(STEPS[self._phase], self._phase, self._context, unit)
        except FaceanonError as error:  # one that stops the run: it travels as a row, since what escapes a task is retried without end
            away = isinstance(error, StoreUnavailable)
            return {**unit, "kind": "stop", "reason": error.reason, "source": error.source, "exit_code": error.exit_code, "away": away}

    def __del__(self) -> None:
        self._context.close()
