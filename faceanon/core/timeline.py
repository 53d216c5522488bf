"""Exact time: an integer pts with a Fraction time base, and half-open spans. Seconds are for people."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Span:
    """Frames whose pts lies in [start_pts, stop_pts), in units of the stream's time base."""

    start_pts: int
    stop_pts: int

    def __post_init__(self) -> None:
        if self.stop_pts <= self.start_pts:
            raise ValueError(f"an empty span: got {self.start_pts = }, {self.stop_pts = }")

    def __contains__(self, pts: int) -> bool:
        return self.start_pts <= pts < self.stop_pts


def clock(total_s: float) -> str:
    """Seconds as h:mm:ss for a person."""
    whole = round(total_s)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}"
