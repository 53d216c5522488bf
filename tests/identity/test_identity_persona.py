"""Casting, with a made-up bank and an embedder that sees base, partner and mix as a point on a map."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceanon.core.records import Persona
from faceanon.identity.fitting import PersonaNeed
from faceanon.identity.persona import ATTEMPTS, FAR_FROM_ORIGINAL, FAR_FROM_OTHERS, LIKE_ANOTHER, STEADY, TOO_NEAR, choose_personas

NAN = float("nan")


@dataclass(frozen=True)
class MadeUpBank:
    female: np.ndarray
    age: np.ndarray
    skin: np.ndarray
    embedding: np.ndarray


POINTS = np.random.default_rng(3).normal(0, 0.1, (200, 128))


@pytest.fixture(scope="module")
def bank() -> MadeUpBank:
    noise = np.random.default_rng(7)
    skin = noise.uniform((35, 5, 8), (85, 20, 25), (200, 3))
    return MadeUpBank(np.tile([0.05, 0.95], 100).astype(np.float32), noise.uniform(18, 80, 200).astype(np.float32), skin.astype(np.float32), POINTS)


def keyed(key: str):
    return lambda label, n: int.from_bytes(hashlib.sha256(f"{key}/{label}/{n}".encode()).digest()[:8], "big")


def looks(persona: Persona) -> np.ndarray:
    return ((1 - persona.mix) * POINTS[persona.base] + persona.mix * POINTS[persona.partner]).astype(np.float32)


def need(label: str, embedding: np.ndarray | None = None, female: float = 0.9, age: float = 40.0, skin=(60.0, 12.0, 15.0)) -> PersonaNeed:
    return PersonaNeed(label, f"cluster of {label}", embedding, female, age, skin)


def crowd(count: int) -> list[PersonaNeed]:
    noise = np.random.default_rng(11)
    faces, skin = noise.normal(0, 0.1, (count, 128)), noise.uniform((30, 5, 5), (90, 20, 25), (count, 3))
    female, age = noise.uniform(0, 1, count), noise.uniform(5, 90, count)
    return [need(f"{i:04d}", faces[i].astype(np.float32), float(female[i]), float(age[i]), tuple(skin[i])) for i in range(count)]


def alike(bank: MadeUpBank, skin: np.ndarray) -> MadeUpBank:
    """The bank as women of 40 with these skins."""
    return MadeUpBank(np.full(200, 0.95, np.float32), np.full(200, 40.0, np.float32), skin.astype(np.float32), bank.embedding)


def test_where_few_look_alike_the_draw_is_among_few(bank):
    """Among a third as many as where the skin is common."""
    light = alike(bank, np.tile((60.0, 12.0, 15.0), (200, 1)))
    dark = alike(bank, np.stack([30.0 + np.arange(200), np.full(200, 12.0), np.full(200, 15.0)], axis=1))

    def bases(some: MadeUpBank, tone: float) -> set[int]:
        return {choose_personas([need(f"{i}", skin=(tone, 12.0, 15.0))], some, looks, keyed("k"))[f"{i}"].base for i in range(40)}


    assert max(bases(dark, 25.0)) < 16
    assert max(bases(light, 60.0)) >= 32


def test_nothing_known_still_gets_a_face(bank):
    """Somebody without embedding, age, sex and skin gets a persona all the same."""
    chosen = choose_personas([need("a", None, NAN, NAN, (NAN, NAN, NAN))], bank, looks, keyed("k"))

    assert chosen["a"].attempt == 0
    assert chosen["a"].base != chosen["a"].partner
    assert 0.25 <= chosen["a"].mix <= 0.5


@given(st.permutations(range(12)))
@settings(max_examples=20, deadline=None)
def test_order_of_needs_does_not_matter(order):
    """The same people get the same faces in whatever order they are named."""
    noise = np.random.default_rng(1)
    small = MadeUpBank(noise.uniform(0, 1, 60), noise.uniform(18, 70, 60), noise.uniform(20, 80, (60, 3)), POINTS[:60])
    people = crowd(12)
    group = [frozenset(n.label for n in people)]

    assert choose_personas(people, small, looks, keyed("k"), together=group) == choose_personas([people[i] for i in order], small, looks, keyed("k"), together=group)


def test_a_near_face_is_refused(bank):
    """A candidate too much like the original is passed over."""
    plain = choose_personas([need("a")], bank, looks, keyed("k"))["a"]
    chosen = choose_personas([need("a", looks(plain))], bank, looks, keyed("k"))["a"]

    assert np.linalg.norm(looks(chosen) - looks(plain)) >= FAR_FROM_ORIGINAL


def test_a_face_that_must_be_near_is_not_drawn(bank):
    """Of an original who looks like many people of the bank, only candidates that promise to be far are drawn: nearly always the first is taken."""
    drawn = []
    for person in range(20):
        original = (0.6 * POINTS[person] + 0.8 * POINTS[person + 2]).astype(np.float32)
        choose_personas([need(f"{person}", original)], bank, lambda p: (drawn.append(p), looks(p))[1], keyed("k"))

    assert len(drawn) <= 24


def test_a_wrong_guess_is_refused_and_counted(bank):
    """Where drawn candidates turn out to be the original after all, the next ones are drawn, and the persona says how many were refused."""
    refused = []

    def embedding_of(persona: Persona) -> np.ndarray:
        if len(refused) < 3:
            refused.append(persona)
        return np.zeros(128, np.float32) if persona in refused else looks(persona)

    chosen = choose_personas([need("a", np.zeros(128, np.float32))], bank, embedding_of, keyed("k"))["a"]

    assert 3 <= chosen.attempt < ATTEMPTS
    assert chosen not in refused


def test_the_last_resort_is_said(bank):
    """Where every candidate is near the original, the farthest one comes with TOO_NEAR."""
    chosen = choose_personas([need("a", np.zeros(128, np.float32))], bank, lambda p: np.full(128, 0.0001 * p.base, np.float32), keyed("k"))["a"]

    assert chosen.attempt == TOO_NEAR


def test_neighbours_give_way_before_privacy(bank):
    """Where all look alike but nobody like the originals, people seen together share looks and say LIKE_ANOTHER."""
    far = np.full(128, 1.0, np.float32)
    chosen = choose_personas([need("a", far), need("b", far)], bank, lambda p: np.zeros(128, np.float32), keyed("k"), together=[frozenset("ab")])

    assert chosen["a"].attempt == 0
    assert chosen["b"].attempt == LIKE_ANOTHER


def test_people_seen_together_look_apart(bank):
    """Neighbours of one video never get faces that could be one person's."""
    people = [need(f"{i:02d}") for i in range(10)]
    chosen = choose_personas(people, bank, looks, keyed("k"), together=[frozenset(n.label for n in people)])
    faces = [looks(persona) for persona in chosen.values()]

    assert min(np.linalg.norm(a - b) for i, a in enumerate(faces) for b in faces[:i]) >= FAR_FROM_OTHERS


def test_no_pair_is_used_twice_in_a_scope(bank):
    """Five hundred alike people get five hundred different personas."""
    people = [need(f"{i:03d}") for i in range(500)]
    chosen = choose_personas(people, bank, looks, keyed("k"))

    assert len({frozenset((p.base, p.partner)) for p in chosen.values()}) == 500


def test_published_people_never_change(bank):
    """Who is taken keeps the persona, and who comes later is kept apart from it."""
    taken = {"a": Persona(1, 3, 0.33)}
    chosen = choose_personas([need("a"), need("b")], bank, looks, keyed("k"), taken=taken, together=[frozenset("ab")])

    assert chosen["a"] == taken["a"]
    assert np.linalg.norm(looks(chosen["b"]) - looks(taken["a"])) >= FAR_FROM_OTHERS


def test_a_late_person_moves_almost_nobody(bank):
    """One more person changes the faces of those alone that collide with theirs."""
    people = crowd(30)
    before = choose_personas(people, bank, looks, keyed("k"))
    after = choose_personas([*people, replace(people[0], label="0000a")], bank, looks, keyed("k"))

    assert sum(before[label] != after[label] for label in before) <= 3


def test_another_key_gives_other_faces(bank):
    """Under another key nearly everybody becomes somebody else."""
    people = crowd(40)
    one, two = (choose_personas(people, bank, looks, keyed(key)) for key in ("k", "l"))

    assert sum(one[label] == two[label] for label in one) <= 1
    assert np.median([np.linalg.norm(looks(one[label]) - looks(two[label])) for label in one]) > 0.6


class Fitting:
    """Views on which the candidates spread as a list says, one after the other."""

    original = 0.2

    def __init__(self, *spreads: float) -> None:
        self.spreads = list(spreads)
        self.seen: list[Persona] = []

    def spread(self, persona: Persona) -> float:
        self.seen.append(persona)
        return self.spreads[len(self.seen) - 1]


def test_the_first_steady_one_is_taken(bank):
    """Candidates are tried on in the order in which they would have been taken; the first that is steady enough ends it."""
    fitting = Fitting(0.3, 0.25, STEADY * 0.2 - 0.001, 0.1)

    chosen = choose_personas([need("a")], bank, looks, keyed("k"), try_on=lambda who: fitting)["a"]

    assert len(fitting.seen) == 3
    assert chosen == fitting.seen[2]
    assert fitting.seen[0] == choose_personas([need("a")], bank, looks, keyed("k"))["a"]


def test_where_nobody_is_steady_the_steadiest_is_taken(bank):
    """A bounded number is tried; one that cannot be painted at all is never the steadiest."""
    fitting = Fitting(float("inf"), *np.linspace(0.3, 0.25, 6), 0.26)

    chosen = choose_personas([need("a")], bank, looks, keyed("k"), try_on=lambda who: fitting, tries=8)["a"]

    assert len(fitting.seen) == 8
    assert chosen == fitting.seen[6]


def test_steadiness_never_breaks_the_rules(bank):
    """Only candidates far from the original and from those beside are ever tried on."""
    first = choose_personas([need("a")], bank, looks, keyed("k"))["a"]
    someone, other = need("a", looks(first)), need("b")
    fittings = {"a": Fitting(*[0.5] * ATTEMPTS), "b": Fitting(*[0.5] * ATTEMPTS)}

    chosen = choose_personas([someone, other], bank, looks, keyed("k"), together=[frozenset("ab")], try_on=lambda who: fittings[who.label])

    assert fittings["a"].seen
    assert all(np.linalg.norm(looks(p) - someone.embedding) >= FAR_FROM_ORIGINAL for p in fittings["a"].seen)
    assert all(np.linalg.norm(looks(p) - looks(chosen["a"])) >= FAR_FROM_OTHERS for p in fittings["b"].seen)
