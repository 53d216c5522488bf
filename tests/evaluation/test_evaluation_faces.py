"""Scores of new faces in photos, from made-up embeddings: each attack finds what it should, and nothing else."""

from __future__ import annotations

import math

import numpy as np
import pytest

from faceanon.evaluation.faces import A, B, Judge, Looks, PaintedFace, calibrate, score
from faceanon.evaluation.intervals import correlation, estimate
from faceanon.evaluation.reidentification import calibrated, frechet, ranks

PEOPLE, DIMENSIONS = 40, 24
RANDOM = np.random.default_rng(7)
ORIGINALS, CODES, OTHER_CODES = (RANDOM.normal(size=(PEOPLE, DIMENSIONS)) for _ in range(3))
JUDGE = [Judge("j", 2.0, 2.0)]


def looks(embedding, mouth=0.1, emotion=0, detected=True, pose=(0, 0, 0), female=0.9, shift=0.0):
    points = np.zeros((31, 2), np.float32) + shift
    shares = np.eye(7, dtype=np.float32)[emotion]
    return Looks({"j": np.asarray(embedding, np.float32)}, points, 50.0, mouth, 2 * mouth, np.array(pose, np.float32), shares, female, 30.0, (60.0, 10.0, 15.0), detected)


def near(embedding, seed):
    return embedding + np.random.default_rng(seed).normal(size=DIMENSIONS) * 0.05


def painted(codes_of_key=(CODES, OTHER_CODES), **new):
    """Everybody twice, and photo B again with another key; new faces are those of the codes."""
    faces = []
    for k in range(PEOPLE):
        for key, photo in ((0, A), (0, B), (1, B)):
            mouth = 0.01 * k
            old = looks(near(ORIGINALS[k], k + photo * 1000), mouth)
            made = looks(near(codes_of_key[key][k], 5000 + k + photo * 1000), **({"mouth": mouth} | new))
            faces.append(PaintedFace(f"p{k:02}", photo, key, old, made, True, 0.0, 0.0, 10.0 + photo))
    return faces


def answers(faces):
    return {row.question: row.found for row in score(faces, JUDGE)}


def test_codes_of_their_own_hide_everybody_and_keep_each_person_one():
    """Nobody is found by a real photo, new faces of one person agree, another key makes another face, and people stay apart."""
    found = answers(painted())

    assert found["original to new, under 2.00"].value == 0
    assert found["same person, two photos, under 2.00"].value == 1
    assert found["two codes, same photo, under 2.00"].value == 0
    assert found["one person, two archives, two keys, under 2.00"].value == 0
    assert found["different people, new faces, under 2.00"].value < 0.02
    assert found["re-identified, real photo to real gallery, top-1 of 40"].value == 1
    assert found["re-identified, other photo in the gallery, top-1 of 40"].value < 0.15
    assert found["parrot: gallery anonymised with the same key (meant to be linked), top-1 of 40"].value == 1
    assert found["parrot: gallery anonymised with another key, top-1 of 40"].value < 0.15


def test_what_does_nothing_is_found_out():
    """Where the new face is the old one, every attack succeeds."""
    found = answers(painted((ORIGINALS, ORIGINALS)))

    assert found["original to new, under 2.00"].value == 1
    assert found["re-identified, other photo in the gallery, top-1 of 40"].value == 1
    assert found["parrot: gallery anonymised with another key, top-1 of 40"].value == 1
    assert found["two codes, same photo, under 2.00"].value == 1


def test_a_code_that_everybody_shares_is_no_diversity():
    """One face for all: different people are taken for one, and their distance is next to none of the originals'."""
    one = np.repeat(CODES[:1], PEOPLE, axis=0)
    found = answers(painted((one, one)))

    assert found["different people, new faces, under 2.00"].value == 1
    assert found["distance between different new faces, over the originals'"].value < 0.1


def test_bystanders_make_a_gallery_larger_and_its_first_ten_harder():
    """People who are only in the gallery are counted, and can be found in somebody's stead."""
    many = [looks(CODES[k], 0.0) for k in range(PEOPLE)]  # real people who look like the new faces
    found = {row.question: row.found for row in score(painted(), JUDGE, many)}

    assert found["re-identified, other photo in the gallery, top-1 of 80"].value == 0
    assert found["re-identified, real photo to real gallery, top-1 of 80"].value == 1
    assert found["re-identified, other photo in the gallery, top-1 of 80"].n == 2 * PEOPLE


def test_likeness_is_counted_where_a_face_is_shown():
    """Mouths that follow correlate, moved points and other emotions show, and a hidden face is in no average of likeness."""
    kept, lost = answers(painted()), answers(painted(mouth=0.2, emotion=3, detected=False, pose=(5, -2, 0), female=0.1, shift=3.0))

    assert kept["mouth opening, correlation"].value == pytest.approx(1)
    assert (kept["emotion, same top class"].value, kept["re-detected"].value, kept["apparent sex agrees"].value) == (1, 1, 1)
    assert math.isnan(lost["mouth opening, correlation"].value)
    assert (lost["emotion, same top class"].value, lost["re-detected"].value, lost["apparent sex agrees"].value) == (0, 0, 0)
    assert lost["landmark error, 31 points over eye distance, median"].value == pytest.approx(3 * math.sqrt(2) / 50)
    assert [lost[f"{name} error, degrees"].value for name in ("yaw", "pitch", "roll")] == [5, 2, 0]


def test_ranks_count_who_is_nearer():
    """The own entry nearest is rank 0; equal ones share their place; all alike is the middle, not the top."""
    gallery = np.array([[0.0], [1.0], [2.0]])
    assert ranks(np.array([[0.1], [0.1], [2.2]]), gallery).tolist() == [0, 1, 0]
    assert ranks(np.zeros((3, 1)), np.zeros((3, 1))).tolist() == [1, 1, 1]


def test_a_judge_is_calibrated_on_different_people_alone():
    """The threshold lies where the asked share of pairs of different people is nearer; pairs of one person do not count."""
    a = RANDOM.normal(size=(200, 16))
    limit = calibrated(a, a, 0.01)
    apart = np.linalg.norm(a[:, None] - a[None], axis=2)[~np.eye(200, dtype=bool)]

    assert (apart < limit).mean() == pytest.approx(0.01, abs=1e-3)
    assert calibrate(painted(), {"j": 0.6})[0].at_far < 6


def test_intervals_hold_the_value_and_narrow_with_number():
    """Of more people one is surer; a person's two photos are not two people."""
    few, many = (estimate(np.arange(n) % 2) for n in (20, 2000))
    assert few.low < 0.5 < few.high
    assert many.high - many.low < (few.high - few.low) / 5
    twice = np.repeat(np.arange(20) % 2, 10)
    grouped, single = estimate(twice, groups=np.repeat(np.arange(20), 10)), estimate(twice)
    assert grouped.high - grouped.low > 2 * (single.high - single.low)
    assert correlation(np.arange(9.0), np.arange(9.0) * 2).value == pytest.approx(1)


def test_frechet_is_nothing_between_equal_sets_and_the_squared_way_between_shifted_ones():
    """Known cases of the distance of two Gaussians."""
    a = RANDOM.normal(size=(500, 4))
    assert frechet(a, a) == pytest.approx(0, abs=1e-6)
    assert frechet(a, a + np.array([3, 0, 0, 0])) == pytest.approx(9, abs=1e-6)
    assert frechet(a, a * 2) == pytest.approx(np.trace(np.cov(a.T)) + ((a.mean(0)) ** 2).sum(), rel=1e-6)
