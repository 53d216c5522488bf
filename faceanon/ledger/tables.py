"""The ledger's tables: names, columns and types, written once.

Every table is a Delta table under OUT/ledger/<name>, partitioned by ingest_date, with a schema_version in every row and UTC
microseconds for moments. Rows come from committed records (one JSON object a decision) and name theirs in `record_id`, so any
table can be made again. `videos` has one row per name, the newest decision; `outputs` one per publication, of which the newest of a name is
"current". subject_keys, policies, holds and retention_events take rows that `events.append_rows` made durable, one record at a time. `videos` also holds
what a plan asks of a name (settings, keys, scope, the committed object, and the record that stands below a quarantine).
A person is a `label` and nothing else: there is no column for an embedding, a crop or a picture, and none may be added. Where a face was, frame by
frame, stands in `track_boxes` alone, whole px in lists of at most 256 frames, for a number of days that the settings say.
Columns are only ever added; a table written by an older version answers null for the ones it lacks.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

import pyarrow as pa

SCHEMA_VERSION = 2  # 1: without what has come since the first release; such rows answer null

_TEXT, _WHOLE, _REAL, _YES = pa.string(), pa.int64(), pa.float64(), pa.bool_()
_WORDS, _WHOLES = pa.list_(pa.string()), pa.list_(pa.int32())
_MOMENT = pa.timestamp("us", tz="UTC")

_BOOKKEEPING = {"schema_version": pa.int32(), "ingest_date": pa.date32()}
_ORIGIN = {"record_id": _TEXT, "run_id": _TEXT, "video_id": _TEXT, "output_id": _TEXT, "name": _TEXT}

_COLUMNS: dict[str, dict[str, pa.DataType]] = {
    "videos": {
        "name": _TEXT, "state": _TEXT, "stage": _TEXT, "reason": _TEXT, "video_id": _TEXT, "output_id": _TEXT, "record_id": _TEXT, "run_id": _TEXT, "seq": _WHOLE,
        "uri": _TEXT, "collection": _TEXT, "tags": _WORDS, "store_version_id": _TEXT, "size": _WHOLE, "sha256": _TEXT,
        "container": _TEXT, "codec": _TEXT, "duration_us": _WHOLE, "fps_num": _WHOLE, "fps_den": _WHOLE, "w": _WHOLE, "h": _WHOLE, "rotation": _WHOLE,
        "frames": _WHOLE, "ingested_at": _MOMENT, "ingested_at_source": _TEXT, "legal_basis": _TEXT,
        "settings_digest": _TEXT, "keystore_id": _TEXT, "scope": _TEXT, "scope_name": _TEXT, "object": _TEXT, "out_sha256": _TEXT, "stands": _TEXT,
    },
    "runs": {
        "run_id": _TEXT, "state": _TEXT, "started_at": _MOMENT, "ended_at": _MOMENT, "actor": _TEXT, "code_version": _TEXT, "config_sha256": _TEXT, "config_json": _TEXT,
        "scope": _TEXT, "keystore_id": _TEXT, "ray_version": _TEXT, "host_class": _TEXT, "git_commit": _TEXT, "image_digest": _TEXT,
        "published": _WHOLE, "quarantined": _WHOLE,
    },
    "models": {
        "model_id": _TEXT, "name": _TEXT, "version": _TEXT, "format": _TEXT, "licence": _TEXT, "source": _TEXT, "task": _TEXT,
    },
    "segments": {
        **_ORIGIN, "segment_no": _WHOLE, "pts_from": _WHOLE, "pts_to": _WHOLE, "first_frame": _WHOLE, "frames": _WHOLE, "state": _TEXT, "reason": _TEXT,
        "attempt": _WHOLE, "in_sha256": _TEXT, "out_sha256": _TEXT, "size": _WHOLE, "decode_errors": _WHOLE, "seconds": _REAL,
        "copied_frames": _WHOLE,
    },
    "shots": {
        **_ORIGIN, "shot_no": _WHOLE, "first_frame": _WHOLE, "stop_frame": _WHOLE, "pts_from": _WHOLE, "pts_to": _WHOLE, "cut_score": _REAL,
    },
    "tracks": {
        **_ORIGIN, "track_id": _WHOLE, "shot_no": _WHOLE, "label": _TEXT, "method": _TEXT, "trusted": _YES, "first_frame": _WHOLE, "stop_frame": _WHOLE,
        "pts_from": _WHOLE, "pts_to": _WHOLE, "n_det": _WHOLE, "n_followed": _WHOLE, "n_interpolated": _WHOLE, "n_held": _WHOLE, "n_repaired": _WHOLE,
        "score_min": _REAL, "score_mean": _REAL, "score_max": _REAL, "area_min": _REAL, "area_max": _REAL, "width_max": _REAL,
        "frames_face": _WHOLE, "frames_obscured": _WHOLE, "distance_to_original": _REAL, "strengthened": _YES,
    },
    "outputs": {
        **_ORIGIN, "seq": _WHOLE, "state": _TEXT, "superseded_by": _TEXT, "out_uri": _TEXT, "size": _WHOLE, "sha256": _TEXT,
        "container": _TEXT, "codec": _TEXT, "frames": _WHOLE, "engine": _TEXT, "scope": _TEXT, "settings_digest": _TEXT, "keystore_id": _TEXT,
        "copied_segments": _WHOLE, "encoded_segments": _WHOLE, "reencode_reason": _TEXT,
        "audio_action": _TEXT, "subtitle_action": _TEXT, "metadata_stripped": _WORDS, "dropped_streams": _WORDS, "people": _WHOLE, "faces": _WHOLE,
        "model_ids": _WORDS, "committed_at": _MOMENT, "c2pa_manifest_sha256": _TEXT,
        "copied_frames": _WHOLE,
    },
    "verdicts": {
        "verdict_id": _TEXT, **_ORIGIN, "auditor": _TEXT, "auditor_model_id": _TEXT, "frames_sampled": _WHOLE, "residual_faces": _WHOLE, "max_residual_score": _REAL,
        "decision": _TEXT, "reason": _TEXT, "repairs": _WHOLE, "reviewer": _TEXT, "at": _MOMENT,
    },
    "track_boxes": {
        **_ORIGIN, "track_id": _WHOLE, "chunk_no": _WHOLE, "frame0": _WHOLE,
        "x": _WHOLES, "y": _WHOLES, "w": _WHOLES, "h": _WHOLES, "score_percent": _WHOLES, "source": _WHOLES,
    },
    "subject_keys": {
        "record_id": _TEXT, "event_id": _TEXT, "scope": _TEXT, "key_ref": _TEXT, "state": _TEXT, "created_at": _MOMENT, "destroyed_at": _MOMENT,
        "reason": _TEXT, "actor": _TEXT, "labels": _WHOLE,
    },
    "policies": {
        "record_id": _TEXT, "policy_id": _TEXT, "version": _TEXT, "selector": _TEXT, "basis": _TEXT, "min_days": _WHOLE, "max_days": _WHOLE, "grace_days": _WHOLE,
        "action": _TEXT, "approved_by": _TEXT, "sha256": _TEXT, "at": _MOMENT,
    },
    "holds": {
        "record_id": _TEXT, "hold_id": _TEXT, "selector": _TEXT, "case_ref": _TEXT, "placed_by": _TEXT, "placed_at": _MOMENT, "review_at": _MOMENT,
        "released_by": _TEXT, "released_at": _MOMENT, "reason": _TEXT,
    },
    "retention_events": {
        "record_id": _TEXT, "event_id": _TEXT, "retention_run_id": _TEXT, "video_id": _TEXT, "name": _TEXT, "uri": _TEXT, "version_id": _TEXT, "policy_id": _TEXT,
        "phase": _TEXT, "decision": _TEXT, "reason": _TEXT, "evidence_json": _TEXT, "clock_local": _MOMENT, "clock_store": _MOMENT, "at": _MOMENT,
    },
    "commits": {**_ORIGIN, "seq": _WHOLE, "kind": _TEXT, "stage": _TEXT, "reason": _TEXT, "committed_at": _MOMENT},
}  # fmt: skip

TABLES: dict[str, pa.Schema] = {name: pa.schema({**columns, **_BOOKKEEPING}) for name, columns in _COLUMNS.items()}


def to_arrow(name: str, rows: Sequence[dict]) -> pa.Table:
    """Rows of table `name` as Arrow; a column that a row lacks is null, a column that the table lacks is an error."""
    schema = TABLES[name]
    unknown = set().union(*rows) - set(schema.names) if rows else set()
    if unknown:
        raise ValueError(f"table {name} has no column {sorted(unknown)[0]}")
    columns = {"schema_version": [SCHEMA_VERSION] * len(rows), **_transposed(rows)}
    return pa.Table.from_arrays([pa.array(columns[f.name], f.type) if f.name in columns else pa.nulls(len(rows), f.type) for f in schema], schema=schema)


def _transposed(rows: Sequence[dict]) -> dict[str, Sequence]:
    """Columns of rows, which nearly always have the same keys."""
    names = sorted(set().union(*rows))
    if len(names) < 2:
        return {name: [row.get(name) for row in rows] for name in names}
    try:
        return dict(zip(names, zip(*map(itemgetter(*names), rows), strict=True), strict=True))
    except KeyError:
        return {name: [row.get(name) for row in rows] for name in names}
