"""Tables of text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from faceanon.evaluation.detection import RecallRow
from faceanon.evaluation.shots import CutScore
from faceanon.evaluation.swap import Total, Tracklet


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns as wide as they need; numbers to the right, words to the left."""
    cells = [[str(c) for c in header]] + [[f"{c:.3f}" if isinstance(c, float) else str(c) for c in row] for row in rows]
    wide = [max(len(row[i]) for row in cells) for i in range(len(header))]
    numeric = [bool(rows) and all(isinstance(row[i], (int, float)) for row in rows) for i in range(len(header))]
    lines = ["  ".join(c.rjust(w) if right else c.ljust(w) for c, w, right in zip(row, wide, numeric, strict=True)).rstrip() for row in cells]
    return "\n".join([lines[0], "  ".join("-" * w for w in wide), *lines[1:]])


def recall_table(rows: Sequence[RecallRow]) -> str:
    """One line a range of widths, one column a detector."""
    names = list(dict.fromkeys(row.detector for row in rows))
    ranges = list(dict.fromkeys((row.from_px, row.below_px) for row in rows))
    by_key = {(row.detector, row.from_px, row.below_px): row for row in rows}
    lines: list[list[object]] = []
    for low, high in ranges:
        first = by_key[(names[0], low, high)]
        lines.append([f"{low}-{high - 1} px" if high < 100_000 else f"{low} px and more", first.faces, *(by_key[(n, low, high)].recall for n in names)])
    spurious: list[object] = ["boxes on no labelled face", "", *(by_key[(n, *ranges[0])].spurious for n in names)]
    return table(["face width", "faces", *names], [*lines, spurious])


def cut_table(scores: Sequence[CutScore]) -> str:
    """One line a clip."""
    rows = [[s.clip, s.found, len(s.missed), len(s.invented), s.precision, s.recall, s.f1] for s in scores]
    return table(["clip", "found", "missed", "invented", "precision", "recall", "F1"], rows)


def swap_table(tracklets: Sequence[Tracklet], totals: Sequence[Total]) -> str:
    """One line a tracklet, then one a clip. Spreads are of dlib's or whichever embedder looked; the interval is of new less original."""
    spreads = ("spread original", "new", "new - original", "90 %")
    head = ("clip", "frames", "to", "px", "sampled", "swapped", "frontal", "swapped", *spreads, "distance", "least")
    rows = [
        (t.clip, t.first_frame, t.last_frame, round(t.width_px), t.frames, t.swapped, t.frontal, t.frontal_swapped, *_spreads(t), t.distance, t.least_distance)
        for t in tracklets
    ]
    head_of_clips = ("clip", "tracklets", "frames", "swapped", "frontal", "swapped", *spreads, "larger", "of", "far", "of")
    rows_of_clips = [
        (t.clip, t.tracklets, t.frames, t.swapped_share, t.frontal, t.frontal_swapped_share, *_spreads(t), t.larger, t.measured, t.far, t.with_distance)
        for t in totals
    ]
    return table(head, rows) + "\n\n" + table(head_of_clips, rows_of_clips)


def _spreads(one: Tracklet | Total) -> tuple[float, float, float, str]:
    return one.original_spread, one.new_spread, one.new_spread - one.original_spread, f"{one.low:+.3f} {one.high:+.3f}"
