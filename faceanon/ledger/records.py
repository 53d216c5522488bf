"""A committed decision about one video, as a plain dict that becomes one JSON object; pure functions, no store and no clock.

A record carries all that the tables need, so that whoever folds it has nothing else to read. Identical work gives identical
records but for who did it, when and where: `comparable` leaves those out. Numbers are plain, NaN is None, arrays never appear.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from faceanon.core.ids import output_id
from faceanon.core.records import (
    Method,
    Origin,
    Quarantined,
    RegionTable,
    SourceVersion,
    StagedSegment,
    Track,
    TrackPaint,
    Verdict,
    Verified,
    VideoFacts,
    VideoPlan,
    VideoRegions,
)
from faceanon.core.settings import Settings
from faceanon.ledger.tables import SCHEMA_VERSION

_VOLATILE = {
    "run", "run_id", "committed_at", "out_uri", "seq", "record_id", "supersedes", "stands", "attempt", "cpu_seconds", "seconds",
}  # fmt: skip  # who, when, where, how often, and what the name held before


@dataclass(frozen=True)
class RunInfo:
    """Which run a record comes from. `started_at` is ISO 8601 in UTC; `scope` is the scope's setting, `actor` who started it."""

    run_id: str
    started_at: str
    code_version: str
    settings_digest: str
    settings_json: str
    host_class: str
    keystore_id: str
    scope: str
    actor: str = ""
    ray_version: str = ""


class Cuts(Protocol):
    """Where shots begin, as in VideoAnalysis."""

    cut_frame: NDArray[np.int32]
    cut_score: NDArray[np.float32]


def object_name(output: str, name: str) -> str:
    """Where the committed file of an output lies, relative to OUT: by content id, so that no publication overwrites another."""
    return f"objects/{output[:2]}/{output}{PurePosixPath(name).suffix.lower()}"


def publication(
    plan: VideoPlan,
    verified: Verified,
    regions: VideoRegions,
    shots: Cuts,
    staged: Sequence[StagedSegment],
    run: RunInfo,
    settings: Settings,
    *,
    scope_name: str = "",
    object: str = "",
    models: Sequence[dict] = (),
    frame_pts: NDArray[np.int64] | None = None,
) -> dict:
    """The record of a verified video.

    scope_name: the scope's own name as it entered the output's id (default: run.scope). object: the committed file's name in the store (default: object_name).
    models: rows for the table `models`, at least {"model_id": sha256, "name": ...}. frame_pts (F,) lets shots and tracks say pts, too.
    """
    if verified.plan.video_id != plan.video_id or regions.video_id != plan.video_id:
        raise ValueError(f"parts of different videos: got {plan.video_id = }, {verified.plan.video_id = }, {regions.video_id = }")
    scope_name = scope_name or run.scope
    output = output_id(plan.video_id, run.settings_digest, run.keystore_id, scope_name)
    tracks = _tracks(regions, staged, settings.render.engine, frame_pts)
    return {
        **_head("published", plan.item.name, plan.video_id, plan.item.collection, plan.item.tags, plan.source, run, scope_name),
        "output_id": output,
        "engine": settings.render.engine,
        "facts": _facts(plan.facts),
        "output": {**_output(verified, staged), "object": object or object_name(output, plan.item.name)},
        "verdict": _verdict(verified.verdict),
        "people": len({t["label"] for t in tracks if t["label"]}),
        "faces": sum(t["trusted"] for t in tracks),
        "segments": _segments(plan, staged),
        "shots": _shots(plan.facts.num_frames_from_content, shots, frame_pts),
        "tracks": tracks,
        "models": sorted((dict(m) for m in models), key=lambda m: m["model_id"]),
    }


def quarantine(record: Quarantined, run: RunInfo, *, scope_name: str = "", facts: VideoFacts | None = None, verdict: Verdict | None = None) -> dict:
    """The record of a video that is not published; facts and verdict where the video came that far."""
    item = record.item
    source = record.source or SourceVersion(item.uri, -1, "", "")
    return {
        **_head("quarantined", item.name, record.video_id, item.collection, item.tags, source, run, scope_name or run.scope),
        "stage": record.stage,
        "reason": record.reason,
        "facts": _facts(facts) if facts else None,
        "verdict": _verdict(verdict) if verdict else None,
    }


def comparable(record: object) -> object:
    """What two runs of the same work must agree on: `record` without run ids, clocks, hosts, counters of attempts and absolute places."""
    if isinstance(record, dict):
        return {k: comparable(v) for k, v in sorted(record.items()) if k not in _VOLATILE}
    if isinstance(record, list | tuple):
        return [comparable(v) for v in record]
    return record


def _head(kind: str, name: str, video: str, collection: str, tags: Sequence[str], source: SourceVersion, run: RunInfo, scope_name: str) -> dict:
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": kind,
        "name": name,
        "video_id": video,
        "collection": collection,
        "tags": list(tags),
        "source": asdict(source),
        "run": asdict(run),
        "settings_digest": run.settings_digest,
        "keystore_id": run.keystore_id,
        "scope": run.scope,
        "scope_name": scope_name,
    }


def _facts(facts: VideoFacts) -> dict:
    rate = facts.average_rate
    return {
        "container": facts.container,
        "codec": facts.codec,
        "profile": facts.profile,
        "pix_fmt": facts.pix_fmt,
        "w": facts.width,
        "h": facts.height,
        "rotation": facts.rotation,
        "sar": str(facts.sar),
        "time_base": str(facts.time_base),
        "fps_num": rate.numerator if rate else None,
        "fps_den": rate.denominator if rate else None,
        "duration_us": round((facts.stop_pts - facts.first_pts) * facts.time_base * 1_000_000),
        "frames": facts.num_frames_from_content,
        "streams": [f"{s.kind}:{s.codec}" for s in facts.streams],
    }


def _output(verified: Verified, staged: Sequence[StagedSegment]) -> dict:
    facts = asdict(verified.output)
    facts["metadata_stripped"] = list(facts.pop("stripped"))
    facts["dropped_streams"] = list(facts["dropped_streams"])
    facts["frames"] = facts.pop("num_frames")
    facts["reencode_reason"] = "; ".join(sorted({s.reason for s in staged if not s.copied and s.reason}))
    return facts


def _verdict(verdict: Verdict) -> dict:
    return {
        "auditor": verdict.auditor,
        "auditor_model_id": verdict.auditor_model_sha256,
        "frames_sampled": verdict.frames_sampled,
        "residual_faces": len(verdict.leaks),
        "max_residual_score": number(max((leak.score for leak in verdict.leaks), default=math.nan)),
        "decision": verdict.decision,
        "reason": "; ".join(verdict.problems),
        "repairs": verdict.repairs,
    }


def _segments(plan: VideoPlan, staged: Sequence[StagedSegment]) -> list[dict]:
    spans = {s.segment_no: s for s in plan.segments}
    return [
        {
            "segment_no": s.segment_no,
            "pts_from": spans[s.segment_no].span.start_pts,
            "pts_to": spans[s.segment_no].span.stop_pts,
            "first_frame": spans[s.segment_no].first_frame,
            "frames": s.num_frames,
            "state": "copied" if s.copied else "encoded",
            "reason": s.reason,
            "attempt": s.attempt,
            "out_sha256": s.sha256,
            "size": s.size,
            "decode_errors": s.decode_errors,
            "seconds": number(s.cpu_seconds),
        }
        for s in sorted(staged, key=lambda s: s.segment_no)
    ]


def _shots(num_frames: int, cuts: Cuts, frame_pts: NDArray[np.int64] | None) -> list[dict]:
    starts = [0, *(int(f) for f in cuts.cut_frame if 0 < f < num_frames)]
    scores = [None, *(number(s) for f, s in zip(cuts.cut_frame, cuts.cut_score, strict=True) if 0 < f < num_frames)]
    stops = [*starts[1:], num_frames]
    return [{"shot_no": no, **_frames(start, stop, frame_pts), "cut_score": score} for no, (start, stop, score) in enumerate(zip(starts, stops, scores, strict=True))]


def _tracks(video: VideoRegions, staged: Sequence[StagedSegment], engine: str, frame_pts: NDArray[np.int64] | None) -> list[dict]:
    """A row for each track, and for each region without one: what the verifier found is painted under a number of its own."""
    labels = {track: identity.label for identity in video.identities for track in identity.tracks}
    paints: dict[int, list[TrackPaint]] = {}
    for segment in staged:
        for paint in segment.paints:
            paints.setdefault(paint.track, []).append(paint)
    known = {t.track_no: t for t in video.tracks}
    rows = []
    for number_ in sorted(known.keys() | {int(n) for n in np.unique(video.regions.track)}):
        regions = video.regions.take(video.regions.track == number_)
        shape = _shape(known[number_], frame_pts) if number_ in known else _shape_of_repair(regions, frame_pts)
        repaired = int((regions.method == Method.REPAIR).sum())
        rows.append({"track_id": number_, "label": labels.get(number_, ""), **shape, "n_repaired": repaired, **_painted(paints.get(number_, []), engine)})
    return rows


def _shape(track: Track, frame_pts: NDArray[np.int64] | None) -> dict:
    first = int(track.frame[0]) if len(track.frame) else 0
    seen = track.score[track.origin == Origin.DETECTED]
    counts = {name: int((track.origin == origin).sum()) for name, origin in _COUNTED.items()}
    return {
        "shot_no": track.shot_no,
        "trusted": bool(track.trusted),
        **_frames(first, first + len(track.frame), frame_pts),
        **counts,
        "score_min": number(seen.min()) if len(seen) else None,
        "score_mean": number(seen.mean(dtype=np.float64)) if len(seen) else None,
        "score_max": number(seen.max()) if len(seen) else None,
        **_sizes(track.box),
    }


_COUNTED = {"n_det": Origin.DETECTED, "n_followed": Origin.FOLLOWED, "n_interpolated": Origin.INTERPOLATED, "n_held": Origin.HELD}


def _shape_of_repair(regions: RegionTable, frame_pts: NDArray[np.int64] | None) -> dict:
    return {
        "shot_no": None,
        "trusted": False,
        **_frames(int(regions.frame.min()), int(regions.frame.max()) + 1, frame_pts),
        **dict.fromkeys(_COUNTED, 0),
        **dict.fromkeys(("score_min", "score_mean", "score_max")),
        **_sizes(regions.face),
    }


def _sizes(boxes: NDArray[np.float32]) -> dict:
    if not len(boxes):
        return {"area_min": None, "area_max": None, "width_max": None}
    width = boxes[:, 2] - boxes[:, 0]
    area = width * (boxes[:, 3] - boxes[:, 1])
    return {"area_min": number(area.min()), "area_max": number(area.max()), "width_max": number(width.max())}


def _painted(paints: list[TrackPaint], engine: str) -> dict:
    """A track counts as the engine's where the engine painted any frame of it; the counts say how many."""
    faces = sum(p.num_face for p in paints)
    distances = [p.distance_to_original for p in paints if not math.isnan(p.distance_to_original)]
    return {
        "method": engine if faces else "obscured",
        "frames_face": faces,
        "frames_obscured": sum(p.num_obscured for p in paints),
        "distance_to_original": number(min(distances, default=math.nan)),
        "strengthened": any(p.strengthened for p in paints),
    }


def _frames(first: int, stop: int, frame_pts: NDArray[np.int64] | None) -> dict:
    """A run of frames, with the pts of its first and last frame where they are known."""
    if frame_pts is None or not first < stop <= len(frame_pts):
        return {"first_frame": first, "stop_frame": stop, "pts_from": None, "pts_to": None}
    return {"first_frame": first, "stop_frame": stop, "pts_from": int(frame_pts[first]), "pts_to": int(frame_pts[stop - 1])}


def number(value: float) -> float | None:
    """Six digits after the point, None for NaN: what JSON and every table can hold."""
    return None if math.isnan(value) else round(float(value), 6)
