"""Identity codes: keyed, far from the original, unlike those beside, the same for as long as anybody remembers them."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from faceanon.core.records import Identity, RegionTable, VideoRegions
from faceanon.identity import codes, gallery, sealed
from faceanon.identity.codes import FAR_FROM_ORIGINAL
from faceanon.identity.fitting import PersonaNeed
from faceanon.identity.people import Cluster

DIMENSIONS = 128


def draw(label: str, n: int, key: str = "k") -> int:
    return int.from_bytes(hashlib.sha256(f"{key}/{label}/{n}".encode()).digest()[:8], "big")


def other_draw(label: str, n: int) -> int:
    return draw(label, n, "another")


@pytest.fixture(scope="module")
def bank():
    """200 people as a 128-d embedder sees them: about .8 apart, half of them women, whose mean lies elsewhere."""
    rng = np.random.default_rng(1)
    female = np.repeat([0.05, 0.95], 100).astype(np.float32)
    embedding = rng.normal(0, 0.05, (200, DIMENSIONS)) + 0.12
    embedding[100:, :40] += 0.06
    skin = rng.normal((60, 12, 15), 3, (200, 3)).astype(np.float32)
    return SimpleNamespace(female=female, age=np.full(200, 40, np.float32), skin=skin, embedding=embedding.astype(np.float16))


def needs(bank, rows=range(0, 200, 8)):
    """Real people, who differ from those of the bank by as much as these from each other, and a little in the mean."""
    rng = np.random.default_rng(2)
    seen = {i: (bank.embedding[i].astype(float) + rng.normal(0.01, 0.02, DIMENSIONS)).astype(np.float32) for i in rows}
    return [PersonaNeed(f"p{i:03d}", f"c{i}", embedding, bank.female[i], 40.0, (60, 12, 15)) for i, embedding in seen.items()]


def distances(made, asked):
    return np.array([np.linalg.norm(np.array(made[need.label]) - need.embedding) for need in asked])


@pytest.mark.parametrize("make", [codes.draw_codes, lambda *a, **k: codes.turn_codes(*a, 120.0, **k)], ids=["drawn", "turned"])
def test_a_code_is_far_from_the_original_and_of_its_kind(bank, make):
    """Every code keeps the distance, is about as long as an embedding, and nearly all lie nearer to people of the same apparent sex."""
    asked = needs(bank)

    made = make(asked, bank, draw, taken={})

    assert distances(made, asked).min() >= FAR_FROM_ORIGINAL
    vectors = np.array([made[need.label] for need in asked])
    assert np.abs(np.linalg.norm(vectors, axis=1) / np.linalg.norm(bank.embedding.astype(float), axis=1).mean() - 1).max() < 0.4
    men, women = bank.embedding[:100].astype(float).mean(0), bank.embedding[100:].astype(float).mean(0)
    nearer = np.linalg.norm(vectors - women, axis=1) < np.linalg.norm(vectors - men, axis=1)
    assert np.mean(nearer == [need.female > 0.5 for need in asked]) >= 0.9


@pytest.mark.parametrize("make", [codes.draw_codes, lambda *a, **k: codes.turn_codes(*a, 120.0, **k)], ids=["drawn", "turned"])
def test_a_code_follows_from_the_key_alone(bank, make):
    """The same key gives the same code in any order of people, another key somebody else; a code that is taken stays."""
    asked = needs(bank, range(0, 200, 20))

    made, again, other = make(asked, bank, draw, taken={}), make(asked[::-1], bank, draw, taken={}), make(asked, bank, other_draw, taken={})
    kept = make(asked, bank, other_draw, taken={asked[0].label: made[asked[0].label]})

    assert made == again
    assert min(np.linalg.norm(np.array(made[label]) - np.array(other[label])) for label in made) > 0.35
    assert kept[asked[0].label] == made[asked[0].label]


def test_a_drawn_code_holds_nothing_of_the_original(bank):
    """Where no draw is refused, another original gets the same code; where one is, the next draw."""
    (need,) = needs(bank, [8])
    stranger = replace(need, embedding=need.embedding + 9)
    (free,) = codes.draw_codes([stranger], bank, draw, taken={}).values()
    near = replace(need, embedding=np.array(free, np.float32))

    assert codes.draw_codes([replace(need, embedding=None)], bank, draw, taken={})[need.label] == free
    assert codes.draw_codes([near], bank, draw, taken={})[need.label] != free


def test_people_seen_together_get_codes_apart(bank):
    """Six alike people of one video: the least distance of their codes is what the rule asks, where without the rule it is less."""
    asked = [replace(need, embedding=need.embedding + 1) for need in needs(bank, range(6))]  # far from any code
    tight = SimpleNamespace(**{**vars(bank), "embedding": (bank.embedding.astype(float) * 0.62 + 0.05).astype(np.float16)})  # so alike that draws meet

    def least(made):
        vectors = np.array([made[need.label] for need in asked])
        return np.linalg.norm(vectors[:, None] - vectors[None], axis=2)[np.triu_indices(6, 1)].min()

    alone = least(codes.draw_codes(asked, tight, draw, taken={}))
    together = least(codes.draw_codes(asked, tight, draw, taken={}, together=[frozenset(n.label for n in asked)]))

    assert alone < together


def test_without_the_key_a_turn_cannot_be_undone(bank):
    """Turning back in a plane drawn with another key ends far from the original; at 180 degrees no key would be needed, so that is refused."""
    asked = needs(bank, [8])
    made = codes.turn_codes(asked, bank, draw, 120.0, taken={})
    guess = [PersonaNeed(asked[0].label, "", np.array(made[asked[0].label], np.float32), asked[0].female, 40.0, asked[0].skin)]

    turned_back = codes.turn_codes(guess, bank, other_draw, 120.0, taken={})

    assert distances(turned_back, asked)[0] > 0.6
    with pytest.raises(ValueError, match="needs no key"):
        codes.turn_codes(asked, bank, draw, 180.0, taken={})


def test_codes_are_sealed_and_remembered():
    """A region file and the gallery give a code back to the bit, and neither shows it in words for a log."""
    code = tuple(float(v) for v in np.linspace(-0.2, 0.2, DIMENSIONS, dtype=np.float32))
    regions = VideoRegions("v", (Identity(0, "person-a", "c", None, (), code), Identity(1, "person-b", "d", None, ())), (), RegionTable.empty())
    cluster = Cluster("c", (("v", 0),), np.zeros(4, np.float32), 1.0, 0.0, 0.5, 30.0, (50, 10, 10), frozenset({"c"}))

    known = gallery.remember(cluster, "person-a", None, {"deepprivacy": code})
    (back,) = gallery._unpack(gallery._pack([known]))
    later = gallery.remember(Cluster(**{**vars(cluster), "known": back}), "person-a", None, {"deepprivacy": code[::-1], "cleanir 120": code[::-1]})

    assert sealed.unpack_regions(sealed.pack_regions(regions)).identities == regions.identities
    assert back.codes == {"deepprivacy": code}
    assert later.codes == {"deepprivacy": code, "cleanir 120": code[::-1]}
    assert "0.2" not in repr(regions.identities) + repr(known)
