"""Flat pictures with faces that a toy detector sees: bright squares."""

from __future__ import annotations

import cv2
import numpy as np

from faceanon.core.picture import Picture, PlaneFormat
from faceanon.core.records import RegionTable

LIMITED = PlaneFormat(8, (2, 2), False, "bt709")


def picture(index: int = 0, faces=(), width: int = 320, height: int = 240, depth: int = 8) -> Picture:
    dtype = np.uint8 if depth == 8 else np.uint16
    luma = np.full((height, width), 30 << (depth - 8), dtype)  # (H, W) dark grey
    for x0, y0, x1, y1 in faces:
        luma[y0:y1, x0:x1] = 220 << (depth - 8)
    chroma = tuple(np.full((height // 2, width // 2), 128 << (depth - 8), dtype) for _ in range(2))
    return Picture(index, index, (luma, *chroma), PlaneFormat(depth, (2, 2), False, "bt709"))


def regions(rows) -> RegionTable:
    """rows: (frame, track, face box, pad in px), sorted."""
    n = len(rows)
    face = np.array([r[2] for r in rows], np.float32).reshape(n, 4)
    pad = np.array([[-r[3], -r[3], r[3], r[3]] for r in rows], np.float32).reshape(n, 4)
    frame, track = (np.array([r[i] for r in rows], np.int32) for i in (0, 1))
    zero = np.zeros(n, np.uint8)
    return RegionTable(frame, track, np.zeros(n, np.int32), face, face + pad, np.full((n, 5, 2), np.nan, np.float32), zero, zero)


class BrightSquares:
    """Sees every bright patch as a face of score 0.9, or what it is told."""

    name = "squares"
    model_sha256 = ("e" * 64,)

    def __init__(self, score: float = 0.9) -> None:
        self.score = score
        self.sizes: list[tuple[int, int]] = []

    def detect(self, image):
        self.sizes.append(image.shape[:2])
        _, _, stats, _ = cv2.connectedComponentsWithStats((image[..., 1] > 128).astype(np.uint8))
        boxes = np.array([[x, y, x + w, y + h] for x, y, w, h, _ in stats[1:]], np.float32).reshape(-1, 4)
        return boxes, np.full((len(boxes), 5, 2), np.nan, np.float32), np.full(len(boxes), self.score, np.float32)
