"""Runs: a summary per run under OUT/runs/, and the rows of `runs` and `models` that it and the records give.

A summary is written when a run starts and replaced when it ends, so a killed run leaves one without `ended_at`.
"""

from __future__ import annotations

import json
from dataclasses import asdict

import pyarrow.dataset as ds

from faceanon.core.errors import StoreError
from faceanon.core.ports import Store
from faceanon.ledger.delta import column, upsert
from faceanon.ledger.evidence import append
from faceanon.ledger.evidence_rows import digests_of
from faceanon.ledger.privacy import assert_private
from faceanon.ledger.rows import model_row, run_row
from faceanon.ledger.runinfo import RunInfo, new_run_id
from faceanon.ledger.tables import to_arrow

__all__ = ["fold_models", "fold_runs", "new_run_id", "write_summary"]

RUNS = "runs/"


def write_summary(store: Store, run_id: str, summary: dict, run: RunInfo | None = None) -> str:
    """OUT/runs/<run id>.json, replaced by a later call. Returns its name.

    `run`, `ended_at` (ISO 8601), `state`, `published`, `quarantined` and `models` (rows, at least {"model_id": ..., "name": ...}) reach the tables;
    all else is for people.
    """
    whole = {**summary, "run_id": run_id, **({"run": asdict(run)} if run else {})}
    assert_private(whole)
    name = f"{RUNS}{run_id}.json"
    store.replace(name, json.dumps(whole, indent=1, sort_keys=True, ensure_ascii=False, default=str).encode())
    return name


def fold_runs(root_uri: str, store: Store, from_records: dict[str, dict]) -> int:
    """Rows for runs that ended since the last fold, and for those that new records name (run id -> block). Returns how many rows were offered."""
    finished = set(column(root_uri, "runs", "run_id", ds.field("ended_at").is_valid()))
    listed = {name.removeprefix(RUNS).removesuffix(".json") for name in store.list(RUNS) if name.endswith(".json")}
    summaries = {run_id: _read(store, f"{RUNS}{run_id}.json") for run_id in sorted(listed - finished)}
    blocks = {run_id: summary["run"] for run_id, summary in summaries.items() if "run" in summary} | from_records
    rows = [run_row(block, summaries.get(run_id)) for run_id, block in sorted(blocks.items()) if run_id not in finished]
    rows = _unseen(root_uri, rows)
    _log(store, "runs", "run_id", rows, {r["run_id"]: {"ended": r["ended_at"] is not None} for r in rows})
    upsert(root_uri, "runs", rows, on="run_id", newer=lambda there, row: there["ended_at"] is None)
    fold_models(root_uri, store, [model_row(m, r["ingest_date"]) for r in rows for m in summaries.get(r["run_id"], {}).get("models", [])])
    return len(rows)


def fold_models(root_uri: str, store: Store, rows: list[dict]) -> int:
    """Models by the digest of their weights; a known one stays as it was first written down."""
    there = set(column(root_uri, "models", "model_id"))
    missing = {r["model_id"]: r for r in rows if r["model_id"] not in there}
    wanted = [missing[key] for key in sorted(missing)]
    _log(store, "models", "model_id", wanted, {})
    upsert(root_uri, "models", wanted, on="model_id")
    return len(missing)


def _log(store: Store, table: str, key: str, rows: list[dict], more: dict[str, dict]) -> None:
    """A leaf for each row, before the row: what is in the table is never unknown to the evidence log."""
    if rows:
        found = digests_of(table, to_arrow(table, rows), by=key)
        append(store, [{"kind": table.removesuffix("s"), key: k, "rows": list(found[k]), **more.get(k, {})} for k in sorted(found)])


def _unseen(root_uri: str, rows: list[dict]) -> list[dict]:
    """Without unfinished runs that are in the table already: nothing is new about them."""
    if not rows:
        return rows
    there = set(column(root_uri, "runs", "run_id"))
    return [r for r in rows if r["ended_at"] is not None or r["run_id"] not in there]


def read_summary(store: Store, run_id: str) -> dict | None:
    """What a run left of itself; None where it left nothing."""
    try:
        return _read(store, f"{RUNS}{run_id}.json")
    except FileNotFoundError:
        return None


def _read(store: Store, name: str) -> dict:
    try:
        return json.loads(store.read(name))
    except json.JSONDecodeError as error:
        raise StoreError(f"is not a run's summary: {error}", source=store.uri(name)) from error


