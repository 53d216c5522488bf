"""Which segments, and which GOPs of a segment or parts of one, may be copied. Pure.

Copied and re-encoded packets can stand in one stream where every keyframe brings all that its decoder needs, or where parameter
sets can travel in the packets and the container's players accept it. Where nothing is encoded, any codec is copied.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from faceanon.core.records import Piece, Segment, VideoFacts
from faceanon.core.settings import EncodeSettings
from faceanon.core.timeline import Span
from faceanon.media.encoders import plan_encoder
from faceanon.media.planes import layout, painted_format
from faceanon.media.segments import ENDS_UNCLEAN

_SELF_CONTAINED = ("vp8", "vp9", "mjpeg")
FEWEST_COPIED = 8  # frames: fewer save less than the keyframe costs that must follow them
_IN_BAND_CONTAINERS = ("mp4", "mov", "matroska", "mpegts")


def mixable(facts: VideoFacts) -> str:
    """"" where copied source packets may stand beside re-encoded ones, else the reason why not."""
    where = f"{facts.codec} in {facts.container}"
    if facts.codec == "gif":
        return "gif: frames build on one another and share palettes"
    in_band = facts.codec in ("h264", "hevc") or (facts.codec == "mpeg2video" and facts.field_order == "progressive")
    if facts.codec not in _SELF_CONTAINED and not in_band:
        return f"{where}: one header holds for the whole stream"
    if in_band and facts.container not in (_IN_BAND_CONTAINERS if facts.codec != "mpeg2video" else ("mpegts",)):
        return f"{where}: the container has no place for a second set of parameters"
    if facts.codec == "h264" and "444" in facts.pix_fmt:
        return f"{where}: how 4:4:4 decodes depends on the encoder that the first packet names"
    written = plan_encoder(facts, EncodeSettings()).pix_fmt
    same = layout(facts.pix_fmt) is not None and written in (facts.pix_fmt, painted_format(facts.pix_fmt))
    return "" if same else f"{where}: re-encoded segments are {written}, not {facts.pix_fmt}"


def choose_copies(facts: VideoFacts, segments: Sequence[Segment], wanted: Collection[int]) -> dict[int, str]:
    """For every segment_no: "" to copy it, or why it is encoded. `wanted` names the segments that nothing is painted in.

    A whole video without painting is copied whatever its codec and however its segments meet, if its own start is clean.
    """
    if len(wanted) == len(segments) and starts_clean(segments):
        return {segment.segment_no: "" for segment in segments}
    reason = mixable(facts)
    return {s.segment_no: (reason or s.not_copyable_because) if s.segment_no in wanted else "it is painted" for s in segments}


def starts_clean(segments: Sequence[Segment]) -> bool:
    """True where the video's first frame depends on nothing that is hidden or missing."""
    return segments[0].copyable or segments[0].not_copyable_because == ENDS_UNCLEAN


def divide(segment: Segment, painted: NDArray[np.bool_]) -> tuple[Piece, ...]:
    """The segment as pieces in order, alternately copied and encoded. painted: (segment.num_frames,).

    Copied is every GOP in which nothing is painted, and of others what is shown and decoded before the first painted frame. Frames that are shown
    before the keyframe they follow in decoding go with the piece before, and there they are encoded.
    """
    pieces: list[Piece] = []
    at, at_pts = segment.first_frame, segment.span.start_pts
    for first, stop, first_pts, stop_pts in _copies(segment, painted):
        if stop - first < FEWEST_COPIED:
            continue
        if first > at:
            pieces.append(Piece(Span(at_pts, first_pts), at, first - at, False))
        pieces.append(Piece(Span(first_pts, stop_pts), first, stop - first, True))
        at, at_pts = stop, stop_pts
    if at < segment.stop_frame:
        pieces.append(Piece(Span(at_pts, segment.span.stop_pts), at, segment.stop_frame - at, False))
    return tuple(pieces)


def _copies(segment: Segment, painted: NDArray[np.bool_]) -> list[tuple[int, int, int, int]]:
    """Runs that could be copied, however short: first frame, the one after the last, and the pts of both."""
    busy = np.append(np.flatnonzero(painted) + segment.first_frame, segment.stop_frame + 1)  # frames, and one beyond the end
    next_busy = lambda frame: int(busy[np.searchsorted(busy, frame)])  # noqa: E731
    stops = [frame for frame, _ in segment.stops]
    copies: list[tuple[int, int, int, int]] = []
    for start, end in pairwise(segment.cuts):
        limit = next_busy(start.frame)
        stop, stop_pts = end.from_frame, end.from_pts
        if limit < stop:
            stop, stop_pts = max([(start.frame, start.pts), *segment.stops[bisect_left(stops, start.frame) : bisect_right(stops, limit)]])
        if stop <= start.frame:
            continue
        follows = bool(copies) and copies[-1][1] == start.from_frame and next_busy(start.from_frame) >= start.frame
        first, _, first_pts, _ = copies.pop() if follows else (start.frame, 0, start.pts, 0)
        copies.append((first, stop, first_pts, stop_pts))
    return copies


def as_segment(video_id: str, number: int, piece: Piece) -> Segment:
    """The piece as what reads, copies and stitches take."""
    return Segment(video_id, number, piece.span, piece.first_frame, piece.num_frames, piece.copied)
