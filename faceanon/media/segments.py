"""Where a video is divided: spans that start at keyframes and together own each frame once. Pure; reads nothing but its arguments."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from faceanon.core.records import Cut, PacketIndex, Segment, VideoFacts
from faceanon.core.settings import PlanSettings
from faceanon.core.timeline import Span

ENDS_UNCLEAN = "its last frames depend on, or are shown among, frames after it"
_FEWEST_FRAMES = 4  # between two cuts, or stops, in a segment: where there are many, not each one need be remembered
_LONGEST = 1.5  # times the wanted length that a segment may last while a clean start is looked for


def plan_segments(video_id: str, facts: VideoFacts, index: PacketIndex, plan: PlanSettings) -> tuple[Segment, ...]:
    """Segments of about plan.segment_seconds; the first starts at facts.first_pts, each next one at a keyframe, a clean one where there is."""
    starts = [0, *_cuts(facts, index, plan)]
    stops = [*starts[1:], len(index.pts)]
    segments = []
    for number, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        stop_pts = int(index.pts[stop]) if stop < len(index.pts) else facts.stop_pts
        reason = _not_copyable_because(facts, index, start, stop)
        cuts = _fine_cuts(facts, index, start, stop)
        stops = _stops(index, start, stop) if cuts else ()
        segments.append(Segment(video_id, number, Span(int(index.pts[start]), stop_pts), start, stop - start, not reason, reason, cuts, stops))
    return tuple(segments)


def _cuts(facts: VideoFacts, index: PacketIndex, plan: PlanSettings) -> list[int]:
    """Frame numbers at which a new segment starts, without the first."""
    if not index.trustworthy or facts.container == "gif":
        return []
    wanted = max(1, int(Fraction(plan.segment_seconds) / facts.time_base))
    keys = np.flatnonzero(index.is_keyframe)
    keys = keys[keys > 0]
    clean = keys[index.is_clean_start[keys]]
    key_pts, clean_pts = index.pts[keys], index.pts[clean]
    cuts: list[int] = []
    start_pts = int(index.pts[0])
    while True:
        due, due_clean = np.searchsorted(key_pts, start_pts + wanted), np.searchsorted(clean_pts, start_pts + wanted)
        if due == len(keys):
            return cuts
        is_near = due_clean < len(clean) and clean_pts[due_clean] <= start_pts + _LONGEST * wanted
        cuts.append(int(clean[due_clean] if is_near else keys[due]))
        start_pts = int(index.pts[cuts[-1]])


def _fine_cuts(facts: VideoFacts, index: PacketIndex, start: int, stop: int) -> tuple[Cut, ...]:
    """Where packets can be cut in a segment, its ends included. An open GOP can be entered in HEVC alone: H.264 activates parameter sets at an IDR only."""
    if not index.trustworthy or facts.container == "gif" or not len(index.leading):
        return ()
    most = len(index.pts) if facts.codec == "hevc" else 0
    cuts: list[Cut] = []
    for frame in (start + np.flatnonzero(index.leading[start : stop + 1] >= 0)).tolist():
        leading = int(index.leading[frame])
        is_far = frame in (start, stop) or (frame - (cuts[-1].frame if cuts else start) >= _FEWEST_FRAMES and stop - frame >= _FEWEST_FRAMES)
        if leading <= most and is_far:
            cuts.append(Cut(frame, int(index.pts[frame]), frame - leading, int(index.pts[frame - leading])))
    if stop == len(index.pts):
        cuts.append(Cut(stop, facts.stop_pts, stop, facts.stop_pts))
    return tuple(cuts)


def _stops(index: PacketIndex, start: int, stop: int) -> tuple[tuple[int, int], ...]:
    """Where copied packets may end inside a segment, at least _FEWEST_FRAMES apart."""
    stops: list[tuple[int, int]] = []
    for frame in (start + np.flatnonzero(index.can_stop[start:stop])).tolist():
        if frame - (stops[-1][0] if stops else start) >= _FEWEST_FRAMES:
            stops.append((frame, int(index.pts[frame])))
    return tuple(stops)


def _not_copyable_because(facts: VideoFacts, index: PacketIndex, start: int, stop: int) -> str:
    if not index.trustworthy:
        return "its packets carry no usable times"
    if not index.is_clean_start[start]:
        return "its first frame depends on, or is shown among, frames before it"
    if stop < len(index.pts) and not index.is_clean_start[stop]:
        return ENDS_UNCLEAN
    return ""
