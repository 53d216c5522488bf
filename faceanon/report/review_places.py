"""Which places a reviewer should look at: asked of the ledger, the most uncertain ones first.

A place is a track of an output that OUT shows now: one that was repaired, obscured where a face could have been, or scored low; or a whole
video of which an auditor or a reviewer said otherwise than "pass". Videos that no reviewer has spoken about come first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from faceanon.archive.store import LocalStore, S3Store
from faceanon.ledger.commit import read_record, record_id
from faceanon.ledger.events import EVENTS
from faceanon.ledger.query import query
from faceanon.ledger.rows import rows_of

LOW_SCORE = 0.6
WHOLE = -1  # the place that is a video as a whole
_READERS = 8
_ID = re.compile(r"[0-9a-f]{32}(-[0-9]{6,})?")

_PLACES = """WITH voices AS (SELECT output_id, coalesce(reviewer, auditor) AS voice, reviewer IS NOT NULL AS is_reviewer,
    arg_max(decision, "at") AS decision, arg_max(coalesce(reason, ''), "at") AS reason FROM verdicts GROUP BY output_id, voice, is_reviewer),
  judged AS (SELECT output_id, bool_or(is_reviewer) AS reviewed, bool_or(decision <> 'pass') AS failed,
    string_agg(voice || ' said ' || decision || ': ' || reason, '; ' ORDER BY voice) FILTER (decision <> 'pass') AS objection FROM voices GROUP BY output_id),
  shown AS (SELECT o.record_id AS record, o.output_id, o.frames, coalesce(j.reviewed, false) OR o.output_id IN ({reviewed}) AS reviewed,
    coalesce(j.failed, false) AS failed, j.objection FROM outputs o LEFT JOIN judged j ON j.output_id = o.output_id WHERE o.state = 'current'),
  places AS (SELECT s.record, s.reviewed, t.track_id AS track, t.first_frame AS first, t.stop_frame AS stop, t.label, round(t.score_mean, 2) AS score,
      t.frames_face AS replaced, t.frames_obscured AS obscured, coalesce(t.n_repaired, 0) AS repaired, NULL AS objection,
      2 * (coalesce(t.n_repaired, 0) > 0)::INT + t.frames_obscured / greatest(t.frames_face + t.frames_obscured, 1) + 1 - coalesce(t.score_mean, 0.5) AS uncertainty
    FROM shown s JOIN tracks t ON t.record_id = s.record
    WHERE coalesce(t.n_repaired, 0) > 0 OR t.frames_obscured > 0 OR t.score_mean < {low}
    UNION ALL SELECT record, reviewed, {whole}, 0, frames, '', NULL, 0, 0, 0, objection, 4 FROM shown WHERE failed),
  ranked AS (SELECT record, reviewed, max(uncertainty) AS most, count(*) AS n FROM places GROUP BY record, reviewed),
  taken AS (SELECT record, most, sum(n) OVER (ORDER BY reviewed, most DESC, record ROWS UNBOUNDED PRECEDING) - n AS before FROM ranked)
SELECT p.* FROM places p JOIN taken USING (record) WHERE before < {limit} ORDER BY before, p.uncertainty DESC, p.first, p.track"""

_VIDEOS = """SELECT o.record_id AS record, o.name, o.output_id, o.video_id, v.object, o.engine, o.frames, v.duration_us / 1e6 AS seconds, v.w, v.h, v.rotation,
  (SELECT list(stop_frame ORDER BY shot_no) FROM shots s WHERE s.record_id = o.record_id) AS stops
FROM outputs o JOIN videos v ON v.name = o.name WHERE o.record_id IN ({records}) AND v.record_id = o.record_id"""

_BOXES = """SELECT track_id, frame0, x, y, w, h FROM track_boxes
WHERE record_id = $record AND frame0 < $stop::INT AND frame0 + len(x) > $first::INT ORDER BY track_id, frame0"""

_FOLDED = "SELECT record_id FROM commits WHERE kind = 'rows' AND stage = 'verdicts'"


@dataclass(frozen=True)
class Place:
    """kinds: why it is here, in words. track: WHOLE for a video as a whole. score: of the detector; None where it never looked."""

    track: int
    first: int
    stop: int
    kinds: tuple[str, ...]
    label: str
    score: float | None
    replaced: int
    obscured: int
    repaired: int
    objection: str


@dataclass(frozen=True)
class Video:
    """One output that OUT shows, with its places. stops: where its shots end, in frames. width, height: as it is shown, px."""

    record: str
    name: str
    output_id: str
    video_id: str
    object: str
    engine: str
    frames: int
    seconds: float
    width: int
    height: int
    stops: tuple[int, ...]
    reviewed: bool
    places: tuple[Place, ...]


def videos(out: LocalStore | S3Store, limit: int) -> list[Video]:
    """Videos with uncertain places, in the order in which to look at them: as many as hold `limit` places, each with all of its own."""
    reviewed = [row["output_id"] for row in _unfolded(out) if row.get("reviewer")]
    asked = _PLACES.format(reviewed=_listed(reviewed), low=LOW_SCORE, whole=WHOLE, limit=int(limit))
    by_record: dict[str, list[dict[str, Any]]] = {}
    for row in query(out.root, asked).to_pylist():
        by_record.setdefault(row["record"], []).append(row)
    facts = {row["record"]: row for row in query(out.root, _VIDEOS.format(records=_listed(list(by_record)))).to_pylist()}
    return [_video(facts[record], rows) for record, rows in by_record.items() if record in facts]


def boxes(root_uri: str, record: str, first: int, stop: int) -> dict[int, list[list[int]]]:
    """frame -> [track, x, y, w, h] of every face that was covered there, as far as track_boxes still knows."""
    found: dict[int, list[list[int]]] = {}
    for row in query(root_uri, _BOXES, {"record": record, "first": str(first), "stop": str(stop)}).to_pylist():
        for at, box in enumerate(zip(row["x"], row["y"], row["w"], row["h"], strict=True)):
            if first <= row["frame0"] + at < stop:
                found.setdefault(row["frame0"] + at, []).append([row["track_id"], *box])
    return found


def _video(facts: dict[str, Any], rows: list[dict[str, Any]]) -> Video:
    turned = facts["rotation"] in (90, 270)
    width, height = (facts["h"], facts["w"]) if turned else (facts["w"], facts["h"])
    own = {word: facts[word] for word in ("record", "name", "output_id", "video_id", "object", "engine", "frames", "seconds")}
    return Video(**own, width=width, height=height, stops=tuple(facts["stops"] or ()), reviewed=rows[0]["reviewed"], places=tuple(_place(row) for row in rows))


def _place(row: dict[str, Any]) -> Place:
    kinds = {
        "verdict": row["objection"] is not None,
        "repaired": row["repaired"] > 0,
        "obscured": row["obscured"] > 0 and not row["repaired"],
        "low score": row["score"] is not None and row["score"] < LOW_SCORE,
    }
    words = {word: row[word] for word in ("track", "first", "stop", "score", "replaced", "obscured", "repaired")}
    return Place(**words, kinds=tuple(kind for kind, holds in kinds.items() if holds), label=row["label"] or "", objection=row["objection"] or "")


def _unfolded(out: LocalStore | S3Store) -> list[dict[str, Any]]:
    """Verdicts that no fold has taken yet."""
    folded = set(query(out.root, _FOLDED)["record_id"].to_pylist())
    paths = [path for path in out.list(f"{EVENTS}verdicts/") if path.endswith(".json") and record_id(path) not in folded]
    with ThreadPoolExecutor(_READERS) as readers:
        return [row for record in readers.map(lambda path: read_record(out, path), paths) for row in rows_of(record)["verdicts"]]


def _listed(ids: Sequence[str]) -> str:
    """Ids as the inside of an SQL list; what is none is left out."""
    return ", ".join(f"'{i}'" for i in ids if i and _ID.fullmatch(i)) or "''"
