"""What retention runs wrote down: events, the state of an object that they amount to, and the one way to write another.

    intent -> verified -> deleted | moved                 the act lies between the last two
    intent [-> verified] -> cancelled | missing           something came between; a later intent begins again, with its own grace
    blocked                                               it is due, and a gate does not open; once for each gate and reason
    missing                                               nobody here removed it
    run                                                   a run came to its end

An event's id is the digest of the rule's wording, the object, its version, the phase and the attempt: told twice, it is one event. Attempts count
how often an object's story has ended; an original that comes back from a backup begins its next one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from faceanon.core.ids import digest
from faceanon.core.ports import Store
from faceanon.ledger.events import append_rows
from faceanon.retention.clock import StoreClock
from faceanon.retention.ledger_rows import Row, told_rows

ENDS = ("deleted", "moved", "cancelled", "missing")
_COLUMNS = ("event_id", "uri", "version_id", "phase", "decision", "reason", "evidence_json", "at")


@dataclass
class Past:
    """ends: how each attempt at an object ended, oldest first. intent, verified: of the attempt that is open. told: ids of events that need no second telling."""

    ends: list[Row] = field(default_factory=list)
    intent: Row | None = None
    verified: Row | None = None
    told: set[str] = field(default_factory=set)

    @property
    def attempt(self) -> int:
        return len(self.ends) + 1

    @property
    def removed(self) -> bool:
        """Whether it is gone because a run here took it away."""
        return bool(self.ends) and self.ends[-1]["phase"] in ("deleted", "moved")


@dataclass
class History:
    """pasts: by (uri, version). newest: when the newest event was written."""

    pasts: dict[tuple[str, str], Past]
    newest: datetime | None
    last_success: datetime | None

    def of(self, uri: str, version_id: str) -> Past:
        return self.pasts.get((uri, version_id)) or Past()

    def at(self, uri: str) -> dict[str, Past]:
        """Every version of an address that was ever acted on."""
        return {version: self.pasts[place, version] for place, version in self._by_uri.get(uri, ())}

    def __post_init__(self) -> None:
        self._by_uri: dict[str, list[tuple[str, str]]] = {}
        for key in self.pasts:
            self._by_uri.setdefault(key[0], []).append(key)


def read(store: Store) -> History:
    return from_rows(told_rows(store, "retention_events", _COLUMNS))


def from_rows(rows: Iterable[Row]) -> History:
    by_object: dict[tuple[str, str], list[Row]] = {}
    newest = last_success = None
    for row in rows:
        newest = max(newest or row["at"], row["at"])
        if row["phase"] == "run":
            last_success = max(last_success or row["at"], row["at"]) if row["decision"] == "done" else last_success
        else:
            by_object.setdefault((row["uri"], row["version_id"] or ""), []).append(row)
    return History({key: _past(some) for key, some in by_object.items()}, newest, last_success)


def _past(rows: list[Row]) -> Past:
    past = Past(told={row["event_id"] for row in rows if row["phase"] in ("blocked", "missing")})
    by_attempt: dict[int, dict[str, Row]] = {}
    for row in rows:
        if row["phase"] != "blocked":
            by_attempt.setdefault(facts(row).get("attempt", 1), {})[row["phase"]] = row
    for _, phases in sorted(by_attempt.items()):
        end = next((phases[phase] for phase in ENDS if phase in phases), None)
        if end is not None:
            past.ends.append(end)
            past.intent = past.verified = None
        else:
            past.intent, past.verified = phases.get("intent"), phases.get("verified")
    return past


def facts(row: Row) -> dict[str, Any]:
    return json.loads(row["evidence_json"] or "{}")


@dataclass
class Scribe:
    """Writes events of one run. Each is durable when `write` returns."""

    store: Store
    clock: StoreClock
    run_id: str

    def write(
        self, phase: str, *, uri: str = "", version_id: str = "", name: str = "", video_id: str = "", policies: Iterable[str] = (), rule: str = "",
        decision: str = "", reason: str = "", attempt: int = 1, evidence: dict[str, Any] | None = None,
    ) -> Row:  # fmt: skip
        """The event as it stands: where it was told before, the first telling stands and this one is not read by anybody."""
        at, local = self.clock.now(), self.clock.local()
        row: Row = {
            "event_id": event_id(rule, uri, version_id, phase, attempt, decision, reason, self.run_id),
            "retention_run_id": self.run_id, "video_id": video_id or None, "name": name or None, "uri": uri, "version_id": version_id,
            "policy_id": ", ".join(policies) or None, "phase": phase, "decision": decision or None, "reason": reason or None,
            "evidence_json": json.dumps({"attempt": attempt, "rule": rule, **(evidence or {})}, sort_keys=True),
            "clock_local": local, "clock_store": at, "at": at,
        }  # fmt: skip
        append_rows(self.store, "retention_events", [row], key=row["event_id"], clock=lambda: at)
        return row


def event_id(rule: str, uri: str, version_id: str, phase: str, attempt: int, decision: str = "", reason: str = "", run_id: str = "") -> str:
    """Of an attempt's steps by attempt; of what blocks an object by what it is; of a run's end by the run."""
    if phase == "blocked":
        return digest("retention-event", rule, uri, version_id, phase, decision, reason)
    if phase == "run":
        return digest("retention-event", phase, run_id)
    return digest("retention-event", uri, version_id, phase, attempt) if phase in ENDS else digest("retention-event", rule, uri, version_id, phase, attempt)
