"""Holds: what must not go, whatever a policy says, until somebody releases it. Two rows of the ledger each: placed, released.

A selector is one word and a value: collection:NAME, prefix:ADDRESS, tag:WORD, name:NAME (below OUT/videos) or uri:ADDRESS.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from faceanon.archive import uri as uris
from faceanon.core.errors import UsageError
from faceanon.core.ports import Store
from faceanon.ledger.commit import read_record
from faceanon.ledger.events import EVENTS, append_rows, events
from faceanon.ledger.rows import rows_of
from faceanon.ledger.runinfo import new_run_id
from faceanon.retention.policy import Subject, below

_ASK_EVERY_S = 5.0
WORDS = ("collection", "prefix", "tag", "name", "uri")


@dataclass(frozen=True)
class Hold:
    hold_id: str
    selector: str
    case_ref: str
    placed_by: str
    placed_at: datetime
    review_at: datetime | None = None

    def fits(self, subject: Subject) -> bool:
        word, _, value = self.selector.partition(":")
        return {
            "collection": value == subject.collection,
            "prefix": below(subject.uri, value),
            "tag": value in subject.tags,
            "name": value == subject.name,
            "uri": value == subject.uri,
        }.get(word, True)  # a word of a later version: in doubt it holds


def selector(text: str) -> str:
    """A selector as it is stored. Raises UsageError."""
    word, _, value = text.partition(":")
    if word not in WORDS or not value:
        raise UsageError(f"a hold is on {', '.join(f'{w}:VALUE' for w in WORDS)}: got {text!r}")
    return f"{word}:{uris.parse(value)}" if word in ("prefix", "uri") else text


def place(store: Store, chosen: str, *, case_ref: str, by: str, now: datetime, review_at: datetime | None = None, reason: str = "") -> Hold:
    """Durable when it returns; a run that goes on sees it before its next deletion."""
    hold = Hold(new_run_id(), selector(chosen), case_ref, by, now, review_at)
    append_rows(store, "holds", [_row(hold) | {"reason": reason}], key=hold.hold_id)
    return hold


def release(store: Store, hold_id: str, *, by: str, now: datetime, reason: str = "") -> Hold:
    """Raises UsageError where there is no such hold, or it was released before."""
    hold = next((h for h in active(store) if h.hold_id == hold_id), None)
    if hold is None:
        raise UsageError(f"no hold {hold_id} is in force; `faceanon retention report` lists them")
    append_rows(store, "holds", [_row(hold) | {"released_by": by, "released_at": now, "reason": reason}], key=f"{hold_id} released")
    return hold


def active(store: Store) -> list[Hold]:
    """Holds in force, oldest first."""
    return _in_force(list(events(store, "holds")))


class Holds:
    """Holds in force; what was read once is not read again."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rows: dict[str, list[dict[str, Any]]] = {}
        self._known: list[Hold] = []
        self._asked_s = -math.inf

    def on(self, subjects: Sequence[Subject], *, now: bool = True) -> Hold | None:
        """The oldest hold that fits an original under any of its names. now: as of this moment, else of the last seconds. Raises StoreUnavailable."""
        if now or time.monotonic() - self._asked_s > _ASK_EVERY_S:
            self._known, self._asked_s = self.active(), time.monotonic()
        return next((hold for hold in self._known if any(hold.fits(subject) for subject in subjects)), None)

    def active(self) -> list[Hold]:
        """Oldest first."""
        names = [name for name in self._store.list(f"{EVENTS}holds/") if name.endswith(".json")]
        for name in names:
            if name not in self._rows:
                self._rows[name] = rows_of(read_record(self._store, name))["holds"]
        return _in_force([row for name in names for row in self._rows[name]])


def _in_force(rows: list[dict[str, Any]]) -> list[Hold]:
    released = {row["hold_id"] for row in rows if row.get("released_at")}
    placed = {row["hold_id"]: row for row in rows if not row.get("released_at") and row["hold_id"] not in released}
    held = [Hold(i, row["selector"], row.get("case_ref") or "", row["placed_by"], row["placed_at"], row.get("review_at")) for i, row in placed.items()]
    return sorted(held, key=lambda hold: (hold.placed_at, hold.hold_id))


def _row(hold: Hold) -> dict[str, Any]:
    return {
        "hold_id": hold.hold_id, "selector": hold.selector, "case_ref": hold.case_ref, "placed_by": hold.placed_by,
        "placed_at": hold.placed_at, "review_at": hold.review_at,
    }  # fmt: skip
