"""Which sightings of a shot are one face: indices in, lists of indices out. Numbers only."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from faceanon.core.geometry import Boxes, areas, iou
from faceanon.core.records import Detections, Origin
from faceanon.core.settings import TrackSettings

_SAME_FRAME_IOU = 0.4  # two boxes of one frame that overlap more are one face
_STEADY_FRAMES = 8  # a face's speed is trusted for so long
_REACH = 0.6  # of its size: how far from where it is expected a face may be met
_REACH_PER_FRAME = 0.02  # further for each frame without a sighting
_MOST_REACH = 1.2
_SIZE_RATIO = 2.0
_REFUSED = 10.0  # cost of a pair that cannot be one face


def unique_rows(detections: Detections, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows without those that repeat a better row of their frame: detected before followed, then by score."""
    kept: list[int] = []
    frames = detections.frame[rows]
    for group in np.split(rows, np.flatnonzero(np.diff(frames)) + 1):
        if len(group) < 2:
            kept.extend(group.tolist())
            continue
        order = group[np.lexsort((group, -detections.score[group], detections.origin[group]))]
        alike = iou(detections.box[order], detections.box[order]) > _SAME_FRAME_IOU
        chosen: list[int] = []
        for i in range(len(order)):
            if not alike[i, chosen].any():
                chosen.append(i)
        kept.extend(np.sort(order[chosen]).tolist())
    return np.array(kept, np.int64)


@dataclass
class _Open:
    """A track that may still go on."""

    rows: list[int]
    frame: int
    box: NDArray[np.float32]
    speed: NDArray[np.float32]  # (2,) px a frame of the centre


def associate(detections: Detections, rows: NDArray[np.int64], settings: TrackSettings) -> list[list[int]]:
    """Rows (sorted by frame, of one shot, unique) grouped by face, each group sorted by frame."""
    tracks: list[_Open] = []
    open_tracks: list[_Open] = []
    for group in np.split(rows, np.flatnonzero(np.diff(detections.frame[rows])) + 1) if len(rows) else []:
        frame = int(detections.frame[group[0]])
        open_tracks = [t for t in open_tracks if frame - t.frame <= settings.max_gap_frames]
        pairs = _pairs(open_tracks, detections.box[group], frame, settings)
        for track, i in pairs:
            _extend(track, int(group[i]), frame, detections.box[group[i]])
        taken = {i for _, i in pairs}
        fresh = [_Open([int(row)], frame, detections.box[row], np.zeros(2, np.float32)) for i, row in enumerate(group) if i not in taken]
        tracks += fresh
        open_tracks += fresh
    return [t.rows for t in tracks]


def _extend(track: _Open, row: int, frame: int, box: NDArray[np.float32]) -> None:
    moved = (box[:2] + box[2:] - track.box[:2] - track.box[2:]) / 2
    speed = moved / (frame - track.frame)
    track.speed = speed if len(track.rows) == 1 else (0.5 * track.speed + 0.5 * speed).astype(np.float32)
    track.rows.append(row)
    track.frame, track.box = frame, box


def _pairs(tracks: list[_Open], boxes: Boxes, frame: int, settings: TrackSettings) -> list[tuple[_Open, int]]:
    """The cheapest one-to-one pairing."""
    if not tracks:
        return []
    cost = _costs(tracks, boxes, frame, settings)
    pairs = zip(*linear_sum_assignment(cost), strict=True)
    return [(tracks[t], int(i)) for t, i in pairs if cost[t, i] < _REFUSED]


def _costs(tracks: list[_Open], boxes: Boxes, frame: int, settings: TrackSettings) -> NDArray[np.float64]:
    """(tracks, boxes) 0..2; _REFUSED where it cannot be one face."""
    gap = np.array([frame - t.frame for t in tracks])
    shift = np.stack([t.speed for t in tracks]) * np.minimum(gap, _STEADY_FRAMES)[:, None]
    last = np.stack([t.box for t in tracks])
    expected = (last + np.tile(shift, 2)).astype(np.float32)
    overlap = np.maximum(iou(expected, boxes), iou(last, boxes))
    size, size_b = np.sqrt(np.maximum(areas(expected), 1)), np.sqrt(np.maximum(areas(boxes), 1))
    middle = (expected[:, None, :2] + expected[:, None, 2:] - boxes[None, :, :2] - boxes[None, :, 2:]) / 2
    distance = np.hypot(middle[..., 0], middle[..., 1]) / np.maximum(size[:, None], size_b[None, :])
    ratio = np.maximum(size[:, None] / size_b[None, :], size_b[None, :] / size[:, None])
    reach = np.minimum(_MOST_REACH, _REACH + _REACH_PER_FRAME * gap)[:, None]
    possible = (overlap >= settings.min_iou) | ((distance < reach) & (ratio < _SIZE_RATIO))
    cost = (1 - overlap) + np.minimum(distance, 1.0) + 0.002 * np.minimum(gap, 48)[:, None]  # of two tracks that fit, the one seen last
    return np.where(possible, cost, _REFUSED)


def split_strangers(detections: Detections, rows: list[int], sample_of_row: dict[int, NDArray[np.float32]], limit: float) -> list[list[int]]:
    """A group cut at its weakest link wherever two samples that follow each other cannot be one person."""
    sampled = [i for i, row in enumerate(rows) if row in sample_of_row]
    cuts = []
    for a, b in pairwise(sampled):
        if np.linalg.norm(sample_of_row[rows[a]] - sample_of_row[rows[b]]) > limit:
            boxes = detections.box[rows[a : b + 1]]
            links = [float(iou(boxes[k : k + 1], boxes[k + 1 : k + 2])[0, 0]) for k in range(b - a)]
            cuts.append(a + 1 + int(np.argmin(links)))
    return [rows[a:b] for a, b in zip([0, *cuts], [*cuts, len(rows)], strict=False)]


def merged_duplicates(detections: Detections, groups: list[list[int]]) -> list[list[int]]:
    """Groups without those that run along a longer one in all their frames."""
    order = sorted(range(len(groups)), key=lambda g: (-len(groups[g]), g))
    kept: list[int] = []
    for g in order:
        if not any(_runs_along(detections, groups[g], groups[k]) for k in kept):
            kept.append(g)
    return [groups[g] for g in sorted(kept)]


def _runs_along(detections: Detections, short: list[int], long: list[int]) -> bool:
    """Between the first and the last sighting of `long`, and nearly inside or on it, interpolated, in every frame of `short`."""
    frames, known = detections.frame[short], detections.frame[long]
    if frames[0] < known[0] or frames[-1] > known[-1] or (detections.origin[long] != Origin.DETECTED).all():
        return False
    there = np.stack([np.interp(frames, known, detections.box[long][:, c]) for c in range(4)], axis=1).astype(np.float32)
    boxes = detections.box[short]
    low, high = np.maximum(boxes[:, :2], there[:, :2]), np.minimum(boxes[:, 2:], there[:, 2:])
    common = np.prod(np.maximum(high - low, 0), axis=1)
    return bool((common >= 0.8 * areas(boxes)).all())
