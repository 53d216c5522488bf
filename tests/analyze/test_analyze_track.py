"""Tracks and covers, from numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceanon.analyze.cover import add_repairs, cover
from faceanon.analyze.track import build_tracks, track_features
from faceanon.core.geometry import covered
from faceanon.core.ids import cluster_id
from faceanon.core.records import Detections, FaceSamples, Leak, Method, Origin, VideoAnalysis
from faceanon.core.settings import Settings

SETTINGS = Settings()
HOLD = SETTINGS.track.hold_frames


def detections(rows):
    """rows of (frame, x, y, size) or (frame, x, y, size, score) or (..., origin) or (..., mesh score)."""
    full = [(*row, *(0.9, Origin.DETECTED, np.nan)[len(row) - 4 :]) for row in rows]
    frame, x, y, size, score, origin, mesh = (np.array(c) for c in zip(*full, strict=True))
    box = np.stack([x, y, x + size, y + size], axis=1).astype(np.float32)
    points = np.repeat(box[:, None, :2] + size[:, None, None] / 2, 5, axis=1).astype(np.float32)
    return Detections.concatenate([Detections(frame.astype(np.int32), box, points, score.astype(np.float32), origin.astype(np.uint8), mesh.astype(np.float32))])


def video(rows, num_frames=100, cuts=(), samples=None):
    return VideoAnalysis("v" * 32, num_frames, detections(rows), samples or FaceSamples.empty(2), np.array(cuts, np.int32), np.zeros(len(cuts), np.float32))


def samples_of(rows, embeddings, quality=0.8):
    n = len(rows)
    female = np.full(n, 0.25, np.float32)
    skin = np.full((n, 3), np.nan, np.float32)
    return FaceSamples(np.array(rows, np.int32), np.array(embeddings, np.float32), np.full(n, quality, np.float32), female, female * 100, skin)


def test_a_moving_face_is_one_track_without_gaps():
    """Sightings on every fourth frame become one row a frame, interpolated, held at both ends."""
    (track,) = build_tracks(video([(f, 10 + 2 * f, 50, 40) for f in range(20, 61, 4)]), SETTINGS)

    assert track.frame.tolist() == list(range(20 - HOLD, 61 + HOLD))
    assert track.box[track.frame == 22][0].tolist() == [54, 50, 94, 90]
    assert track.origin[track.frame == 22] == Origin.INTERPOLATED
    assert track.origin[0] == track.origin[-1] == Origin.HELD
    assert track.trusted


def test_no_track_crosses_a_cut():
    """A face at the same place after a cut is another track, and neither is held across."""
    before, after = build_tracks(video([(f, 50, 50, 40) for f in range(0, 41, 4)], cuts=[22]), SETTINGS)

    assert (before.frame[-1], after.frame[0]) == (21, 22)
    assert (before.shot_no, after.shot_no) == (0, 1)


def test_two_faces_that_pass_each_other_keep_their_tracks():
    """Speed tells who is who where boxes meet."""
    rows = [(f, 10 + 5 * f, 50, 30) for f in range(0, 41, 2)] + [(f, 210 - 5 * f, 56, 30) for f in range(0, 41, 2)]
    tracks = build_tracks(video(rows), SETTINGS)

    ends = sorted((float(t.box[HOLD][0]), float(t.box[-HOLD - 1][0])) for t in tracks if len(t.detection_rows) > 15)
    assert ends == [(pytest.approx(35, abs=30), pytest.approx(210, abs=30)), (pytest.approx(185, abs=30), pytest.approx(10, abs=30))]


def test_samples_of_strangers_split_a_track():
    """Where the embedder says that another person has taken the place, the track ends."""
    rows = [(f, 50, 50, 40) for f in range(0, 81, 4)]
    analysis = video(rows, samples=samples_of([0, 5, 12, 18], [(0, 0), (0.1, 0), (2, 0), (2.1, 0)]))

    assert len(build_tracks(analysis, SETTINGS)) == 2


def test_a_box_inside_a_longer_track_is_not_a_face_of_its_own():
    """Boxes of a face's parts make no track."""
    rows = [(f, 50, 50, 60) for f in range(0, 41, 4)] + [(f, 60, 60, 25, 0.5) for f in range(8, 21, 4)]

    assert len(build_tracks(video(rows), SETTINGS)) == 1


@pytest.mark.parametrize(
    ("rows", "trusted"),
    [
        ([(10, 5, 5, 40, 0.4)], False),
        ([(10, 5, 5, 40, 0.9)], True),
        ([(10, 5, 5, 40, 0.65), (14, 5, 5, 40, 0.65)], True),
        ([(f, 5, 5, 40, 0.45) for f in range(0, 40, 4)], False),
        ([(f, 5, 5, 40, 0.45, Origin.DETECTED, 0.9) for f in (0, 4)], True),
        ([(0, 5, 5, 40, 0.85, Origin.DETECTED, 0.01), (4, 5, 5, 40, 0.7)], False),
        ([(0, 5, 5, 40, 0.95, Origin.DETECTED, 0.01), (4, 5, 5, 40, 0.7)], True),
    ],
)
def test_what_nothing_supports_is_not_trusted(rows, trusted):
    """Trust needs a sure detector or a mesh that fits, and is lost where the mesh never fits a box that is not beyond doubt."""
    (track,) = build_tracks(video(rows), SETTINGS)

    assert track.trusted == trusted
    assert set(cover([track], {}, SETTINGS, width=640, height=360).method.tolist()) == {Method.ENGINE if trusted else Method.OBSCURE}


def test_a_feature_is_named_after_the_first_detected_sighting():
    """cluster_id is made of the video, frame and box, and the embedding of the best samples."""
    analysis = video([(8, 50, 50, 40, 0.5, Origin.FOLLOWED), (12, 50, 50, 40), (16, 52, 50, 40)], samples=samples_of([1, 2], [(1, 0), (0.6, 0.4)]))
    tracks = build_tracks(analysis, SETTINGS)
    (feature,) = track_features(tracks, analysis, SETTINGS)

    assert feature.cluster_id == cluster_id("v" * 32, 12, (50, 50, 90, 90))
    assert feature.embedding == pytest.approx([0.8, 0.2])
    assert (feature.female, feature.age) == (0.25, 25)
    assert np.isnan(feature.skin).all()
    assert (feature.first_frame, feature.stop_frame) == (8, 17)  # what is held on both sides is no sighting


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), step=st.sampled_from([1, 3, 4, 8]))
def test_covers_hold_every_box_that_was_measured(seed, step):
    """However a face jumps, each sighting lies inside the cover of its frame and of both neighbours, inside the picture."""
    rng = np.random.default_rng(seed)
    places = np.cumsum(rng.normal(0, 6, (40, 2)), axis=0) + 200
    analysis = video([(f * step, *place, 40 + rng.uniform(-8, 8)) for f, place in enumerate(places)], num_frames=400)
    table = cover(build_tracks(analysis, SETTINGS), {0: 7}, SETTINGS, width=640, height=360)

    for row in range(len(analysis.detections)):
        frame, box = int(analysis.detections.frame[row]), np.clip(analysis.detections.box[row : row + 1], 0, [640, 360, 640, 360])
        for near in (frame - 1, frame, frame + 1):
            if near in table.frame:
                assert covered(box, table.at(near).cover)[0] > 0.999
    assert table.cover[:, 2].max() <= 640
    assert table.cover.min() >= 0


def test_the_less_sure_the_place_the_wider_the_cover():
    """Followed and held rows are padded more than detected ones."""
    rows = [(f, 100, 100, 40) for f in range(20, 41, 4)] + [(f, 100, 100, 40, 0.5, Origin.FOLLOWED) for f in range(41, 50)]
    table = cover(build_tracks(video(rows), SETTINGS), {}, SETTINGS, width=640, height=360)
    width = {int(f): float(c[2] - c[0]) for f, c in zip(table.frame, table.cover, strict=True)}

    assert width[32] == pytest.approx(40 * (1 + 2 * SETTINGS.track.pad), abs=0.1)
    assert width[32] < width[42] < width[48] < width[54]


def test_a_leak_becomes_a_region_around_its_frame_within_its_shot():
    """Repairs are obscured, held on both sides, and stop at cuts; sightings of one face are joined."""
    leaks = [Leak(30, (100, 100, 140, 140), 0.7), Leak(42, (110, 100, 150, 140), 0.6), Leak(80, (10, 10, 50, 50), 0.9)]
    first = cover(build_tracks(video([(20, 300, 100, 40)]), SETTINGS), {}, SETTINGS, width=640, height=360)
    table = add_repairs(first, leaks, cut_frame=np.array([20, 90], np.int32), num_frames=100, settings=SETTINGS, width=640, height=360, hold_frames=16)
    repairs = table.take(table.method == Method.REPAIR)

    assert sorted(set(repairs.track.tolist())) == [1, 2]
    assert repairs.frame[repairs.track == 1].tolist() == list(range(20, 59))
    assert repairs.frame[repairs.track == 2].tolist() == list(range(64, 90))
    assert len(table) == len(first) + len(repairs)
    assert add_repairs(first, [], cut_frame=np.zeros(0, np.int32), num_frames=100, settings=SETTINGS, width=640, height=360) is first


@pytest.mark.parametrize(
    ("size", "score", "mesh", "looks", "tracks"), [(90, 0.35, 0.02, 1, 0), (90, 0.35, 0.02, 2, 1), (90, 0.35, 0.3, 1, 1), (90, 0.5, 0.02, 1, 1), (20, 0.35, 0.02, 1, 1)]
)
def test_a_large_box_that_two_models_doubt_is_no_face(size, score, mesh, looks, tracks):
    """Large, seen once, scored low, and nothing that the mesh sees: dropped. Small, seen twice, or better in either model's eyes: covered."""
    found = build_tracks(video([(20 + 4 * n, 10, 10, size, score, Origin.DETECTED, mesh) for n in range(looks)]), SETTINGS)

    assert len(found) == tracks


def test_held_frames_are_no_sightings():
    """Two tracks that follow each other within their hold do not overlap in the linker's eyes: they may be one person."""
    found = build_tracks(video([(20, 10, 10, 40), (24, 10, 10, 40), (28, 500, 300, 40), (32, 500, 300, 40)]), SETTINGS)
    first, second = track_features(found, video([(20, 10, 10, 40), (24, 10, 10, 40), (28, 500, 300, 40), (32, 500, 300, 40)]), SETTINGS)

    assert found[0].frame[-1] >= found[1].frame[0]
    assert first.stop_frame <= second.first_frame
