"""Rows of a table that takes rows of its own, whether a fold has taken them or not: the table in one question, and one by one what it lacks."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from faceanon.core.ports import Store
from faceanon.ledger.commit import read_record, record_id
from faceanon.ledger.events import EVENTS
from faceanon.ledger.query import query
from faceanon.ledger.rows import rows_of

_READERS = 8
_ROWS = 16_384  # that are Python objects at a time

Row = dict[str, Any]


def table_rows(store: Store, sql: str) -> Iterator[Row]:
    """The answer to a question, a batch of rows at a time."""
    for batch in query(store.root, sql).to_batches(max_chunksize=_ROWS):
        yield from batch.to_pylist()


def told_rows(store: Store, table: str, columns: tuple[str, ...]) -> Iterator[Row]:
    """These columns, with record_id, of every row of `table` that stands in an event of its own."""
    folded: set[str] = set()
    wanted = ", ".join(f'"{column}"' for column in columns)
    own = f"SELECT record_id FROM commits WHERE kind = 'rows' AND stage = '{table}'"
    for row in table_rows(store, f"SELECT record_id, {wanted} FROM {table} WHERE record_id IN ({own})"):
        folded.add(row["record_id"])
        yield row
    paths = [path for path in store.list(f"{EVENTS}{table}/") if path.endswith(".json") and record_id(path) not in folded]
    with ThreadPoolExecutor(_READERS) as readers:
        for record in readers.map(lambda path: read_record(store, path), paths):
            yield from ({name: row.get(name) for name in ("record_id", *columns)} for row in rows_of(record)[table])
