"""Scores of new faces in time, from made-up features; and the whole command on a clip without faces."""

from __future__ import annotations

import json
import math
from fractions import Fraction

import cv2
import numpy as np
import pytest

from faceanon.cli import main
from faceanon.commands.evaluate_video import BURST, bursts, stray_share
from faceanon.core.picture import Picture
from faceanon.evaluation.video import Features, Watched, score_video
from faceanon.media.clips import write_clip

SHAPE = np.random.default_rng(4).uniform(0, 60, (31, 2)).astype(np.float32)


def features(frame, *, moved=0.0, jitter=0.0, mouth=0.1):
    shake = np.random.default_rng(frame).normal(0, jitter, (31, 2)) if jitter else 0.0
    return Features((SHAPE + moved * frame + shake).astype(np.float32), 40.0, mouth, mouth)


def watched(frame, before, after, *, original=(1.0, 0.0), new=(0.0, 1.0)):
    box = np.array([0, 0, 60, 60], np.float32)
    shown = None if after is None else np.array(new, np.float32)
    return Watched(frame, frame, 0, box, True, np.array(original, np.float32), shown, before, after)


def scored(faces, stray=()):
    return score_video("c", 20, faces, stray, 0.6)


def test_a_new_face_that_flickers_is_told_from_one_that_is_steady():
    """The cosine from frame to frame falls where the new face changes and the original does not; gaps in time make no pair."""
    steady = scored([watched(n, features(n), features(n)) for n in range(12)])
    flickering = scored([watched(n, features(n), features(n), new=(0.3 * (n % 2), 1.0)) for n in range(12)])
    sparse = scored([watched(2 * n, features(n), features(n)) for n in range(8)])

    assert steady.flicker.value == pytest.approx(0)
    assert flickering.flicker.high < -0.03
    assert sparse.flicker.n == 0


def test_jitter_is_what_is_not_motion():
    """A face that moves steadily does not jitter; one whose points shake does, the new one alone."""
    found = scored([watched(n, features(n, moved=3.0), features(n, moved=3.0, jitter=1.0)) for n in range(12)])

    assert found.original_jitter == pytest.approx(0, abs=1e-5)
    assert found.new_jitter > 0.02


def test_following_is_within_a_face_not_between_faces():
    """Mouths that open together correlate; two people of unlike mouths that do not move do not."""
    opening = scored([watched(n, features(n, mouth=0.05 * (n % 4)), features(n, mouth=0.04 * (n % 4))) for n in range(12)])
    still = scored([watched(n, features(n, mouth=0.1 + n // 6), features(n, mouth=0.1 + n // 6)) for n in range(6)])

    assert opening.mouth.value == pytest.approx(1)
    assert math.isnan(still.mouth.value)


def test_hidden_faces_count_and_have_no_numbers():
    """A face that shows nothing new lowers the share that is shown and nothing else."""
    found = scored([watched(n, features(n), features(n) if n < 6 else None) for n in range(12)], [0.0, 0.5])

    assert (found.faces, found.shown, found.stray) == (12, 0.5, 0.25)
    assert found.under == 0
    assert math.isnan(scored([]).shown)


def test_bursts_are_neighbours_spread_over_the_clip():
    """A short clip is seen whole; a long one in runs of neighbours from its first frame to its last."""
    assert bursts(10, 24) == {n: n for n in range(10)}
    long = bursts(1000, 24)
    assert len(long) == 24
    assert (min(long), max(long)) == (0, 999)
    assert sum(frame + 1 in long for frame in long) == 3 * (BURST - 1)


def test_paint_around_a_face_is_no_stray_paint():
    """A change inside the face's surroundings does not count, the same change elsewhere does."""
    ground = np.full((120, 160, 3), 90, np.uint8)
    painted = ground.copy()
    cv2.rectangle(painted, (20, 20), (49, 49), (200, 200, 200), -1)
    before, after = Picture.of(ground), Picture.of(painted)

    assert stray_share(before, after, [np.array([22, 22, 48, 48], np.float32)]) == 0
    assert stray_share(before, after, []) == pytest.approx(900 / (120 * 160), rel=0.3)


@pytest.mark.models
def test_a_clip_without_faces_and_its_noisy_twin_are_rows_of_their_own(tmp_path, capsys):
    """Where no face is, nothing is painted; with noise added the same clip is judged once more."""
    ground = cv2.resize(np.random.default_rng(3).integers(0, 255, (6, 8, 3), np.uint8), (160, 120))
    write_clip(tmp_path / "empty.mp4", [np.roll(ground, 2 * n, 1) for n in range(6)], rate=Fraction(25))

    assert main(["evaluate", "video", str(tmp_path / "empty.mp4"), "--engine", "pixelate", "--noise", "10", "--format", "json"]) == 0

    rows = json.loads(capsys.readouterr().out)
    assert [row["clip"] for row in rows] == ["empty.mp4", "empty.mp4 + noise 10"]
    assert [(row["faces"], row["stray"], row["new_cosine"]) for row in rows] == [(0, 0.0, None)] * 2
