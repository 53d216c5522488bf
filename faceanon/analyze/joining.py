"""The analyses of a video's segments, put together. What comes out does not depend on how the video was segmented."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from faceanon.core.records import Detections, FaceSamples, SegmentAnalysis, VideoAnalysis


def join(analyses: Sequence[SegmentAnalysis], num_frames: int) -> VideoAnalysis:
    """Of one video's segments, in any order; rows are renumbered."""
    parts = sorted(analyses, key=lambda a: a.segment_no)
    if len({a.video_id for a in parts}) != 1:
        raise ValueError(f"analyses of one video expected: got {sorted({a.video_id for a in parts})}")
    detections, new_row = _joined_detections([a.detections for a in parts])
    cut_frame = np.concatenate([a.cut_frame for a in parts]).astype(np.int32)
    cut_score = np.concatenate([a.cut_score for a in parts]).astype(np.float32)
    order = np.argsort(cut_frame, kind="stable")
    return VideoAnalysis(parts[0].video_id, num_frames, detections, _joined_samples(parts, new_row), cut_frame[order], cut_score[order])


def _joined_detections(parts: list[Detections]) -> tuple[Detections, list[NDArray[np.int64]]]:
    """All rows in order, and for each part the new places of its rows."""
    frame, box = np.concatenate([p.frame for p in parts]), np.concatenate([p.box for p in parts])
    order = np.lexsort((box[:, 1], box[:, 0], frame))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    starts = np.cumsum([0, *(len(p) for p in parts)])
    return Detections.concatenate(parts), [place[a:b] for a, b in pairwise(starts)]


def _joined_samples(parts: list[SegmentAnalysis], new_row: list[NDArray[np.int64]]) -> FaceSamples:
    filled = [(a.samples, rows) for a, rows in zip(parts, new_row, strict=True) if len(a.samples.row)]
    if not filled:
        return FaceSamples.empty(parts[0].samples.embedding.shape[1])
    row = np.concatenate([rows[s.row] for s, rows in filled]).astype(np.int32)
    order = np.argsort(row, kind="stable")
    columns = [np.concatenate([getattr(s, name) for s, _ in filled])[order] for name in ("embedding", "quality", "female", "age", "skin")]
    return FaceSamples(row[order], *columns)
