"""Faces through time: sightings of a whole video in, one Track a face and shot out. Numbers only, no pictures.

A track never crosses a cut. Its frames are consecutive: gaps are interpolated between the sightings on both sides, and both ends are
held for some frames within the shot. Of two readings the one that hides more is taken: a box that nothing supports makes a track, too,
which is obscured but not given a face.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from faceanon.analyze.associate import associate, merged_duplicates, split_strangers, unique_rows
from faceanon.analyze.joining import join
from faceanon.core.ids import cluster_id
from faceanon.core.records import Detections, FaceSamples, Origin, Track, TrackFeature, VideoAnalysis
from faceanon.core.settings import Settings

__all__ = ["build_tracks", "join", "make_track", "shot_bounds", "track_features"]

_STRANGERS = 1.7  # times identity.link_distance: two good samples further apart are not one person (0.85 for dlib; strangers' mean is 0.83)
_GOOD_SAMPLE = 0.25  # quality that may split a track
_ALONE = 0.8  # score of a single sighting that is believed
_BEYOND_DOUBT = 0.9  # score that is believed against the mesh
_MESH_FITS = 0.5
LARGE_PX = 40.0
_POOR = 0.45  # best score of a track
_MESH_SEES_NOTHING = 0.1
_BEST_SAMPLES = 5


def shot_bounds(cut_frame: NDArray[np.int32], num_frames: int) -> NDArray[np.int32]:
    """(shots + 1,) first frames of the shots, and the end of the video."""
    inner = sorted({int(c) for c in cut_frame if 0 < c < num_frames})
    return np.array([0, *inner, max(num_frames, 1)], np.int32)


def build_tracks(analysis: VideoAnalysis, settings: Settings) -> tuple[Track, ...]:
    """In order of first sighting, then of place."""
    detections = analysis.detections
    bounds = shot_bounds(analysis.cut_frame, analysis.num_frames)
    samples = _good_samples(analysis.samples)
    found: list[tuple[int, list[int]]] = []
    for shot_no, (start, stop) in enumerate(pairwise(bounds)):
        rows = np.arange(*np.searchsorted(detections.frame, [start, stop]))
        found += [(shot_no, group) for group in _groups(detections, rows, samples, settings) if _may_be_a_face(detections.take(np.asarray(group)))]
    found.sort(key=lambda item: (int(detections.frame[item[1][0]]), *detections.box[item[1][0]].tolist(), item[1][0]))
    return tuple(make_track(no, shot_no, group, detections, bounds, settings) for no, (shot_no, group) in enumerate(found))


def _groups(detections: Detections, rows: NDArray[np.int64], samples: dict[int, NDArray[np.float32]], settings: Settings) -> list[list[int]]:
    if not len(rows):
        return []
    whole = associate(detections, unique_rows(detections, rows), settings.track)
    limit = _STRANGERS * settings.identity.link_distance
    split = [part for group in whole for part in split_strangers(detections, group, samples, limit)]
    return merged_duplicates(detections, split)


def _good_samples(samples: FaceSamples) -> dict[int, NDArray[np.float32]]:
    return {int(row): samples.embedding[i] for i, row in enumerate(samples.row) if samples.quality[i] >= _GOOD_SAMPLE}


def make_track(track_no: int, shot_no: int, rows: list[int], detections: Detections, bounds: NDArray[np.int32], settings: Settings) -> Track:
    """One track of sightings of one shot: gaps filled, ends held."""
    seen = detections.take(np.array(rows))
    hold = settings.track.hold_frames
    first = max(int(bounds[shot_no]), int(seen.frame[0]) - hold)
    last = min(int(bounds[shot_no + 1]) - 1, int(seen.frame[-1]) + hold)
    frame = np.arange(first, last + 1, dtype=np.int32)
    origin = np.full(len(frame), Origin.INTERPOLATED, np.uint8)
    origin[(frame < seen.frame[0]) | (frame > seen.frame[-1])] = Origin.HELD
    at = seen.frame - first
    origin[at] = seen.origin
    score = np.zeros(len(frame), np.float32)
    score[at] = seen.score
    return Track(
        track_no=track_no,
        shot_no=shot_no,
        frame=frame,
        box=_filled(frame, seen.frame, seen.box),
        points=_filled(frame, seen.frame, seen.points.reshape(-1, 10)).reshape(-1, 5, 2),
        score=score,
        origin=origin,
        detection_rows=np.array(rows, np.int32),
        trusted=_is_trusted(seen, settings),
    )


def _filled(frame: NDArray[np.int32], known: NDArray[np.int32], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, k) interpolated between known frames, constant beyond them; NaN where a column is known nowhere."""
    columns = []
    for column in values.T:
        good = np.isfinite(column)
        columns.append(np.interp(frame, known[good], column[good]) if good.any() else np.full(len(frame), np.nan))
    return np.stack(columns, axis=1).astype(np.float32)


def _may_be_a_face(seen: Detections) -> bool:
    """False for a large box of one single look that scored it low and on which the mesh sees nothing: two models and time say no.

    Looked at one by one on twelve real clips, all such boxes were walls, dogs, hands and clouds, while heads seen from behind scored
    0.5 and more. A small face may well score low, so below LARGE_PX any box counts; and the auditor looks at the output all the same.
    """
    if (seen.origin == Origin.DETECTED).sum() > 1:
        return True
    large = float((seen.box[:, 2] - seen.box[:, 0]).max()) >= LARGE_PX
    asked = seen.mesh_score[np.isfinite(seen.mesh_score)]
    return not large or float(seen.score.max()) >= _POOR or not len(asked) or float(asked.max()) >= _MESH_SEES_NOTHING


def _is_trusted(seen: Detections, settings: Settings) -> bool:
    """The detector was sure more than once, or very sure, or the mesh fitted more than once; unless the mesh never fitted a sure box."""
    score = seen.score[seen.origin == Origin.DETECTED]
    fits = np.nan_to_num(seen.mesh_score) >= _MESH_FITS
    sure = score >= settings.detect.sure
    best = float(score.max()) if len(score) else 0.0
    if not fits.any() and np.isfinite(seen.mesh_score[seen.score >= settings.detect.sure]).any() and best < _BEYOND_DOUBT:
        return False  # a profile, perhaps, or a pattern: no engine could paint a face on either
    return best >= _ALONE or sure.sum() >= settings.track.min_track_sightings or fits.sum() >= settings.track.min_track_sightings


def track_features(tracks: Sequence[Track], analysis: VideoAnalysis, settings: Settings) -> list[TrackFeature]:
    """What the linker needs, in the order of tracks."""
    return [_feature(track, analysis) for track in tracks]


def _feature(track: Track, analysis: VideoAnalysis) -> TrackFeature:
    detections, samples = analysis.detections, analysis.samples
    own = np.flatnonzero(np.isin(samples.row, track.detection_rows))
    best = own[np.lexsort((samples.row[own], -samples.quality[own]))][:_BEST_SAMPLES]
    weights = samples.quality[best].astype(np.float64) + 1e-6
    detected = [row for row in track.detection_rows if detections.origin[row] == Origin.DETECTED] or list(track.detection_rows)
    first = int(detected[0])
    shown = track.frame[track.origin != Origin.HELD]  # two tracks of one person may follow each other closely: what is held is no sighting
    return TrackFeature(
        video_id=analysis.video_id,
        track_no=track.track_no,
        cluster_id=cluster_id(analysis.video_id, int(detections.frame[first]), tuple(detections.box[first].tolist())),
        first_frame=int(shown[0]),
        stop_frame=int(shown[-1]) + 1,
        embedding=np.average(samples.embedding[best], axis=0, weights=weights).astype(np.float32) if len(best) else None,
        quality=float(samples.quality[best].max()) if len(best) else 0.0,
        female=_mean(samples.female[best], weights),
        age=_mean(samples.age[best], weights),
        skin=tuple(_mean(samples.skin[best, c], weights) for c in range(3)),
    )


def _mean(values: NDArray[np.float32], weights: NDArray[np.float64]) -> float:
    """Weighted, over what is known; NaN where nothing is."""
    known = np.isfinite(values)
    return float(np.average(values[known], weights=weights[known])) if known.any() else float("nan")
