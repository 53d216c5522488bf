"""Synthetic people: the bank and its arithmetic without weights, then real portraits."""

from __future__ import annotations

import numpy as np
import pytest

from faceanon.core.errors import LicenceRefused
from faceanon.core.facecrop import box_of, points_of
from faceanon.core.records import Persona
from faceanon.core.settings import ModelSettings
from faceanon.identity.persona import predicted
from faceanon.models import styles
from faceanon.models.bank_seen import DROPPED, SEEN
from faceanon.models.people import SyntheticPeople

WOMAN, MAN = (0.5, 1.0), (0.0, 0.5)
NOISE_OF_7 = (0.8449000120162964, 0.1607999950647354, 0.47519999742507935, -1.2403000593185425)


def somebody(bank: styles.Bank, sex: tuple[float, float]) -> Persona:
    rows = np.flatnonzero((bank.female >= sex[0]) & (bank.female <= sex[1]))
    return Persona(int(rows[3]), int(rows[-3]), 0.4)


def test_noise_never_changes():
    """A seed means the same person for good."""
    assert np.round(styles.noise(7)[[0, 255, 256, 511]], 4).tolist() == pytest.approx(list(NOISE_OF_7), abs=1e-3)


def test_noise_is_standard_normal():
    """The noise of many seeds has mean 0 and variance 1, as the generator was trained."""
    many = np.stack([styles.noise(seed) for seed in range(100)])

    assert abs(many.mean()) < 0.02
    assert abs(many.std() - 1) < 0.02


def test_a_mixed_person_is_no_average_face():
    """A mixture is as far from the mean face as those it is made of."""
    a, b = styles.noise(1), 2 * styles.noise(2)

    assert np.linalg.norm(styles.mixed(a, b, 0.4)) == pytest.approx(0.6 * np.linalg.norm(a) + 0.4 * np.linalg.norm(b), rel=1e-4)


def test_controls_reach_what_is_asked():
    """By the controls' own measure a frontal head has no yaw, and the fine levels keep the person's colours."""
    bank = styles.load()
    offset = 0.4 * styles.noise(3)
    levels = styles.frontal(bank, offset)

    assert styles._measure(bank, levels[0], styles.YAW) == pytest.approx(0, abs=1e-3)
    assert np.array_equal(levels[4:], np.repeat(offset[None], 4, axis=0))


def test_the_bank_is_balanced():
    """As many women as men, grown-ups of every age, light and dark, nobody twice."""
    bank = styles.load()

    assert len(set(bank.seed.tolist())) == bank.size >= 150
    assert 0.4 <= np.mean(bank.female >= 0.5) <= 0.6
    assert bank.age.min() >= 18
    assert min(np.sum(bank.age < 30), np.sum(bank.age > 50)) >= 20
    assert min(np.sum(bank.skin[:, 0] < 50), np.sum(bank.skin[:, 0] > 70)) >= 20


def test_nobody_rejected_by_eye_is_in_the_bank():
    """Glasses, fringes, hats, children and spoilt faces that somebody saw stay out."""
    assert not set(styles.load().seed.tolist()) & (set(DROPPED) | set().union(*SEEN.values()))


def test_a_commercial_run_is_refused():
    """With licences = "commercial" the generator does not even load, and the engines that stay are named."""
    with pytest.raises(LicenceRefused, match="blur"):
        SyntheticPeople(ModelSettings(licences="commercial"), None, None, None)


@pytest.fixture(scope="module")
def crowd() -> SyntheticPeople:
    return make_people()


@pytest.fixture(scope="module")
def woman(crowd):
    return crowd.portrait(somebody(crowd.bank, WOMAN))


def make_people() -> SyntheticPeople:
    from faceanon.models.attributes import FaceReader
    from faceanon.models.embedders import DlibEmbedder
    from faceanon.models.mesh import TfliteMesh

    settings = ModelSettings()
    return SyntheticPeople(settings, TfliteMesh(settings), DlibEmbedder(settings), FaceReader(settings))


@pytest.mark.models
def test_variants_open_the_mouth(woman):
    """Variant 0 is closed and each next one clearly more open."""
    assert woman.openness[0] < 0.04
    assert np.all(np.diff(woman.openness) > 0.02)
    assert woman.openness[-1] > 0.18


@pytest.mark.models
def test_variants_are_one_person(crowd, woman):
    """Speaking never makes another person: the mouth ajar hardly changes the embedding, and wide open it stays one person's."""
    embedder = crowd._embedder
    faces = [embedder.embed(image, points_of(mesh), box_of(mesh)) for image, mesh in zip(woman.images, woman.meshes, strict=True)]

    assert np.linalg.norm(faces[1] - woman.embedding) < 0.45
    assert max(np.linalg.norm(face - woman.embedding) for face in faces) < embedder.same_person_distance


@pytest.mark.models
def test_head_and_light_stay(woman):
    """Between the variants the eyes stay where they are and the skin between the brows keeps its colour."""
    eyes = woman.meshes[:, [33, 133, 362, 263], :2]
    x, y = woman.meshes[0, 9, :2].astype(int)
    skin = np.stack([image[y - 12 : y + 12, x - 12 : x + 12].mean((0, 1)) for image in woman.images])

    assert np.abs(eyes - eyes[0]).max() < 12
    assert np.abs(skin - skin[0]).max() < 12


@pytest.mark.models
def test_meshes_lie_on_frontal_faces(woman):
    """Every mesh is a face that looks into the camera, in the middle of its picture."""
    assert woman.meshes.shape == (4, 468, 3)
    for image, mesh in zip(woman.images, woman.meshes, strict=True):
        assert image.shape == (512, 512, 3)
        assert image.dtype == np.uint8
        assert abs(mesh[33, 0] + mesh[263, 0] - 512) < 60
        assert abs(mesh[234, 2] - mesh[454, 2]) < 0.3 * np.linalg.norm(mesh[33, :2] - mesh[263, :2])


@pytest.mark.models
def test_the_portrait_looks_as_cast(woman):
    """A mixture of two women reads as a woman, and grown-up."""
    assert woman.female > 0.5
    assert woman.age > 15


@pytest.mark.models
def test_same_persona_same_bytes(crowd):
    """Painted again from nothing, a persona has the very same pixels; how many attempts it took does not matter."""
    persona = somebody(crowd.bank, MAN)
    image, mesh = crowd._first(persona.base, persona.partner, persona.mix)
    again, mesh_again = make_people()._first(persona.base, persona.partner, persona.mix)

    assert np.array_equal(image, again)
    assert np.array_equal(mesh, mesh_again)
    assert crowd.embedding(persona) is crowd.embedding(Persona(persona.base, persona.partner, persona.mix, attempt=5))


@pytest.mark.models
def test_other_people_look_different(crowd, woman):
    """A woman and a man of the bank are two people to the embedder."""
    assert np.linalg.norm(crowd.embedding(somebody(crowd.bank, MAN)) - woman.embedding) > 0.6


def test_the_bank_knows_what_its_people_look_like(crowd):
    """A stored embedding is that of the drawn person, and a mixture lies about where its two people say."""
    row, other = 5, 250
    drawn = crowd.embedding(Persona(row, row, 0.0))
    mixed = crowd.embedding(Persona(row, other, 0.4))
    guess = predicted([Persona(row, other, 0.4)], crowd.bank)[0]
    people = crowd.bank.embedding.astype(np.float32)

    assert np.linalg.norm(people[row] - drawn) < 0.1
    assert np.abs(np.linalg.norm(people - mixed, axis=1) - np.linalg.norm(people - guess, axis=1)).mean() < 0.08
