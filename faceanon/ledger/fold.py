"""fold: committed records become rows. The one writer of the tables; the records stay the truth.

A record counts as folded once it is in `commits`, which is written last, after its leaf in the evidence log. A fold that died before that
leaves rows behind; the next one offers the same records again, and each table takes only what it lacks. Records are read a few at a time
and kept as Arrow, and tables are written many records at a time, so that neither memory nor the number of table versions grows with the archive.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from faceanon.core.errors import StoreError, StoreUnavailable
from faceanon.core.ports import Store
from faceanon.ledger import boxes, evidence
from faceanon.ledger.commit import RECORDS, log_of, parse_record, record_id
from faceanon.ledger.delta import append_missing, column, mark_superseded, upsert
from faceanon.ledger.events import EVENT_TABLES, EVENTS
from faceanon.ledger.evidence_rows import Digest, digests_of
from faceanon.ledger.rows import Rows, box_rows, rows_of
from faceanon.ledger.runs import fold_models, fold_runs
from faceanon.ledger.tables import TABLES, to_arrow

_log = logging.getLogger(__name__)

_READ = 250  # records in memory at a time, as they were written
_WRITE_RECORDS, _WRITE_ROWS = 5000, 250_000  # what one version of the tables takes; also what a death costs at most
_READERS = 8
_ASKED = 5000  # record ids up to which a filter by id is quicker than reading the column
_LONG = ("segments", "shots", "tracks")  # many rows a record: kept as Arrow
_APPENDED = (*_LONG, *EVENT_TABLES, "outputs")
_NOT_OF_A_RECORD = {"models"}  # a model's row belongs to all records that name it
_BOXES_BYTES = 256 << 20  # of track_boxes in memory at a time


@dataclass(frozen=True)
class FoldReport:
    """records: how many were new. rows: how many each table took (appended tables only)."""

    records: int = 0
    runs: int = 0
    rows: dict[str, int] = field(default_factory=dict)


@dataclass
class _Batch:
    """Records on their way into one version of each table."""

    long: dict[str, list[pa.Table]] = field(default_factory=dict)
    short: Rows = field(default_factory=dict)
    boxes: list[dict] = field(default_factory=list)  # records whose boxes lie in an object of their own
    successors: dict[str, str] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)
    digests: dict[str, dict[str, Digest]] = field(default_factory=dict)  # record id -> table -> digest of its rows

    def take(self, read: Sequence[tuple[dict, str]]) -> None:
        """read: records, each with the digest of its bytes."""
        records = [record for record, _ in read]
        rows = _gather(records)
        self.sha256.update({record["record_id"]: sha256 for record, sha256 in read})
        for name, some in rows.items():
            table = to_arrow(name, some)
            if name not in _NOT_OF_A_RECORD:
                self.count(name, table)
            if name in _LONG:
                self.long.setdefault(name, []).append(table)
            else:
                self.short.setdefault(name, []).extend(some)
        self.boxes += [{k: v for k, v in r.items() if not isinstance(v, list)} for r in records if r.get("boxes")]
        self.successors.update({r["supersedes"]["record_id"]: r["output_id"] for r in records if r.get("supersedes")})

    def count(self, name: str, table: pa.Table) -> None:
        """Learn the digests of rows."""
        for record, digest in digests_of(name, table).items():
            self.digests.setdefault(record, {})[name] = digest

    def leaves(self) -> list[evidence.Leaf]:
        return [evidence.record_leaf(record, sha256, self.digests.get(record, {})) for record, sha256 in sorted(self.sha256.items())]

    @property
    def is_full(self) -> bool:
        return len(self.sha256) >= _WRITE_RECORDS or sum(len(t) for parts in self.long.values() for t in parts) >= _WRITE_ROWS

    def offered(self, name: str) -> pa.Table | list[dict]:
        return pa.concat_tables(self.long[name]) if name in self.long else self.short.get(name, [])


def fold(root_uri: str, store: Store, names: Iterable[str] | None = None) -> FoldReport:
    """Bring the tables under `root_uri`/ledger up to the records and run summaries of `store`, which has the same root.

    names: look at these names only, after some waves of a long run, so that its cost does not grow with the archive; None looks at all.
    """
    paths = _unfolded(root_uri, [p for prefix in _prefixes(names) for p in store.list(prefix) if p.endswith(".json")])
    taken: dict[str, int] = {}
    blocks: dict[str, dict] = {}
    for batch in _batches(store, paths, blocks):
        for name, count in _write(root_uri, store, batch).items():
            taken[name] = taken.get(name, 0) + count
    return FoldReport(len(paths), fold_runs(root_uri, store, blocks), taken)


def _prefixes(names: Iterable[str] | None) -> list[str]:
    return [RECORDS, EVENTS] if names is None else sorted({log_of(name) for name in names})


def _unfolded(root_uri: str, paths: list[str]) -> list[str]:
    """Few records are looked up by id, many by reading all ids: a long list of ids costs more than the column."""
    if not paths:
        return []
    ids = pa.array([record_id(p) for p in paths], pa.string())
    folded = pa.array(column(root_uri, "commits", "record_id", ds.field("record_id").isin(ids) if len(paths) <= _ASKED else None), pa.string())
    return [paths[i] for i in pc.indices_nonzero(pc.invert(pc.is_in(ids, value_set=folded))).to_pylist()]


def _batches(store: Store, paths: list[str], blocks: dict[str, dict]) -> Iterator[_Batch]:
    """Records in batches; `blocks` learns the runs that they name."""
    batch = _Batch()
    with ThreadPoolExecutor(_READERS) as readers:
        for start in range(0, len(paths), _READ):
            read = list(readers.map(lambda path: _read(store, path), paths[start : start + _READ]))
            blocks.update({r["run"]["run_id"]: r["run"] for r, _ in read if "run" in r})
            batch.take(read)
            if batch.is_full:
                yield batch
                batch = _Batch()
    if batch.sha256:
        yield batch


def _read(store: Store, path: str) -> tuple[dict, str]:
    data = store.read(path)
    return parse_record(data, path, store.uri(path)), hashlib.sha256(data).hexdigest()


def _write(root_uri: str, store: Store, batch: _Batch) -> dict[str, int]:
    """One batch, in an order that a death anywhere leaves repeatable: what says "done" comes last."""
    taken = {name: append_missing(root_uri, name, batch.offered(name)) for name in _APPENDED}
    taken["track_boxes"] = _write_boxes(root_uri, store, batch)
    mark_superseded(root_uri, batch.successors)
    upsert(root_uri, "videos", _newest(batch.short.get("videos", [])), on="name", newer=lambda there, row: row["seq"] > there["seq"])
    fold_models(root_uri, store, batch.short.get("models", []))
    evidence.append(store, batch.leaves())
    taken["commits"] = append_missing(root_uri, "commits", batch.short["commits"])
    return taken


def _write_boxes(root_uri: str, store: Store, batch: _Batch) -> int:
    """Objects of boxes, as many at a time as memory is meant for. What has expired, or is not what was written, is left out; verifying tells which."""
    taken, tables = 0, [TABLES["track_boxes"].empty_table()]
    for record in batch.boxes:
        try:
            chunks = boxes.read(store, record["boxes"])
        except StoreUnavailable:
            raise
        except StoreError as error:
            _log.warning("the boxes of %s stay out of the ledger: %s", record["name"], error)
            continue
        if chunks is None:
            continue
        tables.append(box_rows(record, chunks))
        batch.count("track_boxes", tables[-1])
        if sum(t.nbytes for t in tables) > _BOXES_BYTES:
            taken += append_missing(root_uri, "track_boxes", pa.concat_tables(tables))
            del tables[1:]
    return taken + append_missing(root_uri, "track_boxes", pa.concat_tables(tables))


def _gather(records: Sequence[dict]) -> Rows:
    rows: Rows = {}
    for record in records:
        for name, some in rows_of(record).items():
            rows.setdefault(name, []).extend(some)
    return rows


def _newest(videos: list[dict]) -> list[dict]:
    """One row per name: a merge refuses two for one key."""
    newest: dict[str, dict] = {}
    for row in sorted(videos, key=lambda r: r["seq"]):
        newest[row["name"]] = row
    return list(newest.values())
