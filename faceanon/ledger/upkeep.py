"""What is done to the tables without changing what they say: many small files become one, and where faces were is forgotten in time.

Both are leaves of the evidence log before they are done, so that whoever verifies it finds rows that went, and knows why.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta

from faceanon.core.ports import Store
from faceanon.ledger import delta, evidence
from faceanon.ledger.boxes import BOXES
from faceanon.ledger.commit import now
from faceanon.ledger.tables import TABLES

EXPIRING = "track_boxes"


def compact(root_uri: str, store: Store, most_files: int) -> list[tuple[str, date]]:
    """Each table's days of more than `most_files` files, written anew in as few as possible; which these were. 0: none."""
    done = []
    for name in TABLES if most_files else ():
        for day, files in delta.files_by_day(root_uri, name).items():
            if day is not None and files > most_files:
                evidence.append(store, [{"kind": "compact", "table": name, "ingest_date": day.isoformat(), "files": files}])
                delta.compact(root_uri, name, day)
                done.append((name, day))
    return done


def expire(root_uri: str, store: Store, keep_days: int, clock: Callable[[], datetime] = now) -> list[date]:
    """Forget the rows of track_boxes, and the objects that they come from, of days more than `keep_days` ago; which days these were."""
    first_kept = clock().astimezone(UTC).date() - timedelta(keep_days)
    objects = {day for name in store.list(BOXES) if (day := _day(name)) is not None}
    there = delta.files_by_day(root_uri, EXPIRING)
    old = sorted(day for day in objects | there.keys() if day is not None and day < first_kept)
    for day in old:
        rows = delta.count(root_uri, EXPIRING, day) if day in there else 0
        evidence.append(store, [{"kind": "expire", "table": EXPIRING, "ingest_date": day.isoformat(), "rows": rows}])
        if day in there:
            delta.drop_day(root_uri, EXPIRING, day)
        store.delete_tree(f"{BOXES}{day}")
    if old:
        delta.vacuum(root_uri, EXPIRING)
    return old


def _day(name: str) -> date | None:
    with suppress(ValueError):
        return date.fromisoformat(name.removeprefix(BOXES).split("/")[0])
    return None
