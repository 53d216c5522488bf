"""Tracks of one person, joined across shots, segments and videos of a scope.

Average linkage on embedding distance, weighted by quality. Two tracks of one video that overlap in time are two people. A track
without an embedding is a person of its own. The order in which tracks are given does not matter, and a person's id is that of
their earliest track (by video id, first frame, track number), so it never depends on an embedding.

With a gallery, a new person may turn out to be a known one. Known people never merge, split or change their name: a track that was
theirs stays theirs, and tracks of two of them never meet in one cluster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from faceanon.core.records import TrackFeature
from faceanon.core.settings import IdentitySettings
from faceanon.identity.linkage import Forbidden, distances, link_points
from faceanon.identity.people import Cluster, KnownPerson

__all__ = ["Cluster", "KnownPerson", "link"]

_LEAST_WEIGHT = 0.05  # a poor track counts a little, never nothing

Group = list[TrackFeature]  # earliest first


def link(features: Sequence[TrackFeature], settings: IdentitySettings, gallery: Sequence[KnownPerson] = ()) -> tuple[Cluster, ...]:
    """One cluster per person, earliest first; every track is in exactly one."""
    ordered = sorted(features, key=_position)
    owner = {member: i for i, person in enumerate(gallery) for member in person.members | {person.cluster_id}}
    groups = _link_seen([f for f in ordered if f.embedding is not None], owner, settings.link_distance)
    groups += [[f] for f in ordered if f.embedding is None]
    groups.sort(key=lambda group: _position(group[0]))
    known = _recognise(groups, owner, gallery, settings.link_distance)
    people: dict[tuple[bool, int], Group] = {}  # (is known, number in the gallery or among the groups)
    for i, group in enumerate(groups):
        people.setdefault((True, known[i]) if i in known else (False, i), []).extend(group)
    clusters = [_cluster(sorted(group, key=_position), gallery[number] if is_known else None) for (is_known, number), group in people.items()]
    place = {(f.video_id, f.track_no): i for i, f in enumerate(ordered)}
    return tuple(sorted(clusters, key=lambda cluster: place[cluster.tracks[0]]))


def _position(feature: TrackFeature) -> tuple[str, int, int]:
    return feature.video_id, feature.first_frame, feature.track_no


def _link_seen(seen: Group, owner: Mapping[str, int], threshold: float) -> list[Group]:
    if not seen:
        return []
    points = _points(seen)
    first = link_points(points, _weights(seen), _strangers(seen, owner), threshold)
    return [[seen[i] for i in np.flatnonzero(first == number)] for number in np.unique(first)]


def _weights(group: Group) -> NDArray[np.float64]:
    return np.array([max(_LEAST_WEIGHT, f.quality) for f in group], np.float64)


def _strangers(seen: Group, owner: Mapping[str, int]) -> Forbidden:
    """Which pairs of tracks cannot be one person: seen at the same time, or known as two."""
    video = np.unique([f.video_id for f in seen], return_inverse=True)[1]
    first, stop = np.array([f.first_frame for f in seen]), np.array([f.stop_frame for f in seen])
    person = np.array([owner.get(f.cluster_id, -1) for f in seen])

    def forbidden(rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.bool_]:
        i, j = rows[:, None], columns[None, :]
        together = (video[i] == video[j]) & (first[i] < stop[j]) & (first[j] < stop[i])
        return together | ((person[i] >= 0) & (person[j] >= 0) & (person[i] != person[j]))

    return forbidden


def _recognise(groups: list[Group], owner: Mapping[str, int], gallery: Sequence[KnownPerson], threshold: float) -> dict[int, int]:
    """Group number to number in the gallery, for the groups that are known people: by their tracks first, then nearest first."""
    known = {i: owner[f.cluster_id] for i, group in enumerate(groups) for f in group if f.cluster_id in owner}
    taken: dict[int, Group] = {}
    for i, person in known.items():
        taken.setdefault(person, []).extend(groups[i])
    for _, i, person in _near(groups, known, gallery, threshold):
        if i not in known and not _meet(groups[i], taken.get(person, [])):
            known[i] = person
            taken.setdefault(person, []).extend(groups[i])
    return known


def _near(groups: list[Group], known: Mapping[int, int], gallery: Sequence[KnownPerson], threshold: float) -> list[tuple[float, int, int]]:
    """(distance, group, person) of every new group and known person below the threshold, nearest first.

    The distance is the root of the mean squared distance over all pairs of tracks: |mean - mean|^2 + both spreads.
    """
    new = [i for i, group in enumerate(groups) if i not in known and group[0].embedding is not None]
    centres = [_centre(groups[i]) for i in new]
    old = [p for p, person in enumerate(gallery) if person.embedding is not None and centres and person.embedding.shape == centres[0][0].shape]
    if not old:
        return []
    between = distances(np.stack([mean for mean, _ in centres]), np.stack([np.asarray(gallery[p].embedding, np.float64) for p in old]))
    spread = np.array([s for _, s in centres])[:, None] + np.array([gallery[p].spread for p in old])[None, :]
    total = np.round(np.sqrt(between**2 + spread), 6)
    pairs = [(float(total[i, p]), new[i], old[p]) for i, p in zip(*np.nonzero(total < threshold), strict=True)]
    return sorted(pairs, key=lambda pair: (pair[0], pair[1], gallery[pair[2]].cluster_id))  # equal distances: the earlier group, the smaller id


def _meet(a: Group, b: Group) -> bool:
    return any(f.video_id == g.video_id and f.first_frame < g.stop_frame and g.first_frame < f.stop_frame for f in a for g in b)


def _points(group: Group) -> NDArray[np.float64]:
    """Embeddings (n, D) of tracks that all have one."""
    return np.stack([np.asarray(f.embedding, np.float64) for f in group])


def _centre(group: Group) -> tuple[NDArray[np.float64], float]:
    """Weighted mean (D,) and mean squared distance to it, of a group with embeddings."""
    points, weights = _points(group), _weights(group)
    share = weights / weights.sum()
    mean = share @ points
    return mean, float(share @ ((points - mean) ** 2).sum(1))


def _cluster(group: Group, known: KnownPerson | None) -> Cluster:
    seen = [f for f in group if f.embedding is not None]
    mean, spread = _centre(seen) if seen else (None, 0.0)
    weights = _weights(group)

    def median(values: list[float]) -> float:
        return weighted_median(np.array(values, np.float64), weights)

    return Cluster(
        cluster_id=known.cluster_id if known else group[0].cluster_id,
        tracks=tuple((f.video_id, f.track_no) for f in group),
        embedding=None if mean is None else mean.astype(np.float32),
        weight=float(_weights(seen).sum()),
        spread=spread,
        female=median([f.female for f in group]),
        age=median([f.age for f in group]),
        skin=(median([f.skin[0] for f in group]), median([f.skin[1] for f in group]), median([f.skin[2] for f in group])),
        members=frozenset(f.cluster_id for f in group),
        known=known,
    )


def weighted_median(values: NDArray[np.floating], weights: NDArray[np.float64]) -> float:
    """The smallest value with half of the weight at or below it; NaN are left out, and NaN is the answer where nothing is left."""
    keep = ~np.isnan(values)
    values, weights = values[keep], weights[keep]
    if not len(values):
        return float("nan")
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])
