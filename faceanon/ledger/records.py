"""A committed decision about one video, as a plain dict that becomes one JSON object; pure functions, no store and no clock.

A record carries all that the tables need, so that whoever folds it has nothing else to read. Identical work gives identical
records but for who did it, when and where: `comparable` leaves those out. Numbers are plain, NaN is None, arrays never appear.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from faceanon.core.ids import output_id
from faceanon.core.records import Quarantined, SourceItem, SourceVersion, StagedSegment, Verdict, Verified, VideoFacts, VideoPlan, VideoRegions
from faceanon.core.settings import Settings
from faceanon.ledger import parts
from faceanon.ledger.runinfo import RunInfo
from faceanon.ledger.tables import SCHEMA_VERSION

__all__ = ["RunInfo", "comparable", "object_name", "publication", "quarantine"]

_VOLATILE = {
    "run", "run_id", "committed_at", "out_uri", "seq", "record_id", "supersedes", "stands", "attempt", "cpu_seconds", "seconds",
    "ingest_date", "ingested_at", "boxes", "at", "verdict_id", "started_at", "ended_at", "host_class", "ray_version",
}  # fmt: skip  # who, when, where, how often, and what the name held before; in a record and in the rows made of it


def object_name(output: str, name: str) -> str:
    """Where the committed file of an output lies, relative to OUT: by content id, so that no publication overwrites another."""
    return f"objects/{output[:2]}/{output}{PurePosixPath(name).suffix.lower()}"


def publication(
    plan: VideoPlan,
    verified: Verified,
    regions: VideoRegions,
    shots: parts.Cuts,
    staged: Sequence[StagedSegment],
    run: RunInfo,
    settings: Settings,
    *,
    scope_name: str = "",
    object: str = "",
    models: Sequence[dict] = (),
    frame_pts: NDArray[np.int64] | None = None,
    boxes: dict | None = None,
) -> dict:
    """The record of a verified video.

    scope_name: the scope's own name as it entered the output's id (default: run.scope). object: the committed file's name in the store (default: object_name).
    models: rows for the table `models`, at least {"model_id": sha256, "name": ...}. frame_pts (F,) lets shots and tracks say pts, too.
    boxes: where the rows of track_boxes lie, as `boxes.write` says.
    """
    if verified.plan.video_id != plan.video_id or regions.video_id != plan.video_id:
        raise ValueError(f"parts of different videos: got {plan.video_id = }, {verified.plan.video_id = }, {regions.video_id = }")
    scope_name = scope_name or run.scope
    corrections = [correction.correction_id for correction in plan.corrections]
    output = output_id(plan.video_id, run.settings_digest, run.keystore_id, scope_name, corrections)
    tracks = parts.tracks(regions, staged, settings.render.engine, frame_pts)
    return {
        **_head("published", plan.item, plan.video_id, plan.source, run, scope_name, corrections),
        "output_id": output,
        "engine": settings.render.engine,
        "facts": _facts(plan.facts),
        "output": {**_output(verified, staged), "object": object or object_name(output, plan.item.name)},
        "verdict": _verdict(verified.verdict),
        "people": len({t["label"] for t in tracks if t["label"]}),
        "faces": sum(t["trusted"] for t in tracks),
        "segments": parts.segments(plan, staged),
        "shots": parts.shots(plan.facts.num_frames_from_content, shots, frame_pts),
        "tracks": tracks,
        "boxes": boxes,
        "models": sorted((dict(m) for m in models), key=lambda m: m["model_id"]),
    }


def quarantine(record: Quarantined, run: RunInfo, *, scope_name: str = "", facts: VideoFacts | None = None, verdict: Verdict | None = None) -> dict:
    """The record of a video that is not published; facts and verdict where the video came that far."""
    item = record.item
    source = record.source or SourceVersion(item.uri, -1, "", "")
    return {
        **_head("quarantined", item, record.video_id, source, run, scope_name or run.scope, record.corrections),
        "stage": record.stage,
        "reason": record.reason,
        "facts": _facts(facts) if facts else None,
        "verdict": _verdict(verdict) if verdict else None,
    }


def comparable(record: object) -> object:
    """What two runs of the same work must agree on: `record` (or rows of a table) without run ids, clocks, hosts, counters of attempts and absolute places."""
    if isinstance(record, dict):
        return {k: comparable(v) for k, v in sorted(record.items()) if k not in _VOLATILE}
    if isinstance(record, list | tuple):
        return [comparable(v) for v in record]
    return record


def _head(kind: str, item: SourceItem, video: str, source: SourceVersion, run: RunInfo, scope_name: str, corrections: Sequence[str]) -> dict:
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": kind,
        "name": item.name,
        "video_id": video,
        "collection": item.collection,
        "tags": list(item.tags),
        "legal_basis": item.legal_basis,
        "ingested_at": item.ingested_at,
        "source": asdict(source),
        "run": asdict(run),
        "settings_digest": run.settings_digest,
        "keystore_id": run.keystore_id,
        "scope": run.scope,
        "scope_name": scope_name,
        **({"corrections": sorted(corrections)} if corrections else {}),
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
    facts["c2pa_manifest_sha256"] = facts["c2pa_manifest_sha256"] or None
    facts["reencode_reason"] = "; ".join(sorted({s.reason for s in staged if not s.copied and s.reason}))
    return facts


def _verdict(verdict: Verdict) -> dict:
    return {
        "auditor": verdict.auditor,
        "auditor_model_id": verdict.auditor_model_sha256,
        "frames_sampled": verdict.frames_sampled,
        "residual_faces": len(verdict.leaks),
        "max_residual_score": parts.number(max((leak.score for leak in verdict.leaks), default=math.nan)),
        "decision": verdict.decision,
        "reason": "; ".join(verdict.problems),
        "repairs": verdict.repairs,
    }
