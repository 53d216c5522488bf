"""The two ways in which rows enter a Delta table, both safe to repeat and safe against another folder at work.

Every commit carries one application transaction, whose id is the same for all folders. Delta lets one such commit win per table
version: the loser reads again what is there by now, and adds what is still missing. Works below a local folder and below s3://.
"""

from __future__ import annotations

import functools
import operator
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date
from typing import TypeVar
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs as fs
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import DeltaError, TableNotFoundError

from faceanon.core.errors import StoreError, StoreUnavailable
from faceanon.ledger.tables import TABLES, to_arrow

_APPLICATION = "faceanon-fold"
_TRIES = 30
_CONFIGURATION = {  # else Delta forgets versions after 30 days and files after 7
    "delta.logRetentionDuration": "interval 3650 days",
    "delta.deletedFileRetentionDuration": "interval 3650 days",
}

T = TypeVar("T")


def table_uri(root_uri: str, name: str) -> str:
    return f"{root_uri.rstrip('/')}/ledger/{name}"


def storage_options(root_uri: str) -> dict[str, str]:
    """What the environment says of S3; nothing for a local folder. A credential is never part of a URI."""
    if not root_uri.startswith("s3://"):
        return {}
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    options = {name: os.environ[name] for name in names if os.environ.get(name)}
    options["AWS_REGION"] = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    options["AWS_CONDITIONAL_PUT"] = "etag"  # If-None-Match, so that of two commits of one version the second is refused
    if endpoint:
        options |= {"AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true" if endpoint.startswith("http://") else "false"}
    return options


def open_table(root_uri: str, name: str) -> DeltaTable | None:
    """The newest version, or None where nothing was written yet. Raises StoreUnavailable."""
    try:
        return DeltaTable(table_uri(root_uri, name), storage_options=storage_options(root_uri))
    except TableNotFoundError:
        return None
    except (DeltaError, OSError) as error:
        raise StoreUnavailable(f"table {name} cannot be opened: {error}", source=table_uri(root_uri, name)) from error


def _never(there: dict, row: dict) -> bool:
    return False


def dataset(root_uri: str, name: str, table: DeltaTable) -> ds.Dataset:
    """The rows of a table, for reading.

    On Arrow's own filesystem, not on deltalake's, which is written in Python: Arrow's threads outlive a scan, and one that wants Python's
    lock while the interpreter ends aborts the process, after all work was done (apache/arrow#45017; seen in one of 18 busy folds).
    """
    return table.to_pyarrow_dataset(filesystem=fs.SubTreeFileSystem(*_native(table_uri(root_uri, name))))


def local_files(root_uri: str, name: str) -> list[str] | None:
    """Paths of the files that a table consists of; None where it does not lie on a disk, or is not there."""
    table = None if root_uri.startswith("s3://") else open_table(root_uri, name)
    if table is None:
        return None
    return [unquote(uri.removeprefix("file://")) for uri in table.file_uris()]


def column(root_uri: str, name: str, wanted: str, where: ds.Expression | None = None) -> list:
    """One column of a table, [] where there is none."""
    table = open_table(root_uri, name)
    return [] if table is None else _column(dataset(root_uri, name, table), wanted, where)


def append_missing(root_uri: str, name: str, rows: Sequence[dict] | pa.Table) -> int:
    """Append the rows whose record_id is not in the table yet. Returns how many; all rows of one record enter in one commit."""
    offered = rows if isinstance(rows, pa.Table) else to_arrow(name, rows)

    def once(table: DeltaTable) -> int:
        missing = offered.filter(pc.invert(pc.is_in(offered["record_id"], value_set=_present(dataset(root_uri, name, table), offered))))
        if len(missing):
            write_deltalake(table, missing, mode="append", schema_mode="merge", commit_properties=_next(table))
        return len(missing)

    return _until_it_wins(root_uri, name, once) if len(offered) else 0


def upsert(root_uri: str, name: str, rows: list[dict], on: str, newer: Callable[[dict, dict], bool] = _never) -> int:
    """Rows by key `on`: new keys are added, known ones replaced where `newer(there, row)`. Returns how many rows were taken."""

    def once(table: DeltaTable) -> int:
        there = {r[on]: r for r in _matching(dataset(root_uri, name, table), on, [r[on] for r in rows]).to_pylist()}
        fresh = [r for r in rows if r[on] not in there]
        changed = [r for r in rows if r[on] in there and newer(there[r[on]], r)]
        if changed:
            _overwrite(table, to_arrow(name, [*fresh, *changed]), on)
        elif fresh:  # nothing is replaced, so no file has to be searched for the keys
            write_deltalake(table, to_arrow(name, fresh), mode="append", schema_mode="merge", commit_properties=_next(table))
        return len(fresh) + len(changed)

    return _until_it_wins(root_uri, name, once) if rows else 0


def mark_superseded(root_uri: str, successors: dict[str, str]) -> int:
    """`outputs`: the rows of these record ids are no longer current; each says which output came after it. Returns how many were."""

    def once(table: DeltaTable) -> int:
        rows = _matching(dataset(root_uri, "outputs", table), "record_id", list(successors))
        rows = rows.filter(ds.field("state") == "current")
        if len(rows):
            rows = _with_text(rows, "state", ["superseded"] * len(rows))
            rows = _with_text(rows, "superseded_by", [successors[r] for r in rows["record_id"].to_pylist()])
            _overwrite(table, rows, "record_id")
        return len(rows)

    return _until_it_wins(root_uri, "outputs", once) if successors else 0


def files_by_day(root_uri: str, name: str) -> dict[date | None, int]:
    """How many files a table has for each ingest_date; None: of rows without one, which no fold writes."""
    table = open_table(root_uri, name)
    if table is None:
        return {}
    days = pa.table(table.get_add_actions(flatten=True))["partition.ingest_date"].to_pylist()
    return dict(Counter(days))


def count(root_uri: str, name: str, day: date) -> int:
    """How many rows a table has of one ingest_date."""
    table = open_table(root_uri, name)
    return 0 if table is None else dataset(root_uri, name, table).count_rows(filter=ds.field("ingest_date") == day)


def compact(root_uri: str, name: str, day: date) -> None:
    """Write a day's rows anew, in as few files as possible."""
    where = [("ingest_date", "=", day.isoformat())]
    _until_it_wins(root_uri, name, lambda table: table.optimize.compact(partition_filters=where, commit_properties=_next(table)))


def drop_day(root_uri: str, name: str, day: date) -> None:
    """All rows of a day go from the table; their files stay until `vacuum`."""
    _until_it_wins(root_uri, name, lambda table: table.delete(f"ingest_date = '{day}'", commit_properties=_next(table)))


def vacuum(root_uri: str, name: str) -> None:
    """Remove the files that the newest version no longer names; older versions cannot be read afterwards. Files of a commit that is under way stay."""
    _until_it_wins(root_uri, name, lambda table: table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False))


def _native(uri: str) -> tuple[str, fs.FileSystem]:
    if not uri.startswith("s3://"):
        return uri.removeprefix("file://"), fs.LocalFileSystem()
    options = storage_options(uri)
    endpoint = options.get("AWS_ENDPOINT_URL")
    place = {"endpoint_override": endpoint.split("://", 1)[-1], "scheme": endpoint.split("://", 1)[0]} if endpoint else {}
    return uri.removeprefix("s3://"), fs.S3FileSystem(
        access_key=options.get("AWS_ACCESS_KEY_ID"),
        secret_key=options.get("AWS_SECRET_ACCESS_KEY"),
        session_token=options.get("AWS_SESSION_TOKEN"),
        region=options["AWS_REGION"],
        **place,
    )


def _until_it_wins(root_uri: str, name: str, once: Callable[[DeltaTable], T]) -> T:
    for attempt in range(_TRIES):
        try:
            return once(open_table(root_uri, name) or _create(root_uri, name))
        except DeltaError as error:  # nearly always another folder's commit; what lasts shows itself by lasting
            if attempt == _TRIES - 1:
                raise StoreUnavailable(f"table {name} could not be written in {_TRIES} tries: {error}", source=table_uri(root_uri, name)) from error
            time.sleep(min(0.02 * (attempt + 1) * (1 + os.getpid() % 7), 1.0))
        except OSError as error:
            raise StoreError(f"table {name} could not be written: {error}", source=table_uri(root_uri, name)) from error
    raise AssertionError("the last try returns or raises")


def _create(root_uri: str, name: str) -> DeltaTable:
    return DeltaTable.create(
        table_uri(root_uri, name), TABLES[name], mode="ignore", partition_by=["ingest_date"], configuration=_CONFIGURATION, storage_options=storage_options(root_uri)
    )


def _overwrite(table: DeltaTable, rows: pa.Table, on: str) -> None:
    """Put `rows` in the place of those with the same keys.

    Never by merge or update: deltalake 1.6 writes string views into those files, and pyarrow has no comparison for them, so that every
    later filter on text fails.
    """
    keys = ", ".join("'" + key.replace("'", "''") + "'" for key in rows[on].to_pylist())
    write_deltalake(table, rows, mode="overwrite", predicate=f"{on} IN ({keys})", schema_mode="merge", commit_properties=_next(table))


def _with_text(table: pa.Table, name: str, values: list[str]) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, pa.array(values, pa.string()))


def _matching(rows: ds.Dataset, on: str, keys: list[str]) -> pa.Table:
    return rows.to_table(filter=ds.field(on).isin(keys))


def _next(table: DeltaTable) -> CommitProperties:
    return CommitProperties(app_transactions=[Transaction(_APPLICATION, table.version() + 1)])


def _present(there: ds.Dataset, offered: pa.Table) -> pa.Array:
    """Which of the offered record ids are in the table. A record's rows carry its run and its date, so that files of other runs are not even opened."""
    same = [ds.field(word).isin(pc.unique(offered[word])) for word in ("ingest_date", "run_id") if word in there.schema.names]
    where = functools.reduce(operator.and_, same, ds.field("record_id").isin(pc.unique(offered["record_id"])))
    return pc.unique(there.to_table(columns=["record_id"], filter=where)["record_id"])


def _column(rows: ds.Dataset, name: str, where: ds.Expression | None) -> list:
    return rows.to_table(columns=[name], filter=where).column(name).to_pylist()
