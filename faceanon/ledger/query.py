"""Questions to the ledger in SQL: read-only, in memory, tables by name, nothing else within reach.

DuckDB sees the files that the tables consist of (on an object store: Arrow datasets) and no other file, no network, no extension, no Python
variable; its configuration is locked before the question is read. Tables that were never written answer as empty ones.
"""

from __future__ import annotations

import csv
import io
import json
import math
from decimal import Decimal

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from faceanon.core.errors import UsageError
from faceanon.ledger.delta import dataset, local_files, open_table
from faceanon.ledger.questions import tables_in
from faceanon.ledger.tables import TABLES

_LOCKED: dict[str, str | bool | int | float | list[str]] = {
    "python_enable_replacements": "false", "autoinstall_known_extensions": "false", "autoload_known_extensions": "false",
}
_TYPES = {pa.string(): "VARCHAR", pa.int64(): "BIGINT", pa.int32(): "INTEGER", pa.float64(): "DOUBLE", pa.bool_(): "BOOLEAN", pa.date32(): "DATE"}
_READING = {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN}  # SHOW, DESCRIBE and SUMMARIZE are SELECTs to DuckDB
_WIDEST = 60  # characters of a cell in the plain table


def query(root_uri: str, sql: str, words: dict[str, str] | None = None) -> pa.Table:
    """The answer to one SELECT, WITH, SHOW, DESCRIBE, SUMMARIZE or EXPLAIN. words: what $word stands for. Raises UsageError with DuckDB's own words."""
    with duckdb.connect(":memory:", config=_LOCKED) as connection:
        names = tables_in(sql, list(TABLES))
        files = {name: local_files(root_uri, name) for name in names}
        connection.execute(f"SET allowed_paths = {_quoted([file for some in files.values() for file in some or ()])}")
        connection.execute("SET parquet_metadata_cache = true")
        connection.execute("SET enable_external_access = false")
        for name in names:
            if files[name]:
                connection.execute(_view(name, files[name] or []))
            else:
                connection.register(name, _dataset(root_uri, name, TABLES[name]))
        connection.execute("SET TimeZone = 'UTC'")  # moments read the same on every machine
        connection.execute("SET lock_configuration = true")
        try:
            _only_reading(connection.extract_statements(sql))
            return _distinct(connection.sql(sql, params=words or None).to_arrow_table())
        except duckdb.Error as error:
            raise UsageError(f"the query cannot be answered: {_sentence(error)}") from error


def format_table(table: pa.Table, fmt: str = "table") -> str:
    """An answer as text: `table` for people, `json` (a list of objects), `csv` with a header. Raises UsageError for another format."""
    writers = {"table": _plain, "json": _json, "csv": _csv}
    if fmt not in writers:
        raise UsageError(f"no such format: {fmt}; there are {', '.join(writers)}")
    return writers[fmt](table)


def to_parquet(table: pa.Table) -> bytes:
    """An answer as a Parquet file, with the types that it has."""
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    return out.getvalue()


def _view(name: str, files: list[str]) -> str:
    """A table over its Parquet files, by DuckDB's own reader, which is several times as quick as one through Arrow. What a file lacks is null."""
    empty = ", ".join(f"NULL::{_type(field.type)} AS {field.name}" for field in TABLES[name])
    rows = f"read_parquet({_quoted(files)}, union_by_name = true, hive_partitioning = true, hive_types = {{'ingest_date': DATE}})"
    return f"CREATE VIEW {name} AS SELECT {empty} WHERE false UNION ALL BY NAME SELECT * FROM {rows}"


def _type(arrow: pa.DataType) -> str:
    if pa.types.is_list(arrow):
        return f"{_type(arrow.value_type)}[]"
    return "TIMESTAMPTZ" if pa.types.is_timestamp(arrow) else _TYPES[arrow]


def _quoted(texts: list[str]) -> str:
    return "[" + ", ".join("'" + text.replace("'", "''") + "'" for text in texts) + "]"


def _dataset(root_uri: str, name: str, schema: pa.Schema) -> ds.Dataset:
    table = open_table(root_uri, name)
    if table is None:
        return ds.dataset(schema.empty_table())
    found = dataset(root_uri, name, table)
    missing = [f for f in schema if f.name not in found.schema.names]  # written by an older version
    return found.replace_schema(pa.schema([*found.schema, *missing])) if missing else found


def _only_reading(statements: list) -> None:
    if len(statements) != 1:
        raise UsageError(f"one question at a time: got {len(statements)} statements")
    if statements[0].type not in _READING:
        raise UsageError(f"the ledger is read-only: {statements[0].type.name} is refused; ask with SELECT, WITH, SHOW or DESCRIBE")


def _sentence(error: duckdb.Error) -> str:
    """DuckDB's message without the picture of where in the line."""
    return " ".join(str(error).split("\n\nLINE", 1)[0].split())


def _distinct(table: pa.Table) -> pa.Table:
    """Columns of one name get a number, so that no format loses one."""
    names: list[str] = []
    for name in table.column_names:
        names.append(name if name not in names else f"{name}_{names.count(name) + sum(n.startswith(f'{name}_') for n in names)}")
    return table.rename_columns(names)


def _text(value: object) -> str:
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, list | dict) else str(value)


def _plain(table: pa.Table) -> str:
    names = table.column_names
    cells = [[_shorten(_text(v)) for v in column.to_pylist()] for column in table.columns]
    widths = [max(len(n), *(len(c) for c in column), 1) if column else len(n) for n, column in zip(names, cells, strict=True)]
    to_right = [pa.types.is_integer(f.type) or pa.types.is_floating(f.type) or pa.types.is_decimal(f.type) for f in table.schema]
    lines = [names, ["-" * w for w in widths], *zip(*cells, strict=True)]
    text = ["  ".join(c.rjust(w) if right else c.ljust(w) for c, w, right in zip(line, widths, to_right, strict=True)).rstrip() for line in lines]
    return "\n".join([*text, f"({table.num_rows} {'row' if table.num_rows == 1 else 'rows'})"])


def _shorten(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _WIDEST else text[: _WIDEST - 3] + "..."


def _json(table: pa.Table) -> str:
    return json.dumps(_plain_value(table.to_pylist()), indent=1, ensure_ascii=False)


def _plain_value(value: object) -> object:
    """What JSON has: sums of whole numbers come as Decimal, moments as datetime; NaN and the infinities are null."""
    if isinstance(value, dict):
        return {str(k): _plain_value(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_value(v) for v in value]
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    isoformat = getattr(value, "isoformat", None)
    return isoformat() if isoformat else str(value)


def _csv(table: pa.Table) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table.column_names)
    writer.writerows(zip(*([_text(v) for v in column.to_pylist()] for column in table.columns), strict=True))
    return out.getvalue().rstrip("\n")
