"""Which frames each segment answers for: windows of a fixed length, aligned to the video's first frame, so that nothing depends on where segments begin."""

from __future__ import annotations

from collections.abc import Sequence

from faceanon.core.records import Segment

WINDOW = 16


def windows_of(segment: Segment) -> range:
    """Numbers of the windows that a segment answers for: those after the ones that begin in it, and the very first."""
    owned = range(-(-segment.first_frame // WINDOW), (segment.stop_frame - 1) // WINDOW + 1)
    return range(owned.start + 1 if owned.start else 0, owned.stop + 1) if owned else range(0)


def answering(frame: int, segments: Sequence[Segment]) -> int:
    """Number of the segment that answers for the frame's window. segments: of one video, in order."""
    window = frame // WINDOW
    return next(segment.segment_no for segment in segments if window in windows_of(segment))
