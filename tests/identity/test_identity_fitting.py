"""Who of a made-up bank looks like somebody, by what was read of the face and by what its embedding tells."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from faceanon.identity.fitting import PersonaNeed, fitting

NAN = float("nan")
PEOPLE = 200


@dataclass(frozen=True)
class MadeUpBank:
    """Embeddings whose first three numbers follow lightness, sex and age."""

    female: np.ndarray
    age: np.ndarray
    skin: np.ndarray
    embedding: np.ndarray


@pytest.fixture(scope="module")
def bank() -> MadeUpBank:
    noise = np.random.default_rng(7)
    skin = noise.uniform((35, 10, 12), (85, 18, 20), (PEOPLE, 3)).astype(np.float32)
    female, age = np.tile([0.05, 0.95], PEOPLE // 2).astype(np.float32), noise.uniform(18, 80, PEOPLE).astype(np.float32)
    return MadeUpBank(female, age, skin, looks(skin[:, 0], female, age, noise.normal(0, 0.05, (PEOPLE, 128))))


def looks(light, female, age, other) -> np.ndarray:
    embedding = np.array(other, np.float32)
    embedding[..., 0] = (np.asarray(light) - 60) / 30
    embedding[..., 1] = np.asarray(female) - 0.5
    embedding[..., 2] = (np.asarray(age) - 45) / 60
    return embedding


def need(embedding=None, female: float = 0.9, age: float = 40.0, skin=(60.0, 14.0, 16.0)) -> PersonaNeed:
    return PersonaNeed("a", "cluster", embedding, female, age, skin)


def test_fitting_people_share_the_apparent_sex(bank):
    """A woman is cast among the women of the bank, a man among the men."""
    women, men = fitting(need(female=0.9), bank)[0], fitting(need(female=0.1), bank)[0]

    assert set(bank.female[women]) == {np.float32(0.95)}
    assert set(bank.female[men]) == {np.float32(0.05)}


def test_unsure_sex_leaves_everybody(bank):
    """Where the sex is unknown or unsure nobody is ruled out."""
    assert len(fitting(need(female=NAN), bank)[0]) == len(fitting(need(female=0.6), bank)[0]) == PEOPLE


def test_a_misread_sex_rules_nobody_out(bank):
    """What is read of a face is held against what its embedding tells; where the two disagree, anybody may be drawn."""
    woman = looks(60.0, 0.95, 40.0, np.zeros(128))

    assert len(fitting(need(woman, female=0.1), bank)[0]) == PEOPLE
    assert set(bank.female[fitting(need(woman, female=NAN), bank)[0]]) == {np.float32(0.95)}


def test_an_unsure_sex_comes_first(bank):
    """Somebody who is a woman more likely than not is cast among women first; an even chance favours nobody."""
    rows, unlike = fitting(need(female=0.64), bank)
    even, _ = fitting(need(female=0.5), bank)

    assert (bank.female[rows[:20]] >= 0.5).mean() >= 0.8
    assert 0.3 < (bank.female[even[:40]] >= 0.5).mean() < 0.7
    assert (np.diff(unlike) >= 0).all()


def test_fitting_people_are_near_in_age_and_skin(bank):
    """The first people are nearer in age and skin than the bank as a whole, and the numbers say so."""
    rows, unlike = fitting(need(), bank)

    assert np.abs(bank.age[rows[:16]] - 40).max() < 25
    assert np.abs(bank.skin[rows[:16], 0] - 60).mean() < 0.5 * np.abs(bank.skin[:, 0] - 60).mean()
    assert np.all(np.diff(unlike) >= 0)


def test_dark_people_are_found_for_a_dark_face_whatever_their_age(bank):
    """Nearly as dark and older fits better than of the very age and light; so does dark in another lamp's hue."""
    skin = np.tile(np.float32((70.0, 14.0, 16.0)), (PEOPLE, 1))
    skin[[3, 5]] = (44.0, 18.0, 16.0), (46.0, 28.0, 24.0)
    age = np.full(PEOPLE, 40.0, np.float32)
    age[3] = 62.0
    few = MadeUpBank(bank.female, age, skin, looks(skin[:, 0], bank.female, age, np.random.default_rng(1).normal(0, 0.05, (PEOPLE, 128))))

    assert set(fitting(need(skin=(43.0, 20.0, 12.0)), few)[0][:2]) == {3, 5}


def test_a_dim_lamp_makes_nobody_dark(bank):
    """Two faces that read as equally dark: one's embedding is that of pale people, and it is given much lighter ones."""
    pale, dark = (looks(light, 0.95, 40.0, np.zeros(128)) for light in (75.0, 42.0))
    lightness = [bank.skin[fitting(need(face, skin=(42.0, 14.0, 16.0)), bank)[0][:12], 0].mean() for face in (pale, dark)]

    assert lightness[0] > 58
    assert lightness[1] < 48


def test_people_of_the_bank_are_as_dark_as_they_were_read(bank):
    """Somebody dark whose embedding is that of pale people is as far from a pale need as their skin is."""
    skin = bank.skin.copy()
    odd = np.flatnonzero((bank.female > 0.5) & (np.abs(skin[:, 0] - 65) < 4))[:6]
    skin[odd, 0] = 45
    rows, unlike = fitting(need(looks(65.0, 0.95, 40.0, np.zeros(128)), skin=(65.0, 14.0, 16.0)), replace(bank, skin=skin))

    assert len(odd) == 6
    assert unlike[np.isin(rows, odd)].min() > 15


def test_nothing_known_leaves_the_order_of_the_bank(bank):
    """Without embedding, age, sex and skin everybody is as good."""
    rows, unlike = fitting(need(None, NAN, NAN, (NAN, NAN, NAN)), bank)

    assert rows.tolist() == list(range(PEOPLE))
    assert not unlike.any()
