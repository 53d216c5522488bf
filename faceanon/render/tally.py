"""Counts what an engine did, track by track, for the ledger."""

from __future__ import annotations

import math

from faceanon.core.records import Painted, PaintRow, TrackPaint


class Tally:
    """One segment's counts. Distances keep the smallest seen."""

    def __init__(self) -> None:
        self._face: dict[int, int] = {}
        self._obscured: dict[int, int] = {}
        self._distance: dict[int, float] = {}
        self._strengthened: set[int] = set()

    def add(self, row: PaintRow) -> None:
        counts = self._face if row.painted == Painted.FACE else self._obscured
        counts[row.track] = counts.get(row.track, 0) + 1

    def measured(self, track: int, distance: float) -> None:
        self._distance[track] = min(distance, self._distance.get(track, math.inf))

    def strengthened(self, track: int) -> None:
        self._strengthened.add(track)

    def summary(self) -> tuple[TrackPaint, ...]:
        """Sorted by track number."""
        tracks = sorted(self._face.keys() | self._obscured.keys())
        return tuple(
            TrackPaint(t, self._face.get(t, 0), self._obscured.get(t, 0), self._distance.get(t, math.nan), t in self._strengthened) for t in tracks
        )
