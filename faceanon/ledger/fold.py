"""fold: committed records become rows. The one writer of the tables; the records stay the truth.

A record counts as folded once it is in `commits`, which is written last. A fold that died before that leaves rows behind; the next
one offers the same records again, and each table takes only what it lacks.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from faceanon.core.ports import Store
from faceanon.ledger.commit import RECORDS, read_record, record_id
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


def fold(root_uri: str, store: Store) -> FoldReport:
    """Bring the tables under `root_uri`/ledger up to the records and run summaries of `store`, which has the same root."""
    folded = set(column(root_uri, "commits", "record_id"))
    paths = [p for p in store.list(RECORDS) if p.endswith(".json") and record_id(p) not in folded]
    taken: dict[str, int] = {}
    blocks: dict[str, dict] = {}
    for records in _batches(store, paths):
        for name, count in _fold_records(root_uri, records).items():
            taken[name] = taken.get(name, 0) + count
        blocks.update({r["run"]["run_id"]: r["run"] for r in records})
    return FoldReport(len(paths), fold_runs(root_uri, store, blocks), taken)


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
