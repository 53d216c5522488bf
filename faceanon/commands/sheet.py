"""Contact sheets: frames of a source above the same frames of its output."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from faceanon.core.picture import Image
from faceanon.core.settings import PlanSettings
from faceanon.media.guarded import probe, read_pictures

GAP_PX = 4


def before_after(pairs: Sequence[tuple[Path, Path]], out: Path, *, moments: int = 6, tile_width_px: int = 320) -> Path:
    """One PNG: for each (source, output) a row of `moments` source frames above the same frames of the output. Raises SourceError."""
    rows = [_strip(path, moments, tile_width_px) for pair in pairs for path in pair]
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, GAP_PX if number % 2 == 0 else 4 * GAP_PX), (0, width - row.shape[1]), (0, 0)), constant_values=255) for number, row in enumerate(rows)]
    out.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(out), np.concatenate(padded)):
        raise OSError(f"cannot write {out}")
    return out


def _strip(path: Path, moments: int, tile_width_px: int) -> Image:
    """Evenly spaced frames of one video, side by side: of two videos of as many frames, the same ones."""
    facts, _ = probe(path, PlanSettings())
    count = facts.num_frames_from_content
    wanted = {round(number) for number in np.linspace(0, count - 1, min(moments, count))}
    tiles = [_tile(picture.bgr(tile_width_px), tile_width_px) for picture in read_pictures(path, facts, None, writable=False) if picture.index in wanted]
    return np.concatenate([np.pad(tile, ((0, 0), (0, GAP_PX), (0, 0)), constant_values=255) for tile in tiles], axis=1)


def _tile(image: Image, width_px: int) -> Image:
    return cv2.resize(image, (width_px, max(1, round(image.shape[0] * width_px / image.shape[1]))), interpolation=cv2.INTER_AREA)
