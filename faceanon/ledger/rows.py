"""A committed record, or a run's summary, as rows of the tables. Pure; a row's date is its record's, not the day of the fold."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pyarrow as pa

from faceanon.ledger.tables import TABLES

Rows = dict[str, list[dict]]


def rows_of(record: dict) -> Rows:
    """Rows that a record adds: `videos` and `models` are upserted by name and by model_id, the others appended."""
    moment = datetime.fromisoformat(record["committed_at"])
    if record["kind"] == "rows":
        return _event(record, moment)
    day = {"ingest_date": moment.date()}
    origin = {**{k: record.get(k) for k in ("record_id", "video_id", "output_id", "name")}, "run_id": record["run"]["run_id"], **day}
    rows: Rows = {
        "commits": [{**origin, "seq": record["seq"], "kind": record["kind"], "stage": record.get("stage"), "reason": record.get("reason"), "committed_at": moment}],
        "videos": [_video(record, origin, moment)],
        "verdicts": [_verdict(record, origin, moment)] if record["verdict"] else [],
    }
    if record["kind"] == "published":
        source = record["source"]["sha256"]
        rows["outputs"] = [_output(record, origin, moment)]
        rows["segments"] = [{**origin, "in_sha256": source, **segment} for segment in record["segments"]]
        rows["shots"] = [{**origin, **shot} for shot in record["shots"]]
        rows["tracks"] = [{**origin, **track} for track in record["tracks"]]
        rows["models"] = [model_row(model, moment.date()) for model in record["models"]]
    return rows


def box_rows(record: dict, chunks: pa.Table) -> pa.Table:
    """Rows of track_boxes, from what `boxes.read` gives for a publication."""
    day = datetime.fromisoformat(record["committed_at"]).date()
    same = {**{k: record[k] for k in ("record_id", "video_id", "output_id", "name", "schema_version")}, "run_id": record["run"]["run_id"], "ingest_date": day}
    schema = TABLES["track_boxes"]
    columns = [chunks[f.name] if f.name in chunks.column_names else pa.repeat(pa.scalar(same[f.name], f.type), len(chunks)) for f in schema]
    return pa.table(columns, schema=schema)


def _event(record: dict, moment: datetime) -> Rows:
    """Rows that were handed in as rows; JSON has no moments, so they come as text."""
    origin = {"record_id": record["record_id"], "ingest_date": moment.date()}
    moments = [f.name for f in TABLES[record["table"]] if pa.types.is_timestamp(f.type)]
    rows = [{**row, **{m: datetime.fromisoformat(row[m]).astimezone(UTC) for m in moments if row.get(m)}, **origin} for row in record["rows"]]
    return {record["table"]: rows, "commits": [{**origin, "kind": "rows", "stage": record["table"], "committed_at": moment}]}


def run_row(run: dict, summary: dict | None) -> dict:
    """A run, from the block that every record carries and, where it came to its end, from its summary."""
    summary = summary or {}
    ended = summary.get("ended_at")
    started = datetime.fromisoformat(run["started_at"])
    return {
        "run_id": run["run_id"],
        "state": summary.get("state", "ended" if ended else "unfinished"),
        "started_at": started,
        "ended_at": datetime.fromisoformat(ended) if ended else None,
        "actor": run["actor"],
        "code_version": run["code_version"],
        "config_sha256": run["settings_digest"],
        "config_json": run["settings_json"],
        "scope": run["scope"],
        "keystore_id": run["keystore_id"],
        "ray_version": run["ray_version"],
        "host_class": run["host_class"],
        "git_commit": run.get("git_commit") or None,
        "image_digest": run.get("image_digest") or None,
        "published": _count(summary.get("published")),
        "quarantined": _count(summary.get("quarantined")),
        "ingest_date": started.date(),
    }


def model_row(model: dict, day: date) -> dict:
    names = ("model_id", "name", "version", "format", "licence", "source", "task")
    return {**{n: model.get(n) for n in names}, "ingest_date": day}


def _count(value: object) -> int | None:
    """A summary may give a number, or a list of names."""
    return len(value) if isinstance(value, list | tuple | dict) else value  # type: ignore[return-value]


def _video(record: dict, origin: dict, moment: datetime) -> dict:
    source, facts, output = record["source"], record["facts"] or {}, record.get("output") or {}
    return {
        **origin,
        "state": record["kind"],
        "stage": record.get("stage"),
        "reason": record.get("reason"),
        "seq": record["seq"],
        "uri": source["uri"],
        "collection": record["collection"],
        "tags": record["tags"],
        "store_version_id": source["version"] or None,
        "size": source["size"] if source["size"] >= 0 else None,
        "sha256": source["sha256"] or None,
        **{k: facts.get(k) for k in ("container", "codec", "duration_us", "fps_num", "fps_den", "w", "h", "rotation", "frames")},
        "ingested_at": datetime.fromisoformat(record["ingested_at"]).astimezone(UTC) if record.get("ingested_at") else moment,
        "ingested_at_source": "manifest" if record.get("ingested_at") else "commit",
        "legal_basis": record.get("legal_basis") or None,
        **{k: record[k] for k in ("settings_digest", "keystore_id", "scope", "scope_name")},
        "object": output.get("object"),
        "out_sha256": output.get("sha256"),
        "stands": (record.get("stands") or {}).get("record_id"),
    }


def _verdict(record: dict, origin: dict, moment: datetime) -> dict:
    return {**origin, "verdict_id": record["record_id"], **record["verdict"], "at": moment}


def _output(record: dict, origin: dict, moment: datetime) -> dict:
    facts = {k: v for k, v in record["output"].items() if k != "object"}
    words = ("seq", "engine", "scope", "settings_digest", "keystore_id", "people", "faces")
    models = [m["model_id"] for m in record["models"]]
    return {**origin, **{w: record[w] for w in words}, **facts, "state": "current", "superseded_by": None, "model_ids": models, "committed_at": moment}
