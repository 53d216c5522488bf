"""What the page shows, asked of the ledger: totals over everything, and the newest videos one by one.

Out come plain values that JSON can hold; lists of rows are kept as columns, which are a third of the size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import groupby
from typing import Any

from faceanon.ledger.query import query

Ask = Callable[[str], Any]  # SQL to an Arrow table
Columns = dict[str, list[Any]]

TRACK_COLUMNS = ("label", "method", "first", "stop", "replaced", "obscured", "repaired", "width", "score", "distance")

_TOTALS = """SELECT count(*) AS videos, count(*) FILTER (v.state = 'published') AS published, count(*) FILTER (v.state = 'quarantined') AS quarantined,
  sum(v.duration_us) / 3.6e9 AS hours, sum(o.frames) AS frames, sum(o.size) AS bytes, sum(o.people) AS people, sum(t.tracks) AS tracks,
  sum(t.replaced) AS replaced, sum(t.obscured) AS obscured, count(*) FILTER (t.repaired > 0) AS repaired_videos
FROM videos v LEFT JOIN outputs o ON o.name = v.name AND o.state = 'current'
LEFT JOIN (SELECT record_id, count(*) AS tracks, sum(frames_face) AS replaced, sum(frames_obscured) AS obscured, sum(n_repaired) AS repaired
  FROM tracks GROUP BY record_id) t ON t.record_id = o.record_id"""

_VIDEOS = """SELECT v.name, v.state, v.collection, round(v.duration_us / 1e6, 2) AS seconds, v.frames, o.engine, o.people, t.tracks, t.replaced, t.obscured, t.repaired,
  strftime(coalesce(o.committed_at, v.ingested_at), '%Y-%m-%d %H:%M') AS day, CASE WHEN v.state = 'quarantined' THEN v.stage || ': ' || v.reason END AS reason,
  d.decision AS verdict, d.auditor, v.object AS file, o.record_id AS record
FROM videos v LEFT JOIN outputs o ON o.name = v.name AND o.state = 'current'
LEFT JOIN (SELECT record_id, count(*) AS tracks, sum(frames_face) AS replaced, sum(frames_obscured) AS obscured, sum(n_repaired) AS repaired
  FROM tracks GROUP BY record_id) t ON t.record_id = o.record_id
LEFT JOIN (SELECT output_id, arg_max(decision, "at") AS decision, arg_max(coalesce(auditor, reviewer), "at") AS auditor
  FROM verdicts GROUP BY output_id) d ON d.output_id = o.output_id
ORDER BY coalesce(o.committed_at, v.ingested_at) DESC NULLS LAST, v.name LIMIT {limit}"""

_SHOTS = """SELECT s.record_id AS record, list(s.stop_frame ORDER BY s.shot_no) AS stops FROM shots s JOIN outputs o ON o.record_id = s.record_id
WHERE o.state = 'current' GROUP BY s.record_id"""

_TRACKS = """SELECT t.record_id AS record, t.label, t.method, t.first_frame AS first, t.stop_frame AS stop, t.frames_face AS replaced, t.frames_obscured AS obscured,
  coalesce(t.n_repaired, 0) AS repaired, round(t.width_max) AS width, round(t.score_mean, 2) AS score, round(t.distance_to_original, 2) AS distance
FROM tracks t JOIN outputs o ON o.record_id = t.record_id WHERE o.state = 'current' ORDER BY t.record_id, t.first_frame, t.track_id"""

_LISTS = {
    "days": """SELECT strftime(day, '%Y-%m-%d') AS day, videos, faces, frames, round(s.seconds, 1) AS cpu_s
FROM (SELECT ingest_date AS day, count(*) AS videos, sum(faces) AS faces, sum(frames) AS frames FROM outputs GROUP BY ingest_date) o
LEFT JOIN (SELECT ingest_date, sum(seconds) AS seconds FROM segments GROUP BY ingest_date) s ON s.ingest_date = o.day ORDER BY day""",
    "quarantine": """SELECT stage, reason, count(*) AS videos, min(name) AS first FROM videos WHERE state = 'quarantined'
GROUP BY stage, reason ORDER BY videos DESC, stage, reason LIMIT 1000""",
    "models": """SELECT m.name, m.task, m.version, m.licence, left(m.model_id, 16) AS sha256, coalesce(u.outputs, 0) AS outputs
FROM (SELECT DISTINCT name, task, version, licence, model_id FROM models) m
LEFT JOIN (SELECT id, count(*) AS outputs FROM (SELECT unnest(model_ids) AS id FROM outputs WHERE state = 'current') GROUP BY id) u ON u.id = m.model_id
ORDER BY m.name, m.model_id""",
    "runs": """SELECT run_id AS run, state, strftime(started_at, '%Y-%m-%d %H:%M') AS started, round(epoch(ended_at - started_at)) AS seconds, actor,
  code_version AS code,  host_class AS host, scope, published, quarantined FROM runs ORDER BY started_at DESC LIMIT 200""",
    "verdicts": """SELECT coalesce(auditor, 'reviewer ' || reviewer) AS voice, decision, count(*) AS verdicts, strftime(max("at"), '%Y-%m-%d %H:%M') AS newest
FROM verdicts GROUP BY voice, decision ORDER BY voice, decision""",
    "retention": """SELECT phase, decision, coalesce(policy_id, '') AS policy, count(*) AS objects, min(reason) AS reason, strftime(max("at"), '%Y-%m-%d %H:%M') AS newest
FROM (SELECT video_id, version_id, arg_max(phase, "at") AS phase, arg_max(decision, "at") AS decision, arg_max(policy_id, "at") AS policy_id,
  arg_max(reason, "at") AS reason, max("at") AS "at"
  FROM retention_events GROUP BY video_id, version_id) GROUP BY ALL ORDER BY objects DESC LIMIT 200""",
    "holds": """SELECT hold_id AS hold, selector, case_ref AS "case", placed_by, strftime(placed_at, '%Y-%m-%d') AS since FROM holds
WHERE hold_id NOT IN (SELECT hold_id FROM holds WHERE released_at IS NOT NULL) ORDER BY placed_at LIMIT 200""",
}


def asker(root_uri: str) -> Ask:
    """Questions to the ledger below `root_uri`."""
    return lambda sql: query(root_uri, sql)


def overview(ask: Ask, limit: int) -> dict[str, Any]:
    """totals, one row; videos, at most `limit`, the newest first; and each list by its name."""
    totals = {name: values[0] or 0 for name, values in _plain(ask(_TOTALS)).items()}
    return {"totals": totals, "videos": _plain(ask(_VIDEOS.format(limit=int(limit)))), **{name: _plain(ask(sql)) for name, sql in _LISTS.items()}}


def timelines(ask: Ask, records: list[str | None]) -> Iterator[dict[str, Any] | None]:
    """For each record, in this order: its shots' ends and its tracks as columns; None where there is none."""
    stops = dict(zip(*_plain(ask(_SHOTS)).values(), strict=True))
    tracks = {record: _columns(list(rows)) for record, rows in groupby(ask(_TRACKS).to_pylist(), key=lambda row: row["record"])}
    for record in records:
        yield {"shots": stops.get(record, []), "tracks": tracks.get(record, _columns([]))} if record else None


def _plain(table: Any) -> Columns:
    """DuckDB's sums are decimals, which JSON does not know."""
    return {name: [int(value) if isinstance(value, Decimal) else value for value in values] for name, values in table.to_pydict().items()}


def _columns(rows: list[dict[str, Any]]) -> Columns:
    return {name: [row[name] for row in rows] for name in TRACK_COLUMNS}
