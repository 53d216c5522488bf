"""Rows that are not a decision about one video: policies, holds, retention events, destroyed keys, verdicts of later audits and reviews.

    OUT/ledger/events/<table>/<digest of the key>.json

`append_rows` makes them durable at once, by put-if-absent under a key of the caller's choice; the next fold takes them into the Delta table.
Who has to act on them before that (an intent, before the deletion) reads them back with `events`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime

from faceanon.core.errors import AlreadyExists
from faceanon.core.ids import digest
from faceanon.core.ports import Store
from faceanon.ledger.commit import now, read_record
from faceanon.ledger.privacy import assert_private
from faceanon.ledger.rows import rows_of
from faceanon.ledger.tables import SCHEMA_VERSION, to_arrow

EVENTS = "ledger/events/"
EVENT_TABLES = ("subject_keys", "policies", "holds", "retention_events", "verdicts")
_READERS = 8


def append_rows(store: Store, table: str, rows: Sequence[dict], *, key: str, clock: Callable[[], datetime] = now) -> bool:
    """Write `rows` of `table` as one record. True where this call made it; False where the key was used before: then what was written first stands.

    key: what the rows are about, such as an event's id; the same event told twice is one record. Columns are those of `tables.TABLES[table]`, without
    record_id and schema_version; moments are datetimes with a zone. Raises ValueError for a wrong column, StoreError for what has no place here.
    """
    if table not in EVENT_TABLES:
        raise ValueError(f"table {table} takes no rows of its own; there are {', '.join(EVENT_TABLES)}")
    record = {"schema_version": SCHEMA_VERSION, "kind": "rows", "table": table, "about": key, "rows": [_plain(row) for row in rows]}
    assert_private(record)
    record["committed_at"] = clock().astimezone(UTC).isoformat(timespec="microseconds")
    to_arrow(table, rows_of({**record, "record_id": ""})[table])  # the columns fit, or it fails now and not in a fold
    path = event_path(table, key)
    data = json.dumps(record, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    try:
        store.create(path, data)
    except AlreadyExists:
        return store.read(path) == data  # our own write, whose answer was lost
    return True


def event_path(table: str, key: str) -> str:
    return f"{EVENTS}{table}/{digest('event', table, key)[:32]}.json"


def event(store: Store, table: str, key: str) -> list[dict]:
    """The rows that were written under a key, with record_id and ingest_date; [] where there are none."""
    try:
        return rows_of(read_record(store, event_path(table, key)))[table]
    except FileNotFoundError:
        return []


def events(store: Store, table: str) -> Iterator[dict]:
    """Every row of `table` that was written so far, folded or not, oldest record first."""
    paths = [p for p in store.list(f"{EVENTS}{table}/") if p.endswith(".json")]
    with ThreadPoolExecutor(_READERS) as readers:
        records = sorted(readers.map(lambda path: read_record(store, path), paths), key=lambda r: (r["committed_at"], r["record_id"]))
    for record in records:
        yield from rows_of(record)[table]


def _plain(row: dict) -> dict:
    return {name: value.isoformat() if isinstance(value, datetime | date) else value for name, value in row.items()}
