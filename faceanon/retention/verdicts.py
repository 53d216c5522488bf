"""What auditors and reviewers have said of outputs since the runs that made them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from threading import Lock
from typing import Any

from faceanon.core.ids import audit_id
from faceanon.core.ports import Store
from faceanon.core.settings import detectors_used
from faceanon.ledger.commit import read_record
from faceanon.ledger.events import EVENTS
from faceanon.ledger.rows import rows_of
from faceanon.retention.ledger_rows import Row, told_rows

_COLUMNS = ("verdict_id", "name", "output_id", "auditor", "auditor_model_id", "frames_sampled", "decision", "reason", "reviewer", "at")
_ASK_EVERY_S = 60.0


class Verdicts:
    """Verdicts by output. Those of the runs themselves are left out: they are no second opinion."""

    def __init__(self, store: Store) -> None:
        self._store, self._lock = store, Lock()
        self._by_output: dict[str, list[Row]] = {}
        self._seen = set(store.list(f"{EVENTS}verdicts/"))
        for row in told_rows(store, "verdicts", _COLUMNS):
            self._take(row)
        self._asked_s = time.monotonic()

    def of(self, output_id: str) -> list[Row]:
        """Oldest first; news are looked for once a minute."""
        with self._lock:
            if time.monotonic() - self._asked_s > _ASK_EVERY_S:
                for path in sorted(set(self._store.list(f"{EVENTS}verdicts/")) - self._seen):
                    self._seen.add(path)
                    for row in rows_of(read_record(self._store, path))["verdicts"]:
                        self._take(row)
                self._asked_s = time.monotonic()
            return sorted(self._by_output.get(output_id, ()), key=lambda row: row["at"])

    def newest_audit(self, output_id: str) -> datetime | None:
        """When somebody last looked at an output."""
        return max((row["at"] for row in self.of(output_id) if row["auditor"]), default=None)

    def _take(self, row: Mapping[str, Any]) -> None:
        self._by_output.setdefault(row["output_id"] or "", []).append({name: row.get(name) for name in _COLUMNS})


def judged(rows: Sequence[Row], record: Mapping[str, Any]) -> tuple[str, Row | None]:
    """("", the verdict that counts) where an independent auditor has passed the very bytes of a publication and nobody speaks against it; else why not.

    Independent is a detector that the run looked with neither to find faces nor to audit, of weights that the run did not load. Each voice counts by its
    newest word; "unknown" (where faces had been painted was no longer known, so that hits could not be told apart) is none. What auditors failed a reviewer may pass.
    """
    own = [row for row in rows if (row["reviewer"] and row["at"] >= datetime.fromisoformat(record["committed_at"])) or _is_of(row, record)]
    audits = [row for row in own if not row["reviewer"] and is_independent(row, record)]
    if not audits:
        return "no independent auditor has looked at it: run `faceanon audit`", None
    if all(row["decision"] == "unknown" for row in audits):
        return "where it had been painted was no longer known when it was audited: publish it anew, then audit it in time", None
    voices = {row["reviewer"] or row["auditor"]: row for row in own if row["decision"] != "unknown"}
    reviews = [row for row in voices.values() if row["reviewer"] and row["decision"] == "pass"]
    reviewed_at = max((row["at"] for row in reviews), default=None)
    for row in voices.values():
        if row["decision"] != "pass" and (row["reviewer"] or reviewed_at is None or row["at"] > reviewed_at):
            return f"{row['reviewer'] or row['auditor']} said {row['decision']}: {row['reason'] or 'no reason given'}", None
    passed = [row for row in audits if row["decision"] == "pass"] or reviews
    return "", passed[-1]


def is_independent(row: Row, record: Mapping[str, Any]) -> bool:
    looked = set((row["auditor"] or "").split("+")) - {""}
    loaded = {model["model_id"] for model in record["models"]}
    is_other = bool(looked) and looked.isdisjoint(detectors_used(record["run"]["settings_json"])) and row["auditor_model_id"] not in loaded
    return is_other and (row["frames_sampled"] or 0) > 0


def _is_of(row: Row, record: Mapping[str, Any]) -> bool:
    """The id binds a verdict to the bytes that were looked at."""
    at = row["at"].astimezone(UTC).isoformat(timespec="microseconds")
    words = (row["auditor_model_id"] or "", row["frames_sampled"] or 0, row["decision"] or "", at)
    return row["verdict_id"] == audit_id(record["output_id"], record["output"]["sha256"], *words)
