"""Manifests: csv, jsonl or parquet with the columns uri (required), name, collection, tags, legal_basis and ingested_at (ISO 8601 with a zone);
other columns are not read.

A relative uri is relative to the manifest. Without a name, a relative uri is its own name and any other uri is called by its last
part. A line that makes no sense becomes a Quarantined row that names file, line and reason; its neighbours are not affected, so a
csv record is one physical line. A file without a uri column is no manifest: UsageError.
"""

from __future__ import annotations

import csv
import json
import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO

from faceanon.archive import uri as uris
from faceanon.archive.uri import Uri
from faceanon.core.errors import UsageError
from faceanon.core.records import Quarantined, SourceItem

SUFFIXES = (".csv", ".jsonl", ".ndjson", ".parquet")
_COLUMNS = ("uri", "name", "collection", "tags", "legal_basis", "ingested_at")
_BATCH_ROWS = 16384

Row = tuple[int, dict[str, object] | str]  # line number from 1, and the row's values or what is wrong with it


class _BadLine(Exception):
    """One line makes no sense; the text says why."""


@dataclass(frozen=True)
class _Place:
    """Where relative URIs and defaults of a manifest come from."""

    manifest: Uri
    collection: str


def is_manifest(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def read_manifest(manifest: Uri, file: BinaryIO) -> Iterator[SourceItem | Quarantined]:
    """Every line of an open manifest as an item or as a refusal, in order, read as it is consumed. Raises UsageError."""
    place = _Place(manifest, posixpath.splitext(manifest.name)[0])
    for line, row in _rows(manifest, file):
        try:
            yield _item(place, row)
        except _BadLine as error:
            yield _refusal(place, line, str(error))


def _rows(manifest: Uri, file: BinaryIO) -> Iterator[Row]:
    suffix = posixpath.splitext(manifest.name)[1].lower()
    if suffix == ".parquet":
        return _parquet_rows(manifest, file)
    return _csv_rows(manifest, file) if suffix == ".csv" else _json_rows(file)


def _csv_rows(manifest: Uri, file: BinaryIO) -> Iterator[Row]:
    lines = _lines(file)
    _, first = next(lines, (0, ""))
    header = [column.strip().lower() for column in _fields(first)] if first else []
    if "uri" not in header:
        raise UsageError(f"is not a manifest: its first line must name a uri column, got {first[:80]!r}", source=str(manifest))
    if len(set(header)) < len(header):
        raise UsageError(f"names a column twice: {', '.join(header)}", source=str(manifest))
    for number, text in lines:
        try:
            fields = _fields(text)
        except csv.Error as error:
            yield number, f"is not csv: {error}"
            continue
        if len(fields) == len(header):
            yield number, dict(zip(header, fields, strict=True))
        else:
            yield number, f"has {len(fields)} columns, the first line has {len(header)}"


def _json_rows(file: BinaryIO) -> Iterator[Row]:
    for number, text in _lines(file):
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            yield number, f"is not JSON: {error}"
            continue
        yield number, row if isinstance(row, dict) else "is not a JSON object"


def _parquet_rows(manifest: Uri, file: BinaryIO) -> Iterator[Row]:
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.ParquetFile(file)
        columns = [name for name in table.schema_arrow.names if name in _COLUMNS]
        if "uri" not in columns:
            raise UsageError(f"is not a manifest: it has no uri column, got {', '.join(table.schema_arrow.names)}", source=str(manifest))
        number = 0
        for batch in table.iter_batches(_BATCH_ROWS, columns=columns):
            for row in batch.to_pylist():
                number += 1
                yield number, row
    except (pyarrow.ArrowException, OSError) as error:
        raise UsageError(f"is not readable parquet: {error}", source=str(manifest)) from error


def _lines(file: BinaryIO) -> Iterator[tuple[int, str]]:
    """Lines that are not blank with their numbers; bytes that are not UTF-8 stay as surrogates, which the checks refuse."""
    for number, line in enumerate(file, 1):
        text = line.decode("utf-8-sig" if number == 1 else "utf-8", "surrogateescape").strip("\r\n")
        if text.strip():
            yield number, text


def _fields(line: str) -> list[str]:
    return next(csv.reader([line], strict=True), [])


def _item(place: _Place, row: dict[str, object] | str) -> SourceItem:
    if isinstance(row, str):
        raise _BadLine(row)
    written = _text(row, "uri")
    if not written:
        raise _BadLine("has no uri")
    source = _source(place, written)
    name = _text(row, "name") or _default_name(written, source)
    try:
        uris.check_name(name)
    except UsageError as error:
        raise _BadLine(error.reason) from error
    return SourceItem(str(source), name, _text(row, "collection") or place.collection, _tags(row.get("tags")), _text(row, "legal_basis"), _moment(row))


def _text(row: dict[str, object], column: str) -> str:
    value = row.get(column)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _BadLine(f"{column} is not text: got {value!r}"[:200])
    if not uris.is_text(value):
        raise _BadLine(f"{column} is not UTF-8: got {uris.printable(value)!r}")
    return value.strip()


def _moment(row: dict[str, object]) -> str:
    """`ingested_at` in UTC. A time without a zone could be any of a day's, so it is refused."""
    value = row.get("ingested_at")
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip()) if value.strip() else None
        except ValueError as error:
            raise _BadLine(f"ingested_at is not a moment in ISO 8601: got {value!r}"[:200]) from error
    if value is None:
        return ""
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise _BadLine(f"ingested_at is not a moment with a zone, such as 2026-03-01T12:00:00Z: got {value!r}"[:200])
    return value.astimezone(UTC).isoformat()


def _source(place: _Place, written: str) -> Uri:
    """The uri as it is meant. A manifest on S3 cannot name files of the machine that reads it."""
    try:
        if _is_relative(written):
            return _beside(place.manifest, written)
        source = uris.parse(written)
    except UsageError as error:
        raise _BadLine(error.reason) from error
    if source.is_local and not place.manifest.is_local:
        raise _BadLine(f"names a local file, which a manifest on S3 may not: got {written!r}")
    return source


def _is_relative(written: str) -> bool:
    return not written.startswith("/") and "::" not in written and "://" not in written and not written.lower().startswith("file:")


def _beside(manifest: Uri, written: str) -> Uri:
    if manifest.is_local:
        return uris.parse(posixpath.join(manifest.parent.path, written))
    key = posixpath.normpath(posixpath.join(manifest.parent.path, written))
    return uris.parse(f"{manifest.scheme}://{manifest.bucket}/{key}")


def _default_name(written: str, source: Uri) -> str:
    name = posixpath.normpath(written)
    return name if _is_relative(written) and not name.startswith("..") else source.name


def _tags(value: object) -> tuple[str, ...]:
    """Tags from a list, or from text with commas or semicolons between them."""
    if value is None:
        return ()
    parts = value.replace(";", ",").split(",") if isinstance(value, str) else value
    if not isinstance(parts, Iterable) or not all(isinstance(part, str) and uris.is_text(part) for part in parts):
        raise _BadLine(f"tags are neither text nor a list of text: got {value!r}"[:200])
    return tuple(part.strip() for part in parts if part.strip())


def _refusal(place: _Place, line: int, reason: str) -> Quarantined:
    where = f"{place.manifest}:{line}"
    item = SourceItem(uris.printable(where), uris.printable(f"{place.manifest.name}:{line}"), place.collection)
    return Quarantined(item, "", "manifest", f"{uris.printable(where)}: {uris.printable(reason)}")
