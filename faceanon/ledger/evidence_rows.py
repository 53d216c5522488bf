"""What a leaf says of the rows that a record became: how many each table took, and one digest of them as a set.

A row counts by what it holds: columns that are null, and the version of the schema, are left out, so that a table that grows a column, is written
anew in fewer files or in another order has the same digests. What is derived and changes in place (which output is current) is left out as well,
verifying derives it again; and so is the day on which a model was first met.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa

DERIVED = {"outputs": {"state", "superseded_by"}, "models": {"ingest_date"}}
_BOOKKEEPING = {"schema_version"}
_AT_ONCE = 8192  # rows that are Python objects at a time

Digest = tuple[int, str]  # number of rows, 64 hex digits of the set


def canonical(value: object) -> bytes:
    """JSON with one way to write each value."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_text).encode()


def digests_of(table: str, rows: pa.Table, by: str = "record_id") -> dict[str, Digest]:
    """The digest of each record's rows (or of another column's value). In any order; a row that is there twice counts twice."""
    groups: dict[str, list[bytes]] = {}
    for key, row in row_digests(table, rows, by):
        groups.setdefault(key, []).append(row)
    return {key: (len(digests), hashlib.sha256(b"".join(sorted(digests))).hexdigest()) for key, digests in groups.items()}


def row_digests(table: str, rows: pa.Table, by: str = "record_id") -> Iterator[tuple[str, bytes]]:
    """(key, 32 bytes) of each row."""
    lists = [f.name for f in rows.schema if pa.types.is_list(f.type) and pa.types.is_integer(f.type.value_type)]
    plain = rows.drop_columns(list({*lists, *DERIVED.get(table, set()), *_BOOKKEEPING} & set(rows.column_names)))
    for start in range(0, len(rows), _AT_ONCE):
        columns = [_numbers(rows[name].slice(start, _AT_ONCE)) for name in lists]
        for at, row in enumerate(plain.slice(start, _AT_ONCE).to_pylist()):
            total = hashlib.sha256(canonical({k: v for k, v in row.items() if v is not None}))
            for name, column in zip(lists, columns, strict=True):
                values = column[at]
                if values is not None:
                    total.update(b"\n%s %d\n" % (name.encode(), len(values)))
                    total.update(values.tobytes())
            yield row[by], total.digest()


def _numbers(column: pa.ChunkedArray) -> list[np.ndarray | None]:
    """Lists of whole numbers as little-endian int64, without a Python object for each."""
    return [None if value.values is None else value.values.to_numpy(zero_copy_only=False).astype("<i8") for value in column]


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"no value of the ledger: got {type(value).__name__}")
