"""How a step answers: one row of plain values per unit, whatever happened. Nothing escapes a step but the end of the run.

done       {"kind": "done", ...the step's own keys}
failed     {"kind": "failed", "stage", "reason", ...the unit's own keys}: the video goes to quarantine
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable
from typing import Any

from faceanon.core.errors import AlreadyExists, FaceanonError, StoreUnavailable
from faceanon.flow import layout
from faceanon.flow.job import Context

log = logging.getLogger("faceanon")

RETRY_PAUSES_S = (2, 10, 30)

Row = dict[str, Any]
Step = Callable[[Context, Row], Row]


def guarded(step: Step, phase: str, context: Context, unit: Row) -> Row:
    """Run `step` on `unit`. Errors become rows; a unit whose worker died too often is not tried again in this run."""
    number = _begin(context, phase, unit)
    if number > context.settings.run.max_attempts:
        return failed(unit, phase, f"given up after {number - 1} attempts, each of which ended its worker")
    answer = _answer(step, phase, context, unit)
    context.work.delete(layout.attempt(context.spec.run.run_id, phase, unit["unit_id"], number))  # it ended well or badly, but its worker lives
    return answer


def _answer(step: Step, phase: str, context: Context, unit: Row) -> Row:
    try:
        return {**unit, "kind": "done", **_patiently(step, context, unit)}
    except FaceanonError as error:
        if error.fate == "stop":
            raise
        log.debug("%s", traceback.format_exc())
        return failed(unit, phase, str(error))
    except Exception as error:  # any fault of ours or of a library in one video: that video goes to quarantine, the rest of the archive goes on
        log.error("%s of %s: %s", phase, unit.get("name", ""), traceback.format_exc())
        return failed(unit, phase, f"internal error in {phase}: {type(error).__name__}: {error}")
    finally:
        context.tidy()


def _patiently(step: Step, context: Context, unit: Row) -> Row:
    """A store that does not answer is asked again; then it is this unit's failure, and a later run's work."""
    for pause_s in RETRY_PAUSES_S:
        try:
            return step(context, unit)
        except StoreUnavailable as error:
            log.warning("%s; again in %d s", error, pause_s)
            context.tidy()
            time.sleep(pause_s)
    return step(context, unit)


def failed(unit: Row, stage: str, reason: str) -> Row:
    return {**unit, "kind": "failed", "stage": stage, "reason": reason}


def _begin(context: Context, phase: str, unit: Row) -> int:
    """The number of this attempt at the unit in this run, 1 for the first; kept in the store, since a dead worker counts nothing."""
    number = 1
    while number <= context.settings.run.max_attempts:
        try:
            context.work.create(layout.attempt(context.spec.run.run_id, phase, unit["unit_id"], number), b"")
            break
        except AlreadyExists:
            number += 1
    return number
