"""Cuts that were found against a table of cuts that are there: precision, recall and F1."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from faceanon.core.errors import UsageError


@dataclass(frozen=True)
class CutScore:
    """One clip, or all of them."""

    clip: str
    found: int
    missed: tuple[int, ...]  # first frames of shots whose cut was not found
    invented: tuple[int, ...]

    @property
    def precision(self) -> float:
        return self.found / (self.found + len(self.invented)) if self.found + len(self.invented) else 1.0

    @property
    def recall(self) -> float:
        return self.found / (self.found + len(self.missed)) if self.found + len(self.missed) else 1.0

    @property
    def f1(self) -> float:
        total = 2 * self.found + len(self.missed) + len(self.invented)
        return 2 * self.found / total if total else 1.0


def read_cuts(table: Path) -> dict[str, tuple[int, ...]]:
    """Clip name to the first frames of its new shots, from tab-separated clip, kind, start, end; a clip with other kinds only has none."""
    cuts: dict[str, list[int]] = {}
    try:
        with table.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines, delimiter="\t"):
                frames = cuts.setdefault(row["clip"], [])
                if row["kind"] == "cut":
                    frames.append(int(row["end"]))
    except (OSError, KeyError, ValueError) as error:
        raise UsageError(f"is not a table of cuts (clip, kind, start, end): {error}", source=str(table)) from error
    return {clip: tuple(sorted(frames)) for clip, frames in cuts.items()}


def score_cuts(clip: str, found: Sequence[int], truth: Sequence[int], tolerance_frames: int = 0) -> CutScore:
    """Each cut is matched once, nearest first in order of time."""
    left = sorted(found)
    missed = []
    for cut in sorted(truth):
        near = [f for f in left if abs(f - cut) <= tolerance_frames]
        if near:
            left.remove(min(near, key=lambda f: (abs(f - cut), f)))
        else:
            missed.append(cut)
    return CutScore(clip, len(truth) - len(missed), tuple(missed), tuple(left))


def evaluate_shots(found: Mapping[str, Sequence[int]], truth: Mapping[str, Sequence[int]], tolerance_frames: int = 0) -> list[CutScore]:
    """One score for each clip of `truth` that was looked at, then their sum as 'all'. The sum's missed and invented name frames only."""
    scores = [score_cuts(clip, found[clip], truth[clip], tolerance_frames) for clip in sorted(truth) if clip in found]
    missed = tuple(f for s in scores for f in s.missed)
    invented = tuple(f for s in scores for f in s.invented)
    return [*scores, CutScore("all", sum(s.found for s in scores), missed, invented)]
