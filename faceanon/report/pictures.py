"""Contact sheets for the page: frames of published outputs, never of a source."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from faceanon.archive.store import LocalStore, S3Store
from faceanon.core.errors import FaceanonError
from faceanon.core.picture import Image
from faceanon.media.guarded import sample_pictures

MOMENTS = 6
TILE_PX = 240
QUALITY = 72
_GAP_PX = 3


def sheets(out: LocalStore | S3Store, wanted: list[tuple[str, str, float]]) -> Iterator[tuple[str, bytes]]:
    """(record, JPEG) of every (record, object below OUT, seconds) that can be read; frames side by side."""
    for record, name, seconds in wanted:
        with tempfile.TemporaryDirectory(prefix="faceanon-report-") as folder:
            file = Path(folder) / Path(name).name
            try:
                out.download(name, file)
                yield record, _sheet(file, seconds)
            except (FaceanonError, OSError):
                continue  # a page is made of what is there; `faceanon verify` is who says what is missing


def _sheet(file: Path, seconds: float) -> bytes:
    every_s = max(0.04, seconds / (4 * MOMENTS))
    frames = [_tile(picture.bgr(TILE_PX)) for picture in sample_pictures(file, None, every_s)]
    chosen = [frames[round(at)] for at in np.linspace(0, len(frames) - 1, min(MOMENTS, len(frames)))]
    padded = [np.pad(tile, ((0, 0), (0, _GAP_PX * (n < len(chosen) - 1)), (0, 0)), constant_values=255) for n, tile in enumerate(chosen)]
    return cv2.imencode(".jpg", np.concatenate(padded, axis=1), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()


def _tile(image: Image) -> Image:
    return cv2.resize(image, (TILE_PX, max(1, round(image.shape[0] * TILE_PX / image.shape[1]))), interpolation=cv2.INTER_AREA)
