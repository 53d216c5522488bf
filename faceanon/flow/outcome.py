"""How a step answers: one row of plain values per unit, whatever happened. Nothing escapes a step but the end of the run.

done       {"kind": "done", ...the step's own keys}
failed     {"kind": "failed", "stage", "reason", ...the unit's own keys}: the video goes to quarantine
vanished   {"kind": "vanished", ...}: another run has cleared this video's folder in the work store meanwhile; the driver looks again

What is no video's fault never quarantines one. A store that stays away, or a disk that is full, ends the run (exit 1) and the same command
takes it up: the next unit would meet the same, and a quarantine could not be written down anyway. Memory that runs out ends the attempt.
"""

from __future__ import annotations

import errno
import logging
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from faceanon.core.errors import FaceanonError, StoreUnavailable
from faceanon.flow import attempts
from faceanon.flow.attempts import Attempt
from faceanon.flow.job import Context

log = logging.getLogger("faceanon")

RETRY_PAUSES_S = (2, 10, 30)
LIMIT_FOR_S = 60.0  # seconds of video that run.unit_limit_s is meant for; longer units get more in proportion
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

Row = dict[str, Any]
Step = Callable[[Context, Row], Row]


def guarded(step: Step, phase: str, context: Context, unit: Row) -> Row:
    """Run `step` on `unit`. Errors become rows; a unit whose worker died too often is not tried again in this run."""
    while True:
        attempt = attempts.begin(context, phase, unit["unit_id"])
        if attempt.given_up:
            return failed(unit, phase, attempt.given_up)
        context.attempt = attempt.number
        try:
            answer = _answer(step, phase, context, unit, attempt)
        except MemoryError as error:
            log.error("%s of %s ran out of memory: %s", phase, unit.get("name", ""), error)
            attempts.note(context, attempt, f"ran out of memory{f' ({error})' if str(error) else ''}")
            context.renew()
            continue
        attempts.end(context, attempt)  # well or badly, but its worker lives
        return answer


def failed(unit: Row, stage: str, reason: str) -> Row:
    return {**unit, "kind": "failed", "stage": stage, "reason": reason}


def limit_s(context: Context, unit: Row) -> float:
    """How long one try at a unit may take. unit: "seconds" of video where known."""
    return context.settings.run.unit_limit_s * max(1.0, unit.get("seconds", 0.0) / LIMIT_FOR_S)


def _answer(step: Step, phase: str, context: Context, unit: Row, attempt: Attempt) -> Row:
    try:
        return {**unit, "kind": "done", **_patiently(step, context, unit, attempt)}
    except FaceanonError as error:
        _check_machine(error)
        if error.fate != "quarantine":
            raise
        log.debug("%s", traceback.format_exc())
        return failed(unit, phase, str(error))
    except FileNotFoundError as error:
        log.warning("%s of %s: %s", phase, unit.get("name", ""), error)
        return {**failed(unit, phase, f"half-made work vanished: {error}"), "kind": "vanished"}
    except Exception as error:  # any fault of ours or of a library in one video: that video goes to quarantine, the rest of the archive goes on
        _check_machine(error)
        log.error("%s of %s: %s", phase, unit.get("name", ""), traceback.format_exc())
        return failed(unit, phase, f"internal error in {phase}: {type(error).__name__}: {error}")
    finally:
        context.tidy()


def _patiently(step: Step, context: Context, unit: Row, attempt: Attempt) -> Row:
    """A store that does not answer is asked again, for most of a minute."""
    for pause_s in (*RETRY_PAUSES_S, None):
        try:
            with context.host.limited(limit_s(context, unit), lambda why: attempts.note(context, attempt, why)):
                return step(context, unit)
        except StoreUnavailable as error:
            if pause_s is None:
                raise
            log.warning("%s; again in %d s", error, pause_s)
            context.tidy()
            time.sleep(pause_s)
    raise AssertionError("the last try returns or raises")


def _check_machine(error: Exception) -> None:
    """Raises what an error really is where the machine is behind it, however a library has wrapped it."""
    for cause in _chain(error):
        number = getattr(cause, "errno", None)
        if isinstance(cause, MemoryError) or number == errno.ENOMEM or any(word in str(cause) for word in ("bad_alloc", "Insufficient memory")):
            raise MemoryError(str(error)) from error
        if number in _FULL and not isinstance(error, StoreUnavailable):
            raise StoreUnavailable(f"no room for half-made files ({cause}); scratch is run.scratch_dir, else the system's temporary folder") from error


def _chain(error: BaseException) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
