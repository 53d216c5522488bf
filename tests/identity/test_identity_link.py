"""Tracks of one person come together, of two people never, in whatever order they are given."""

from __future__ import annotations

import itertools
import random
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage

from faceanon.core.records import TrackFeature
from faceanon.core.settings import IdentitySettings
from faceanon.identity import linkage as own
from faceanon.identity.gallery import remember
from faceanon.identity.link import KnownPerson, link, weighted_median

DEFAULT = IdentitySettings()
SAME, DIFFERENT, DIMENSIONS = 0.43, 0.83, 128  # distances of dlib's embedder


def people(count, tracks, seed=0, videos=3):
    """(features, who): tracks of `count` people at the embedder's distances, one after another within each video."""
    rng = np.random.default_rng(seed)
    scale = np.sqrt((DIFFERENT**2 - SAME**2) / 2 / DIMENSIONS)
    base = rng.normal(0, scale, (count, DIMENSIONS))
    who = rng.integers(0, count, tracks)
    vectors = base[who] + rng.normal(0, SAME / np.sqrt(2 * DIMENSIONS), (tracks, DIMENSIONS))
    return [track(i, vectors[i], video=f"v{i % videos}", first=i * 40, quality=float(rng.uniform(0.2, 1))) for i in range(tracks)], who


def track(number, vector, *, video="v", first=0, length=40, quality=0.8, female=0.5, age=30.0):
    embedding = None if vector is None else np.asarray(vector, np.float32)
    return TrackFeature(video, number, f"cluster-{video}-{number:06d}", first, first + length, embedding, quality, female, age, (60.0, 10.0, 15.0))


def partition(clusters):
    return [cluster.tracks for cluster in clusters]


def point(x, y=0.0):
    return [x, y]


def test_people_are_told_apart():
    """At the embedder's distances, over three videos, everybody is found once and nobody is mixed."""
    features, who = people(20, 300)
    clusters = link(features, DEFAULT)

    assert len(clusters) == 20
    assert all(len({who[number] for _, number in cluster.tracks}) == 1 for cluster in clusters)
    assert sorted(t for cluster in clusters for t in cluster.tracks) == sorted((f.video_id, f.track_no) for f in features)


def test_same_as_plain_average_linkage():
    """Without weights and constraints the groups are those of scipy's average linkage, also where people blur into each other."""
    for seed in range(5):
        points = np.random.default_rng(seed).normal(0, 0.3, (60, 3))
        expected = fcluster(linkage(points, "average"), 0.5, "distance")
        found = own.link_points(points, np.ones(60), lambda i, j: np.zeros((len(i), len(j)), bool), 0.5)

        assert {tuple(np.flatnonzero(expected == g)) for g in set(expected)} == {tuple(np.flatnonzero(found == g)) for g in set(found)}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40))
def test_order_does_not_matter(seed, count):
    """The same tracks in any order give the same clusters, value for value."""
    rng = np.random.default_rng(seed)
    vectors = [None if rng.random() < 0.1 else rng.integers(-2, 3, 2) * 0.25 for _ in range(count)]  # on a grid, so that many distances are equal
    places = [(f"v{rng.integers(2)}", int(rng.integers(0, 200)), float(rng.integers(0, 3) / 2)) for _ in range(count)]
    features = [track(i, vectors[i], video=video, first=first, quality=quality) for i, (video, first, quality) in enumerate(places)]
    shuffled = features.copy()
    random.Random(seed).shuffle(shuffled)

    one, two = link(features, DEFAULT), link(shuffled, DEFAULT)

    assert partition(one) == partition(two)
    for a, b in zip(one, two, strict=True):
        assert (a.cluster_id, a.weight, a.spread, a.female, a.age, a.skin) == (b.cluster_id, b.weight, b.spread, b.female, b.age, b.skin)
        assert (a.embedding is None and b.embedding is None) or np.array_equal(a.embedding, b.embedding)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_nobody_is_in_two_places(seed):
    """No cluster holds two tracks of one video that overlap, however alike they look."""
    rng = np.random.default_rng(seed)
    features = [track(i, rng.normal(0, 0.05, 2), video=f"v{rng.integers(2)}", first=int(rng.integers(0, 300))) for i in range(25)]
    spans = {(f.video_id, f.track_no): (f.first_frame, f.stop_frame) for f in features}

    for cluster in link(features, DEFAULT):
        mine = sorted((key[0], spans[key]) for key in cluster.tracks)
        assert all(a[0] != b[0] or a[1][1] <= b[1][0] for a, b in itertools.pairwise(mine))


def test_neighbours_in_time_may_join():
    """A track that starts on the frame where another stops does not overlap it; the same frames of another video do not count."""
    assert len(link([track(0, point(0)), track(1, point(0), first=40)], DEFAULT)) == 1
    assert len(link([track(0, point(0)), track(1, point(0), first=39)], DEFAULT)) == 2
    assert len(link([track(0, point(0)), track(0, point(0), video="w")], DEFAULT)) == 1


def test_chains_do_not_collapse():
    """Average linkage: a row of faces, each near the next, does not become one person."""
    features = [track(i, point(0.3 * i), first=i * 40) for i in range(12)]

    assert len(link(features, DEFAULT)) > 3


def test_a_track_without_an_embedding_is_its_own_person():
    """What was never seen well joins nobody, not even its like."""
    features = [track(i, None, first=i * 40) for i in range(3)] + [track(9, point(0), first=400)]

    clusters = link(features, DEFAULT)

    assert [len(cluster.tracks) for cluster in clusters] == [1, 1, 1, 1]
    assert clusters[0].embedding is None


def test_a_cluster_is_called_by_its_earliest_track():
    """By video, then frame; never by what it looks like."""
    features = [track(5, point(0), video="b", first=0), track(7, point(0.01), video="a", first=90), track(3, point(0.02), video="a", first=10)]
    cluster = link(features, DEFAULT)[0]

    assert cluster.tracks == (("a", 3), ("a", 7), ("b", 5))
    assert cluster.cluster_id == "cluster-a-000003"
    assert link([], DEFAULT) == ()


def test_better_tracks_weigh_more():
    """The mean leans to quality, and attributes are medians that ignore what is unknown."""
    nan = float("nan")
    features = [
        track(0, point(0), quality=1.0, female=0.1, age=nan),
        track(1, point(0.4), first=40, quality=0.0, female=0.9, age=nan),
        track(2, point(0), first=80, quality=1.0),
    ]
    cluster = link(features, DEFAULT)[0]

    assert cluster.embedding[0] < 0.02
    assert (cluster.female, cluster.age, cluster.skin) == (0.5, 30.0, (60.0, 10.0, 15.0))
    assert np.isnan(weighted_median(np.array([nan, nan]), np.ones(2)))


def test_known_people_are_recognised():
    """A new cluster near a known person takes its id; one that is far from all is new; a track seen beside the person is not theirs."""
    known = KnownPerson("known", "person-k", None, np.array([0, 0], np.float32), 3.0, 0.01, 4)
    near, far = track(0, point(0.2)), track(1, point(2), first=0)
    beside = track(2, point(0.3), first=20)

    clusters = link([near, far, beside], DEFAULT, [known])

    assert [(cluster.cluster_id, cluster.known is known) for cluster in clusters] == [("known", True), ("cluster-v-000001", False), ("cluster-v-000002", False)]


def test_two_clusters_of_one_known_person_are_one():
    """Two looks of a person that only the gallery joins come out as one cluster."""
    known = KnownPerson("known", "person-k", None, np.array([0, 0], np.float32), 3.0, 0.0, 4)
    clusters = link([track(0, point(-0.3)), track(1, point(0.3), first=40)], DEFAULT, [known])

    assert partition(clusters) == [(("v", 0), ("v", 1))]
    assert len(link([track(0, point(-0.3)), track(1, point(0.3), first=40)], DEFAULT)) == 2


def test_published_people_never_merge_or_change_their_name():
    """Two known people who now look alike stay two, and each keeps its tracks wherever its mean has gone."""
    a, b = track(0, point(0)), track(1, point(0.01), first=40)
    gallery = [
        KnownPerson(a.cluster_id, "person-a", None, np.array([0, 0], np.float32), 1.0, 0.0, 1, frozenset({a.cluster_id})),
        KnownPerson(b.cluster_id, "person-b", None, np.array([9, 9], np.float32), 1.0, 0.0, 1, frozenset({b.cluster_id})),
    ]
    between = track(2, point(0.005), first=80)

    clusters = link([between, b, a], DEFAULT, gallery)

    assert [cluster.cluster_id for cluster in clusters] == [a.cluster_id, b.cluster_id]
    assert link([between, b, a], DEFAULT, gallery[::-1])[0].tracks == clusters[0].tracks


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_later_runs_change_nobody(seed):
    """Videos that come one after another: whoever was published keeps name and tracks, whatever is linked later and however often."""
    rng = np.random.default_rng(seed)
    places = [(f"v{i % 3}", int(rng.integers(0, 400))) for i in range(30)]
    features = [track(i, rng.integers(-3, 4, 2) * 0.2, video=video, first=first) for i, (video, first) in enumerate(places)]
    gallery: dict[str, KnownPerson] = {}
    published: dict[tuple[str, int], str] = {}
    for videos in ({"v1"}, {"v0"}, {"v0", "v2"}, {"v0", "v1", "v2"}):
        clusters = link([f for f in features if f.video_id in videos], DEFAULT, list(gallery.values()))
        gallery |= {c.cluster_id: remember(c, c.cluster_id, None) for c in clusters}
        now = {key: c.cluster_id for c in clusters for key in c.tracks}

        assert all(published.get(key, name) == name for key, name in now.items())
        published |= now


def test_a_large_component_is_cut(monkeypatch):
    """What is too large for one matrix is linked in parts: perhaps more people, never two people in one."""
    features, who = people(12, 200)
    for f in features[:5]:
        features.append(replace(f, track_no=f.track_no + 1000, first_frame=f.first_frame + 10**6, stop_frame=f.stop_frame + 10**6))
    who = {**dict(enumerate(who)), **{i + 1000: who[i] for i in range(5)}}
    monkeypatch.setattr(own, "MAX_POINTS", 8)

    clusters = link(features, DEFAULT)

    assert all(len({who[number] for _, number in cluster.tracks}) == 1 for cluster in clusters)
    assert sum(len(cluster.tracks) for cluster in clusters) == 205


@pytest.mark.parametrize(("count", "tracks"), [(60, 2000), (5, 2000)])
def test_thousands_of_tracks(count, tracks):
    """Two thousand tracks take seconds, whether of few people or of many."""
    features, _ = people(count, tracks, videos=20)
    start = time.process_time()
    clusters = link(features, DEFAULT)

    assert len(clusters) == count
    assert time.process_time() - start < 8
