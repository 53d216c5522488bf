"""Which synthetic person everybody becomes.

`choose_personas` walks the people in order of label, so the order in which they are given does not matter. For each it makes keyed
draws among the people of the bank who look about as old, as dark and as female, and takes the first mixture that is nobody's:
far from the original, unlike everyone it may be seen beside, and not used in the scope before; or, of a few of these, the one that stays most itself on
views of the person's own face, where some can be tried on. Published people (`taken`) keep
theirs. All chance comes from `draw`; the embeddings decide only which draws are refused. A mixture has to be drawn to know its embedding, which
is slow; what its two people look like tells beforehand which mixtures are worth it.

Persona.attempt tells how it went: below ATTEMPTS every rule holds. LIKE_ANOTHER: nothing fitting was left, this one is far from its
original but resembles somebody it is seen beside. TOO_NEAR: every candidate was near the original, this is the farthest of
them; whoever paints must take a stronger engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from faceanon.core.records import Persona
from faceanon.identity.fitting import BankFacts, Embedding, PersonaNeed, fitting

PROPOSED = 128  # keyed draws, of which the most promising are looked at
ATTEMPTS = 16  # candidates looked at before the rules give way
LIKE_ANOTHER = ATTEMPTS
TOO_NEAR = ATTEMPTS + 1
FAR_FROM_ORIGINAL = 0.80  # painting moves it by -0.11 to +0.08, and below 0.6 the embedder says "the same person"
FAR_FROM_OTHERS = 0.55
STRETCH = 1.2  # of what lies between two people, from the mean of all
MARGIN = 0.04  # by which a promising distance is better than asked: what the prediction errs by. More, and every key finds the same few farthest people
POOL = 16, 96  # least and most people of the bank among whom the first draw is made: those who are ALIKE; one more at every fourth
ALIKE = 8.0  # see fitting. Fewer, and two keys give more similar faces: 6 and 48 at most brought two keys' people from .58 to .54 apart
STEADY = 0.9  # spread over the original's, from which down no further one is tried
MIX_PERCENT = (25, 50)  # share of the partner


class TryOn(Protocol):
    """Views of a person, on which candidates are painted."""

    original: float  # spread of the person's own embeddings over the views

    def spread(self, persona: Persona) -> float:
        """Of the candidate's."""
        ...


Seen = list[tuple[float, float, Persona]]  # refused candidates: distance to the original, to the nearest other, who


def choose_personas(
    needs: Sequence[PersonaNeed],
    bank: BankFacts,
    embedding_of: Callable[[Persona], Embedding],
    draw: Callable[[str, int], int],
    *,
    taken: Mapping[str, Persona] | None = None,
    together: Sequence[frozenset[str]] = (),
    try_on: Callable[[PersonaNeed], TryOn | None] = lambda need: None,
    tries: int = ATTEMPTS,
) -> dict[str, Persona]:
    """A persona for the label of every need; those in `taken` come back unchanged.

    draw(label, n): the n-th number of a label's keyed stream, large and not negative. together: groups of labels that may be compared.
    try_on: None for somebody of whom there are no views. tries: candidates that keep the rules and are tried on at most.
    """
    chosen = dict(taken or {})
    beside = _beside(together)
    bases, pairs = {persona.base for persona in chosen.values()}, {_pair(persona.base, persona.partner) for persona in chosen.values()}
    for need in sorted(needs, key=lambda n: n.label):
        if need.label in chosen:
            continue
        others = [embedding_of(chosen[label]) for label in sorted(beside.get(need.label, ())) if label in chosen]
        persona = chosen[need.label] = _choose(need, list(_candidates(need, bank, draw, bases, pairs)), bank, embedding_of, others, try_on(need), tries)
        bases.add(persona.base)
        pairs.add(_pair(persona.base, persona.partner))
    return {need.label: chosen[need.label] for need in needs}


def _candidates(
    need: PersonaNeed, bank: BankFacts, draw: Callable[[str, int], int], bases: Set[int], pairs: Set[tuple[int, int]]
) -> Iterator[Persona]:
    """PROPOSED different personas. No two people of a scope share a base while the pool has a free one, and never base and partner."""
    rows, unlike = fitting(need, bank)
    order = [int(row) for row in rows]
    pool = int(np.clip((unlike <= ALIKE).sum(), *POOL))
    tried: set[tuple[int, int]] = set()
    for number in range(PROPOSED):
        size = pool + number // 4
        base = _from(draw(need.label, 3 * number), order[:size], bases)
        spent = {row for row in order if row == base or _pair(base, row) in pairs or _pair(base, row) in tried}
        partner = _from(draw(need.label, 3 * number + 1), order[: size + 1], spent, order[size + 1 :])
        low, high = MIX_PERCENT
        tried.add(_pair(base, partner))
        yield Persona(base, partner, (low + draw(need.label, 3 * number + 2) % (high - low + 1)) / 100, 0)


def _from(number: int, pool: Sequence[int], avoided: Set[int], further: Sequence[int] = ()) -> int:
    """The row that a drawn number points at, or the next one not avoided: what others use moves nobody who does not collide with it."""
    start = number % len(pool)
    turned = [*pool[start:], *pool[:start], *further]
    return next((row for row in turned if row not in avoided), turned[0])


def _choose(
    need: PersonaNeed,
    proposed: Sequence[Persona],
    bank: BankFacts,
    embedding_of: Callable[[Persona], Embedding],
    others: Sequence[Embedding],
    views: TryOn | None,
    tries: int,
) -> Persona:
    seen: Seen = []
    tried: list[tuple[float, Persona]] = []
    for attempt, number in enumerate(_most_promising(need, predicted(proposed, bank), others)[:ATTEMPTS]):
        candidate = replace(proposed[number], attempt=attempt)
        own, nearest = _distances(embedding_of(candidate)[None], need, others)
        if own[0] >= FAR_FROM_ORIGINAL and nearest[0] >= FAR_FROM_OTHERS:
            if views is None:
                return candidate
            tried.append((views.spread(candidate), candidate))
            if tried[-1][0] <= STEADY * views.original or len(tried) == tries:
                break
            continue
        seen.append((float(own[0]), float(nearest[0]), candidate))
    return min(tried, key=lambda one: one[0])[1] if tried else _least_bad(seen)  # the first, where none could be painted on the views


def predicted(personas: Sequence[Persona], bank: BankFacts) -> NDArray[np.float32]:
    """(N, D) where mixtures about lie: between their people, as far from the mean as they are.

    Of 80 mixtures that were drawn, distances to the bank's people were .014 longer than predicted, with a standard deviation of .04.
    """
    base, partner, mix = (np.array(column) for column in zip(*((p.base, p.partner, p.mix) for p in personas), strict=True))
    people = np.asarray(bank.embedding, np.float32)
    mean = people.mean(0)
    between = people[base] * (1 - mix[:, None]) + people[partner] * mix[:, None]
    return (mean + STRETCH * (between - mean)).astype(np.float32)


def _most_promising(need: PersonaNeed, guesses: NDArray[np.float32], others: Sequence[Embedding]) -> list[int]:
    """Numbers of the guesses: those that seem to keep every rule as they were proposed, then the others by what they lack."""
    own, nearest = _distances(guesses, need, others)
    lack = np.maximum(np.maximum(FAR_FROM_ORIGINAL - own, FAR_FROM_OTHERS - nearest) + MARGIN, 0.0)
    return [int(number) for number in np.argsort(lack, kind="stable")]


def _distances(looks: NDArray[np.float32], need: PersonaNeed, others: Sequence[Embedding]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N,) of looks (N, D) to the original, and (N,) to the nearest of the others; infinite where there is none."""
    nobody = np.full(len(looks), np.inf)
    own = nobody if need.embedding is None else np.linalg.norm(looks - need.embedding, axis=1)
    nearest = np.min([np.linalg.norm(looks - other, axis=1) for other in others], axis=0) if others else nobody
    return own, nearest


def _least_bad(seen: Seen) -> Persona:
    """Privacy before variety: far from the original if any is, and among those the least like the others."""
    far = [entry for entry in seen if entry[0] >= FAR_FROM_ORIGINAL]
    if far:
        return replace(max(far, key=lambda entry: (entry[1], -entry[2].attempt))[2], attempt=LIKE_ANOTHER)
    return replace(max(seen, key=lambda entry: (entry[0], -entry[2].attempt))[2], attempt=TOO_NEAR)


def _beside(together: Sequence[frozenset[str]]) -> dict[str, set[str]]:
    beside: dict[str, set[str]] = {}
    for group in together:
        for label in group:
            beside.setdefault(label, set()).update(group - {label})
    return beside


def _pair(base: int, partner: int) -> tuple[int, int]:
    return min(base, partner), max(base, partner)
