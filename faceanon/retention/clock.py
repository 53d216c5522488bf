"""The time of the store, which is what ages are counted by; a machine's own clock is only compared with it.

Asked once in a while and carried on in between by a clock that nobody can set. A difference of more than five minutes between the machine and a
store, between two stores, or a store that is behind the newest event that was written down, is refused: then somebody's clock is wrong, and ages with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Lock

from faceanon.core.errors import StoreError


class ClockRefused(StoreError):
    """Ends a run: no age can be told."""


MOST_SKEW = timedelta(minutes=5)
_ROUNDING = timedelta(seconds=2)  # stores tell the time to the second
_ASK_EVERY_S = 300.0


class StoreClock:
    """ask: the store's time, in seconds since 1970. newest: when the newest event was written, by this clock."""

    def __init__(
        self,
        ask: Callable[[], float],
        newest: datetime | None = None,
        *,
        local: Callable[[], datetime] = lambda: datetime.now(UTC),
        steady_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask, self._local, self._steady_s = ask, local, steady_s
        self._lock = Lock()
        self._told, self._told_s = self._asked(), steady_s()
        if newest is not None and self._told < newest - _ROUNDING:
            raise ClockRefused(f"the store says it is {_short(self._told)}, before the newest event of the ledger ({_short(newest)}): its clock was set back")

    def now(self) -> datetime:
        """Raises ClockRefused on skew."""
        with self._lock:
            passed_s = self._steady_s() - self._told_s
            if passed_s > _ASK_EVERY_S:
                before = self._told + timedelta(seconds=passed_s)
                self._told, self._told_s = self._asked(), self._steady_s()
                passed_s = 0.0
                if abs(self._told - before) > MOST_SKEW:
                    raise ClockRefused(f"the store's clock jumped from {_short(before)} to {_short(self._told)} while this ran")
            return self._told + timedelta(seconds=passed_s)

    def local(self) -> datetime:
        return self._local()

    def agree(self, other: datetime, whose: str) -> None:
        """Raises ClockRefused where another store's time differs."""
        if abs(other - self.now()) > MOST_SKEW:
            raise ClockRefused(f"says it is {_short(other)}, the ledger's store {_short(self.now())}: no age can be told", source=whose)

    def _asked(self) -> datetime:
        told, local = datetime.fromtimestamp(self._ask(), UTC), self._local()
        if abs(told - local) > MOST_SKEW:
            raise ClockRefused(f"the store says it is {_short(told)}, this machine {_short(local)}: one of the two clocks is wrong, so no age can be told")
        return told


def _short(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")
