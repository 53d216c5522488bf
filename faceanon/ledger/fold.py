"""fold: committed records become rows. The one writer of the tables; the records stay the truth.

A record counts as folded once it is in `commits`, which is written last. A fold that died before that leaves rows behind; the next
one offers the same records again, and each table takes only what it lacks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pyarrow.dataset as ds

from faceanon.core.ports import Store
from faceanon.ledger.commit import RECORDS, log_of, read_record, record_id
from faceanon.ledger.delta import append_missing, column, mark_superseded, upsert
from faceanon.ledger.rows import Rows, rows_of
from faceanon.ledger.runs import fold_models, fold_runs

_BATCH = 500  # records in memory at a time; also what a death costs at most
_READERS = 8
_APPENDED = ("segments", "shots", "tracks", "verdicts", "outputs")


@dataclass(frozen=True)
class FoldReport:
    """records: how many were new. rows: how many each table took (appended tables only)."""

    records: int = 0
    runs: int = 0
    rows: dict[str, int] = field(default_factory=dict)


def fold(root_uri: str, store: Store, names: Iterable[str] | None = None) -> FoldReport:
    """Bring the tables under `root_uri`/ledger up to the records and run summaries of `store`, which has the same root.

    names: look at these names only, after a wave of a long run, so that its cost does not grow with the archive; None looks at all.
    """
    paths = _unfolded(root_uri, [p for prefix in _prefixes(names) for p in store.list(prefix) if p.endswith(".json")])
    taken: dict[str, int] = {}
    blocks: dict[str, dict] = {}
    for records in _batches(store, paths):
        for name, count in _fold_records(root_uri, records).items():
            taken[name] = taken.get(name, 0) + count
        blocks.update({r["run"]["run_id"]: r["run"] for r in records})
    return FoldReport(len(paths), fold_runs(root_uri, store, blocks), taken)


def _prefixes(names: Iterable[str] | None) -> list[str]:
    return [RECORDS] if names is None else sorted({log_of(name) for name in names})


def _unfolded(root_uri: str, paths: list[str]) -> list[str]:
    """Few records are looked up by id, many by reading all ids: a long list of ids costs more than the column."""
    where = ds.field("record_id").isin([record_id(p) for p in paths]) if len(paths) <= 10 * _BATCH else None
    folded = set(column(root_uri, "commits", "record_id", where)) if paths else set()
    return [p for p in paths if record_id(p) not in folded]


def _batches(store: Store, paths: list[str]) -> Iterator[list[dict]]:
    with ThreadPoolExecutor(_READERS) as readers:
        for start in range(0, len(paths), _BATCH):
            yield list(readers.map(lambda path: read_record(store, path), paths[start : start + _BATCH]))


def _fold_records(root_uri: str, records: list[dict]) -> dict[str, int]:
    """One batch, in an order that a death anywhere leaves repeatable: what says "done" comes last."""
    rows = _gather(records)
    taken = {name: append_missing(root_uri, name, rows.get(name, [])) for name in _APPENDED}
    mark_superseded(root_uri, {r["supersedes"]["record_id"]: r["output_id"] for r in records if r.get("supersedes")})
    upsert(root_uri, "videos", _newest(rows["videos"]), on="name", newer=lambda there, row: row["seq"] > there["seq"])
    fold_models(root_uri, rows.get("models", []))
    taken["commits"] = append_missing(root_uri, "commits", rows["commits"])
    return taken


def _gather(records: list[dict]) -> Rows:
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
