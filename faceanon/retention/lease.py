"""Who may act now: one retention run at a time on one OUT.

    OUT/ledger/retention/lease/<000000000001, ...>.json      each taken by put-if-absent; the newest one counts

Taking, renewing and giving back a lease each write the next number, so of two who saw the same lease expire exactly one gets it. It expires by the
store's clock, after which anybody may take the next; a holder that is certainly dead, on the same machine, need not be waited for. The lease keeps runs from
doing things twice; that nothing wrong is done when a run sleeps past its lease is the state machine's own affair.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from threading import Lock
from typing import Any, Protocol

from faceanon.archive.entries import Entry
from faceanon.core.errors import AlreadyExists, StoreError
from faceanon.core.ports import Store


class LeaseLost(StoreError):
    """Ends a run: another one is at work."""


LEASES = "ledger/retention/lease/"
TTL_S = 900.0


class LeaseStore(Store, Protocol):
    """A Store that also tells ages."""

    def entries(self, prefix: str) -> list[Entry]: ...

    def clock_s(self) -> float: ...


class Lease:
    """`with Lease(...) as lease:` takes it, or raises LeaseLost; `lease.ensure()` before each act renews it in time, or raises LeaseLost where another run has it."""

    def __init__(
        self, store: LeaseStore, run_id: str, holder: dict[str, Any], *, ttl_s: float = TTL_S, is_dead: Callable[[dict[str, Any]], bool] = lambda holder: False
    ) -> None:
        self._store, self._run, self._holder, self._ttl_s, self._is_dead = store, run_id, holder, ttl_s, is_dead
        self._number, self._renewed_s = 0, 0.0
        self._lock = Lock()

    def __enter__(self) -> Lease:
        there = self._store.entries(LEASES)
        newest = max((entry for entry in there if entry.name.endswith(".json")), key=lambda entry: entry.name, default=None)
        if newest is not None:
            self._refuse_if_held(newest)
        self._write(_number(newest.name) + 1 if newest else 1, "held")
        if max(_number(entry.name) for entry in self._store.entries(LEASES)) > self._number:  # what was listed first is long over
            raise LeaseLost("another retention run has taken the lease", source=self._store.uri(LEASES.rstrip("/")))
        for entry in there:  # only the newest one counts
            self._store.delete(entry.name)
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._write(self._number + 1, "free")

    def ensure(self) -> None:
        with self._lock:
            if time.monotonic() - self._renewed_s > self._ttl_s / 3:
                self._write(self._number + 1, "held")

    def _refuse_if_held(self, newest: Entry) -> None:
        try:
            told = json.loads(self._store.read(newest.name))
        except FileNotFoundError:
            raise LeaseLost("another retention run has taken the lease", source=self._store.uri(newest.name)) from None
        left_s = newest.modified_s + float(told["ttl_s"]) - self._store.clock_s()
        if told["state"] == "held" and left_s > 0 and not self._is_dead(told["holder"]):
            until = datetime.fromtimestamp(newest.modified_s + float(told["ttl_s"]), UTC).isoformat(timespec="seconds")
            raise LeaseLost(f"retention run {told['run_id']} is at work here; its lease ends at {until}, unless it renews it", source=self._store.uri(newest.name))

    def _write(self, number: int, state: str) -> None:
        name = f"{LEASES}{number:012d}.json"
        data = {"run_id": self._run, "holder": self._holder, "ttl_s": self._ttl_s, "state": state}
        try:
            self._store.create(name, json.dumps(data, sort_keys=True).encode())
        except AlreadyExists as error:
            raise LeaseLost("another retention run has taken the lease", source=self._store.uri(name)) from error
        self._number, self._renewed_s = number, time.monotonic()


def _number(name: str) -> int:
    return int(name.removeprefix(LEASES).removesuffix(".json"))
