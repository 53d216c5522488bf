"""How steady, how far from the original and how often a new face is painted: numbers in, numbers out, per tracklet.

A tracklet is one face through neighbouring sampled frames of one shot, found anew in the source. Spread: mean Euclidean distance of its
embeddings to their mean, of the original and of the new face over the same frames, so that only frames that show a new face count in either.
Distance: from original to new, frame by frame in the mean, or between both means, whichever is nearer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faceanon.core.geometry import iou

LEAST_IOU = 0.15  # of boxes in neighbouring samples
MOST_MISSED = 2  # samples without the face that a tracklet bridges
LEAST_FRAMES = 5  # fewer have no spread worth the name
RESAMPLES = 2000


@dataclass(frozen=True, eq=False)  # holds arrays
class Seen:
    """One face of one sampled source frame, and what the output shows in its place."""

    sample: int  # number of the sampled frame, from 0 without a gap
    frame: int
    shot: int
    box: NDArray[np.float32]  # (4,) px
    frontal: bool
    original: NDArray[np.float32]  # (D,)
    new: NDArray[np.float32] | None  # (D,) None where no new face is seen


@dataclass(frozen=True)
class Tracklet:
    """A face's numbers. NaN where too few frames show a new face."""

    clip: str
    first_frame: int
    last_frame: int
    width_px: float  # median
    frames: int  # sampled, with the face large enough
    swapped: int
    frontal: int
    frontal_swapped: int
    original_spread: float
    new_spread: float
    low: float  # 90 % of the resamplings of frames give new less original spread from low
    high: float  # to high
    distance: float
    least_distance: float  # of a single frame


def tracklets_of(seen: Iterable[Seen]) -> list[list[Seen]]:
    """Joined by overlap, nearest pairs first, in order of their first frame."""
    done: list[list[Seen]] = []
    by_sample: dict[int, list[Seen]] = {}
    for face in seen:
        by_sample.setdefault(face.sample, []).append(face)
    for sample in sorted(by_sample):
        faces = by_sample[sample]
        going = [t for t in done if sample - t[-1].sample <= MOST_MISSED + 1 and t[-1].shot == faces[0].shot]
        taken = _pairs(going, faces)
        for number, face in enumerate(faces):
            if number in taken:
                taken[number].append(face)
            else:
                done.append([face])
    return done


def _pairs(going: list[list[Seen]], faces: list[Seen]) -> dict[int, list[Seen]]:
    """Number of a face to the tracklet that it goes on with."""
    if not going:
        return {}
    overlap = iou(np.stack([t[-1].box for t in going]), np.stack([f.box for f in faces]))
    pairs: dict[int, list[Seen]] = {}
    spent: set[int] = set()
    for flat in np.argsort(-overlap, axis=None, kind="stable"):
        old, new = divmod(int(flat), len(faces))
        if overlap[old, new] >= LEAST_IOU and old not in spent and new not in pairs:
            spent.add(old)
            pairs[new] = going[old]
    return pairs


def score(clip: str, tracklet: Sequence[Seen], *, frontal_only: bool = False) -> Tracklet:
    """frontal_only: spreads and distances over frontal frames; the counts are of all frames either way."""
    shown = [f for f in tracklet if f.new is not None and (f.frontal or not frontal_only)]
    enough = len(shown) >= LEAST_FRAMES
    original, new = (np.stack(column).astype(np.float64) for column in zip(*((f.original, f.new) for f in shown), strict=True)) if shown else (np.zeros((0, 1)),) * 2
    apart = np.linalg.norm(new - original, axis=1)
    low, high = _interval(original, new) if enough else (math.nan, math.nan)
    return Tracklet(
        clip,
        tracklet[0].frame,
        tracklet[-1].frame,
        float(np.median([f.box[2] - f.box[0] for f in tracklet])),
        len(tracklet),
        sum(f.new is not None for f in tracklet),
        sum(f.frontal for f in tracklet),
        sum(f.frontal and f.new is not None for f in tracklet),
        spread(original) if enough else math.nan,
        spread(new) if enough else math.nan,
        low,
        high,
        min(float(apart.mean()), float(np.linalg.norm(new.mean(0) - original.mean(0)))) if len(shown) else math.nan,
        float(apart.min()) if len(shown) else math.nan,
    )


def spread(embeddings: NDArray[np.float64]) -> float:
    """(n, D): the mean distance to their mean."""
    return float(np.linalg.norm(embeddings - embeddings.mean(0), axis=1).mean())


def _interval(original: NDArray[np.float64], new: NDArray[np.float64]) -> tuple[float, float]:
    """5 % and 95 % of the mean difference of distances to each mean, over resampled frames."""
    gaps = [np.linalg.norm(e - e.mean(0), axis=1) for e in (original, new)]
    return resampled(gaps[1] - gaps[0])


def resampled(values: NDArray[np.float64]) -> tuple[float, float]:
    """5 % and 95 % of the mean of values drawn anew."""
    if not len(values):
        return math.nan, math.nan
    means = values[np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))].mean(1)
    return float(np.percentile(means, 5)), float(np.percentile(means, 95))


@dataclass(frozen=True)
class Total:
    """Over tracklets; clip is "all" for everything. Spreads are means over tracklets that have one."""

    clip: str
    tracklets: int
    frames: int
    swapped_share: float
    frontal: int
    frontal_swapped_share: float
    measured: int  # tracklets with a spread
    original_spread: float
    new_spread: float
    low: float
    high: float
    larger: int  # tracklets whose new face is spread wider than the original
    far: int  # tracklets farther from their original than the threshold
    with_distance: int


def total(clip: str, tracklets: Sequence[Tracklet], threshold: float) -> Total:
    measured = [t for t in tracklets if math.isfinite(t.new_spread)]
    known = [t.distance for t in tracklets if math.isfinite(t.distance)]
    low, high = resampled(np.array([t.new_spread - t.original_spread for t in measured]))
    frames, frontal = sum(t.frames for t in tracklets), sum(t.frontal for t in tracklets)
    return Total(
        clip,
        len(tracklets),
        frames,
        sum(t.swapped for t in tracklets) / frames if frames else math.nan,
        frontal,
        sum(t.frontal_swapped for t in tracklets) / frontal if frontal else math.nan,
        len(measured),
        float(np.mean([t.original_spread for t in measured])) if measured else math.nan,
        float(np.mean([t.new_spread for t in measured])) if measured else math.nan,
        low,
        high,
        sum(t.new_spread > t.original_spread for t in measured),
        sum(d > threshold for d in known),
        len(known),
    )
