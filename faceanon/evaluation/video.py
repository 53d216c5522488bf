"""How new faces behave in time, beside their originals: flicker, jitter, and whether mouth and eyes follow. Numbers in, numbers out.

Faces are sampled in bursts of neighbouring frames. Flicker: the mean cosine of an embedding with the next frame's; jitter: how far 31 landmarks lie from
the middle of where they are in the frames before and after, over the eye distance, once the face's own motion is taken off. Both are told of the new face
and of the original over the same frames.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from faceanon.evaluation.intervals import NOTHING, Estimate, correlation, estimate
from faceanon.evaluation.swap import Seen, score, tracklets_of


@dataclass(frozen=True, eq=False)  # holds arrays
class Features:
    """Of one face in one frame."""

    landmarks: NDArray[np.float32]  # (31, 2) px
    eyes_px: float
    mouth: float  # opening, over eyes_px
    lids: float  # likewise


@dataclass(frozen=True, eq=False)
class Watched(Seen):
    """One face of one sampled frame with its features, before and after; after is None where no new face is seen."""

    before: Features
    after: Features | None


@dataclass(frozen=True)
class VideoScore:
    """A clip's numbers, over its tracklets. Differences are new less original."""

    clip: str
    frames: int  # sampled
    faces: int
    shown: float  # share of the faces that show a new face
    original_cosine: float
    new_cosine: float
    flicker: Estimate  # difference of the cosines; below 0 the new face flickers more
    original_jitter: float
    new_jitter: float
    original_spread: float
    new_spread: float
    distance: float  # from original to new, least of the tracklets
    under: float  # share of the tracklets that are nearer than the embedder's threshold
    mouth: Estimate  # correlation in time
    eyes: Estimate
    stray: float  # share of px that changed far from every face


def score_video(clip: str, frames: int, watched: Sequence[Watched], stray: Sequence[float], threshold: float) -> VideoScore:
    tracklets: list[list[Watched]] = tracklets_of(watched)  # type: ignore[assignment]
    steps = [(a, b) for tracklet in tracklets for a, b in pairwise(tracklet) if _shown(a, b) and b.frame == a.frame + 1]
    old, new = (np.array([_cosine(getattr(a, which), getattr(b, which)) for a, b in steps]) for which in ("original", "new"))
    triples = [(a, b, c) for t in tracklets for a, b, c in zip(t, t[1:], t[2:], strict=False) if _shown(a, b, c) and c.frame == b.frame + 1 == a.frame + 2]
    shakes = [np.array([_shake(*(getattr(w, which) for w in triple)) for triple in triples]) for which in ("before", "after")]
    scored = [score(clip, tracklet) for tracklet in tracklets]
    apart = [s.distance for s in scored if math.isfinite(s.distance)]
    shown = [(k, w) for k, tracklet in enumerate(tracklets) for w in tracklet if w.after is not None]
    return VideoScore(
        clip,
        frames,
        len(watched),
        float(np.mean([w.after is not None for w in watched])) if watched else math.nan,
        _mean(old),
        _mean(new),
        estimate(new - old) if len(old) else NOTHING,
        *(_mean(shake) for shake in shakes),
        *(_mean(np.array([getattr(s, name) for s in scored if math.isfinite(s.new_spread)])) for name in ("original_spread", "new_spread")),
        min(apart, default=math.nan),
        float(np.mean([d < threshold for d in apart])) if apart else math.nan,
        _follows(shown, "mouth"),
        _follows(shown, "lids"),
        float(np.mean(stray)) if len(stray) else math.nan,
    )


def _shown(*watched: Watched) -> bool:
    return all(w.after is not None for w in watched)


def _mean(values: NDArray) -> float:
    return float(values.mean()) if len(values) else math.nan


def _cosine(a: NDArray, b: NDArray) -> float:
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-9))


def _shake(before: Features, here: Features, after: Features) -> float:
    """The features' own way off the middle of their neighbours; what all landmarks do together is the head's motion."""
    off = here.landmarks - (before.landmarks + after.landmarks) / 2
    return float(np.linalg.norm(off - off.mean(0), axis=1).mean() / max(here.eyes_px, 1e-6))


def _follows(shown: Sequence[tuple[int, Watched]], name: str) -> Estimate:
    """Correlation in time: each tracklet's values less their mean, so that people who differ are not taken for people who move."""
    if len(shown) < 3:
        return NOTHING
    tracks = np.array([k for k, _ in shown])
    columns = []
    for which in ("before", "after"):
        values = np.array([getattr(getattr(w, which), name) for _, w in shown], np.float64)
        means = np.bincount(tracks, values) / np.maximum(np.bincount(tracks), 1)
        columns.append(values - means[tracks])
    return correlation(*columns)
