"""Where and how each frame is painted: tracks in, one RegionTable out. Numbers only.

Cover is the face padded: more where its place is a guess (followed, interpolated, held) and where it moves fast. Boxes and points are
smoothed in time around each frame, without lag; a cover always holds the boxes that were measured in its frame and in both neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from faceanon.analyze.associate import associate
from faceanon.analyze.track import make_track, shot_bounds
from faceanon.core.geometry import Boxes, clip, grow, heights, widths
from faceanon.core.records import Correction, Detections, Leak, Method, Origin, RegionTable, Track
from faceanon.core.settings import Settings

_SMOOTH_FRAMES = 3  # on each side
_UNSURE_PAD = {Origin.DETECTED: 0.0, Origin.FOLLOWED: 0.08, Origin.INTERPOLATED: 0.0, Origin.HELD: 0.06}  # shares of the face's size, on top of track.pad
_DRIFT_PAD = {Origin.DETECTED: 0.0, Origin.FOLLOWED: 0.01, Origin.INTERPOLATED: 0.015, Origin.HELD: 0.02}  # and for each frame to the nearest detection
_MOST_DRIFT_PAD = 0.3
_MOST_SPEED_PAD = 0.3
REPAIR_HOLD_FRAMES = 16


def cover(tracks: Sequence[Track], identity_of_track: Mapping[int, int], settings: Settings, *, width: int, height: int) -> RegionTable:
    """Every frame of every track that shows some of its face. `face` may reach beyond the picture, `cover` does not."""
    return RegionTable.concatenate(
        [_regions(t, identity_of_track.get(t.track_no, -1), Method.ENGINE if t.trusted else Method.OBSCURE, settings, width, height) for t in tracks]
    )


def _regions(track: Track, identity: int, method: Method, settings: Settings, width: int, height: int) -> RegionTable:
    n = len(track.frame)
    face = _smoothed(track.box)
    padded = grow(face, settings.track.pad + _extra_pad(track))
    covers = clip(_union(padded, _neighbours(track.box)), width, height)
    table = RegionTable(
        frame=track.frame,
        track=np.full(n, track.track_no, np.int32),
        identity=np.full(n, identity, np.int32),
        face=face,
        cover=covers,
        points=_smoothed(track.points.reshape(n, -1)).reshape(n, 5, 2),
        method=np.full(n, method, np.uint8),
        origin=track.origin,
    )
    return table.take((widths(covers) > 0) & (heights(covers) > 0))


def _extra_pad(track: Track) -> NDArray[np.float32]:
    """(n,) share of the face's size."""
    guess = np.array([_UNSURE_PAD[Origin(o)] for o in track.origin])
    drift = np.array([_DRIFT_PAD[Origin(o)] for o in track.origin]) * _frames_to_detection(track.origin)
    return (guess + np.minimum(drift, _MOST_DRIFT_PAD) + np.minimum(0.5 * _speed(track.box), _MOST_SPEED_PAD)).astype(np.float32)


def _frames_to_detection(origin: NDArray[np.uint8]) -> NDArray[np.int64]:
    at = np.arange(len(origin))
    detected = np.flatnonzero(origin == Origin.DETECTED)
    if not len(detected):
        return np.full(len(origin), 4)
    after = np.searchsorted(detected, at)
    return np.minimum(np.abs(at - detected[np.minimum(after, len(detected) - 1)]), np.abs(at - detected[np.maximum(after - 1, 0)]))


def _speed(boxes: Boxes) -> NDArray[np.float32]:
    """(n,) way of the centre in a frame, over the face's size."""
    if len(boxes) < 2:
        return np.zeros(len(boxes), np.float32)
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    step = np.linalg.norm(np.diff(middle, axis=0), axis=1)
    way = np.maximum(np.append(step, 0), np.insert(step, 0, 0))
    return (way / np.maximum(widths(boxes), 1)).astype(np.float32)


def _smoothed(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, k) weighted means over neighbours, symmetric in time; the window narrows towards the ends so that nothing lags there."""
    n = len(values)
    total, weight = values.astype(np.float64), np.ones((n, 1))
    at = np.arange(n)
    room = np.minimum(at, n - 1 - at)
    for step in range(1, _SMOOTH_FRAMES + 1):
        share = np.where(room >= step, 1 - step / (_SMOOTH_FRAMES + 1), 0.0)[:, None]
        before, after = values[np.maximum(at - step, 0)], values[np.minimum(at + step, n - 1)]
        total += share * before + share * after
        weight += 2 * share
    return (total / weight).astype(np.float32)


def _neighbours(boxes: Boxes) -> Boxes:
    """The union of each box with those of the frames before and after."""
    at = np.arange(len(boxes))
    return _union(_union(boxes, boxes[np.maximum(at - 1, 0)]), boxes[np.minimum(at + 1, len(boxes) - 1)])


def _union(a: Boxes, b: Boxes) -> Boxes:
    return np.concatenate([np.minimum(a[:, :2], b[:, :2]), np.maximum(a[:, 2:], b[:, 2:])], axis=1).astype(np.float32)


def add_repairs(
    table: RegionTable,
    leaks: Sequence[Leak],
    *,
    cut_frame: NDArray[np.int32],
    num_frames: int,
    settings: Settings,
    width: int,
    height: int,
    hold_frames: int = REPAIR_HOLD_FRAMES,
) -> RegionTable:
    """`table` and, as tracks of their own, the faces that the verifier saw; each held `hold_frames` before and after, within its shot."""
    if not leaks:
        return table
    seen = _as_detections(leaks)
    bounds = shot_bounds(cut_frame, num_frames)
    held = settings.with_values(track__hold_frames=hold_frames, track__max_gap_frames=max(settings.track.max_gap_frames, 2 * hold_frames))
    next_no = int(table.track.max()) + 1 if len(table) else 0
    parts = [table]
    for shot_no in range(len(bounds) - 1):
        rows = np.arange(*np.searchsorted(seen.frame, bounds[shot_no : shot_no + 2]))
        for group in associate(seen, rows, held.track):
            track = make_track(next_no, shot_no, group, seen, bounds, held)
            parts.append(_regions(track, -1, Method.REPAIR, held, width, height))
            next_no += 1
    return RegionTable.concatenate(parts)


def add_corrections(
    table: RegionTable, corrections: Sequence[Correction], first_no: int, num_frames: int, settings: Settings, *, width: int, height: int
) -> RegionTable:
    """`table` and, as tracks from `first_no` on, what reviewers drew: padded as any face, in exactly the frames that they said."""
    parts = [table]
    for number, correction in enumerate(corrections):
        frame = np.arange(correction.first_frame, min(correction.stop_frame, num_frames), dtype=np.int32)
        n = len(frame)
        face = np.tile(np.array(correction.box, np.float32), (n, 1))
        covers = clip(grow(face, settings.track.pad), width, height)
        drawn = RegionTable(
            frame=frame,
            track=np.full(n, first_no + number, np.int32),
            identity=np.full(n, -1, np.int32),
            face=face,
            cover=covers,
            points=np.full((n, 5, 2), np.nan, np.float32),
            method=np.full(n, Method.REPAIR, np.uint8),
            origin=np.full(n, Origin.DETECTED, np.uint8),
        )
        parts.append(drawn.take((widths(covers) > 0) & (heights(covers) > 0)))
    return RegionTable.concatenate(parts)


def _as_detections(leaks: Sequence[Leak]) -> Detections:
    n = len(leaks)
    return Detections.concatenate(
        [
            Detections(
                frame=np.array([leak.frame for leak in leaks], np.int32),
                box=np.array([leak.box for leak in leaks], np.float32).reshape(-1, 4),
                points=np.full((n, 5, 2), np.nan, np.float32),
                score=np.array([leak.score for leak in leaks], np.float32),
                origin=np.full(n, Origin.DETECTED, np.uint8),
                mesh_score=np.full(n, np.nan, np.float32),
            )
        ]
    )
