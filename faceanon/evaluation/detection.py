"""Recall of face detectors on pictures with known boxes, by the width of the face.

Pictures and boxes come as iterables, read from the layouts that public sets use; detectors come in as functions, so that the schedule's
look at several scales is judged like any single model. A face counts as found when a box overlaps it by IoU 0.4, each box once.
"""

from __future__ import annotations

import csv
import gzip
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from faceanon.core.errors import UsageError
from faceanon.core.geometry import Boxes, empty_boxes, iou, widths
from faceanon.core.picture import Image

FOUND_IOU = 0.4
BUCKETS = ((0, 12), (12, 16), (16, 24), (24, 32), (32, 64), (64, 100_000))  # px, half-open
FROM_16 = (16, 100_000)

Detect = Callable[[Image], tuple[Boxes, NDArray, NDArray]]  # (H, W, 3) uint8 BGR -> boxes, points, scores


@dataclass(frozen=True)
class Labelled:
    """One picture and the faces in it."""

    name: str
    image: Image
    boxes: Boxes


@dataclass(frozen=True)
class RecallRow:
    """One detector on the faces of one range of widths. `spurious` counts its boxes that fit no labelled face of any width."""

    detector: str
    from_px: int
    below_px: int
    faces: int
    found: int
    spurious: int

    @property
    def recall(self) -> float:
        return self.found / self.faces if self.faces else float("nan")


def evaluate_detection(images: Iterable[Labelled], detectors: Mapping[str, Detect], buckets: tuple[tuple[int, int], ...] = (*BUCKETS, FROM_16)) -> list[RecallRow]:
    """Every detector on every picture; rows by detector, then by bucket."""
    width: list[NDArray] = []
    hits: dict[str, list[NDArray]] = {name: [] for name in detectors}
    spurious = dict.fromkeys(detectors, 0)
    for labelled in images:
        width.append(widths(labelled.boxes))
        for name, detect in detectors.items():
            boxes = detect(labelled.image)[0]
            hit, used = match(labelled.boxes, boxes)
            hits[name].append(hit)
            spurious[name] += int((~used).sum())
    widths_px = np.concatenate(width) if width else np.zeros(0)
    found = {name: np.concatenate(parts) if parts else np.zeros(0, bool) for name, parts in hits.items()}
    rows = []
    for name in detectors:
        for low, high in buckets:
            inside = (widths_px >= low) & (widths_px < high)
            rows.append(RecallRow(name, low, high, int(inside.sum()), int(found[name][inside].sum()), spurious[name]))
    return rows


def match(truth: Boxes, boxes: Boxes, threshold: float = FOUND_IOU) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which true faces were found and which boxes were used; best overlaps first, each once."""
    hit, used = np.zeros(len(truth), bool), np.zeros(len(boxes), bool)
    overlap = iou(truth, boxes) if len(truth) and len(boxes) else np.zeros((0, 0))
    pairs = np.argwhere(overlap >= threshold)
    for t, b in pairs[np.argsort(-overlap[overlap >= threshold], kind="stable")]:
        if not hit[t] and not used[b]:
            hit[t] = used[b] = True
    return hit, used


def read_tar(tar: Path, table: Path) -> Iterator[Labelled]:
    """Pictures of a tar with a tab-separated table of file, x, y, w, h (px), one row a face."""
    boxes: dict[str, list[tuple[float, ...]]] = {}
    with _opened(table, "rt") as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            x, y, w, h = (float(row[key]) for key in ("x", "y", "w", "h"))
            boxes.setdefault(row["file"], []).append((x, y, x + w, y + h))
    try:
        with tarfile.open(tar) as archive:
            for member in archive:
                if member.name in boxes and (stream := archive.extractfile(member)) is not None:
                    yield Labelled(member.name, _decoded(stream.read(), member.name), np.array(boxes[member.name], np.float32))
    except (OSError, tarfile.TarError) as error:
        raise UsageError(f"cannot be read: {error}", source=str(tar)) from error


def read_wider(folder: Path, labels: Path) -> Iterator[Labelled]:
    """WIDER FACE's pictures under `folder` with labels as lines '# path width height' each followed by lines 'x1 y1 x2 y2 ...'. Missing pictures are passed over."""
    for name, boxes in _wider_labels(labels):
        path = next((p for p in (folder / name, folder / "images" / name) if p.is_file()), None)
        if path is not None:
            yield Labelled(name, _decoded(path.read_bytes(), name), boxes)


def _wider_labels(labels: Path) -> Iterator[tuple[str, Boxes]]:
    name, boxes = "", []
    with _opened(labels, "rt") as lines:
        for line in lines:
            words = line.split()
            if words and words[0] == "#":
                if name:
                    yield name, np.array(boxes, np.float32).reshape(-1, 4)
                name, boxes = words[1], []
            elif len(words) >= 4:
                boxes.append([float(word) for word in words[:4]])
    if name:
        yield name, np.array(boxes, np.float32).reshape(-1, 4) if boxes else empty_boxes()


def _opened(path: Path, mode: str):
    try:
        return gzip.open(path, mode, encoding="utf-8") if path.suffix == ".gz" else path.open(mode, encoding="utf-8", newline="")
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", source=str(path)) from error


def _decoded(data: bytes, name: str) -> Image:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise UsageError("is not a picture", source=name)
    return image
