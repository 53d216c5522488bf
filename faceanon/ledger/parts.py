"""The rows inside a record: segments, shots and tracks, from the steps' own records. Pure; arrays come in, plain numbers go out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from faceanon.core.records import Method, Origin, RegionTable, StagedSegment, Track, TrackPaint, VideoPlan, VideoRegions


class Cuts(Protocol):
    """Where shots begin, as in VideoAnalysis."""

    cut_frame: NDArray[np.int32]
    cut_score: NDArray[np.float32]


def segments(plan: VideoPlan, staged: Sequence[StagedSegment]) -> list[dict]:
    spans = {s.segment_no: s for s in plan.segments}
    return [
        {
            "segment_no": s.segment_no,
            "pts_from": spans[s.segment_no].span.start_pts,
            "pts_to": spans[s.segment_no].span.stop_pts,
            "first_frame": spans[s.segment_no].first_frame,
            "frames": s.num_frames,
            "copied_frames": s.copied_frames,
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


def shots(num_frames: int, cuts: Cuts, frame_pts: NDArray[np.int64] | None) -> list[dict]:
    starts = [0, *(int(f) for f in cuts.cut_frame if 0 < f < num_frames)]
    scores = [None, *(number(s) for f, s in zip(cuts.cut_frame, cuts.cut_score, strict=True) if 0 < f < num_frames)]
    stops = [*starts[1:], num_frames]
    return [{"shot_no": no, **_frames(start, stop, frame_pts), "cut_score": score} for no, (start, stop, score) in enumerate(zip(starts, stops, scores, strict=True))]


def tracks(video: VideoRegions, staged: Sequence[StagedSegment], engine: str, frame_pts: NDArray[np.int64] | None) -> list[dict]:
    """A row for each track, and for each region without one: what the verifier found is painted under a number of its own."""
    labels = {track: identity.label for identity in video.identities for track in identity.tracks}
    paints: dict[int, list[TrackPaint]] = {}
    for segment in staged:
        for paint in segment.paints:
            paints.setdefault(paint.track, []).append(paint)
    known = {t.track_no: t for t in video.tracks}
    rows = []
    for track_no in sorted(known.keys() | {int(n) for n in np.unique(video.regions.track)}):
        regions = video.regions.take(video.regions.track == track_no)
        shape = _shape(known[track_no], frame_pts) if track_no in known else _shape_of_repair(regions, frame_pts)
        repaired = int((regions.method == Method.REPAIR).sum())
        rows.append({"track_id": track_no, "label": labels.get(track_no, ""), **shape, "n_repaired": repaired, **_painted(paints.get(track_no, []), engine)})
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
