"""A picture of the main numbers of several engines: one block of bars a question, with 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from faceanon.core.picture import Image
from faceanon.evaluation.faces import Row
from faceanon.evaluation.intervals import Estimate

# (words that a question starts with, its judge, which way is better)
SHOWN = (
    ("re-identified, other photo in the gallery, top-1 ", "faceres", "lower"),
    ("re-identified, other photo in the gallery, top-10 ", "faceres", "lower"),
    ("original to new, under", "faceres", "lower"),
    ("same person, two photos, under", "faceres", "higher"),
    ("re-detected", "", "higher"),
    ("landmark error", "", "lower"),
    ("mouth opening, correlation", "", "higher"),
    ("eye opening, correlation", "", "higher"),
    ("emotion, same top class", "", "higher"),
    ("Frechet distance", "faceres", "lower"),
    ("skin, difference", "", "lower"),
    ("ms a face", "", "lower"),
)
_COLOURS = ((180, 119, 31), (14, 127, 255), (44, 160, 44), (40, 39, 214), (189, 103, 148), (75, 86, 140), (194, 119, 227), (127, 127, 127))
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_BLOCK_W, _BAR, _HEAD, _PAD, _NAMES = 520, 18, 30, 14, 170


def plot(rows: Mapping[str, Sequence[Row]]) -> Image:
    """Blocks in two columns; a question that nobody answered is left out."""
    blocks = [block for block in (_block(rows, *shown) for shown in SHOWN) if block is not None]
    if not blocks:
        return np.full((_HEAD, _BLOCK_W, 3), 255, np.uint8)
    blocks += [np.full_like(blocks[0], 255)] * (len(blocks) % 2)
    return np.vstack([np.hstack(blocks[k : k + 2]) for k in range(0, len(blocks), 2)])


def _block(rows: Mapping[str, Sequence[Row]], start: str, judge: str, better: str) -> Image | None:
    found = {word: next((row for row in own if row.judge == judge and row.question.startswith(start)), None) for word, own in rows.items()}
    known = [row for row in found.values() if row is not None and not math.isnan(row.found.value)]
    if not known:
        return None
    canvas = np.full((_HEAD + _BAR * len(rows) + _PAD, _BLOCK_W, 3), 255, np.uint8)
    title = f"{known[0].question.split(', under')[0]}{' (' + judge + ')' if judge else ''}: {better} is better"
    cv2.putText(canvas, title, (8, 20), _FONT, min(0.45, 0.45 * 66 / len(title)), (0, 0, 0), 1, cv2.LINE_AA)
    most = max(max(row.found.value, 0.0 if math.isnan(row.found.high) else row.found.high) for row in known) or 1.0
    for number, (word, row) in enumerate(found.items()):
        y = _HEAD + _BAR * number
        cv2.putText(canvas, word, (8, y + 13), _FONT, 0.42, (60, 60, 60), 1, cv2.LINE_AA)
        if row is not None and not math.isnan(row.found.value):
            _bar(canvas, y, row.found, row.percent, most, _COLOURS[number % len(_COLOURS)])
    return canvas


def _bar(canvas: Image, y: int, found: Estimate, percent: bool, most: float, colour: tuple[int, int, int]) -> None:
    wide = _BLOCK_W - _NAMES - 90

    def at(value: float) -> int:
        return _NAMES + round(wide * min(max(value / most, 0.0), 1.0))

    cv2.rectangle(canvas, (_NAMES, y + 2), (max(at(found.value), _NAMES + 1), y + _BAR - 4), colour, -1)
    if not math.isnan(found.low):
        cv2.line(canvas, (at(found.low), y + _BAR // 2 - 1), (at(found.high), y + _BAR // 2 - 1), (0, 0, 0), 1)
    text = f"{found.value * 100:.1f} %" if percent else f"{found.value:.3g}"
    cv2.putText(canvas, text, (_NAMES + wide + 8, y + 13), _FONT, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
