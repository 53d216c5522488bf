"""Which identity code everybody's new face is painted from, for engines that paint from numbers rather than from a portrait.

A code is a point (D,) in the space of the embedder: "paint a face that looks like this number". Two ways give one:

* `draw_codes` (deepprivacy): a keyed mixture of synthetic people of the bank who look about as old, as dark and as female, far from the
  original and unlike the people seen beside. Nothing of the original enters; its embedding only decides which draws are refused.
* `turn_codes` (cleanir): the person's own mean embedding, less the mean of all people, turned by an angle in a plane that the key draws. What tells
  sex, age and skin apart is left as it is, or a turn beyond 90 degrees would make a man of every woman. Whoever holds key and code can turn it back:
  it is a pseudonym, as the label is. At 180 degrees there is no plane left to keep secret, so anybody could turn it back: refused.

Codes are biometric-like: they live in sealed work files and in the sealed gallery, never in the ledger or in a log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from faceanon.core.records import Code
from faceanon.identity.persona import FAR_FROM_ORIGINAL, MIX_PERCENT, POOL, BankFacts, Embedding, PersonaNeed, fitting

ATTEMPTS = 24  # draws looked at before the rules give way
FAR_FROM_OTHERS = 0.60  # the embedder's own border between one person and two
_FIRST_DRAW = 1_000_000  # of a label's stream; what comes before belongs to personas
_RIDGE = 3.0  # of the regression that finds what tells sex, age and skin apart

Draw = Callable[[str, int], int]


class BankCodes(BankFacts, Protocol):
    """BankFacts and what the embedder sees."""

    embedding: NDArray[np.floating]  # (B, D)


def draw_codes(needs: Sequence[PersonaNeed], bank: BankCodes, draw: Draw, *, taken: Mapping[str, Code], together: Sequence[frozenset[str]] = ()) -> dict[str, Code]:
    """A code for the label of every need, in order of label; those in `taken` come back unchanged.

    draw(label, n): the n-th number of a label's keyed stream, 0 to 2**64 - 1. together: groups of labels that may be compared.
    """
    chosen = dict(taken)
    for need in sorted(needs, key=lambda n: n.label):
        if need.label not in chosen:
            beside = sorted({label for group in together if need.label in group for label in group if label in chosen})
            chosen[need.label] = _code(_choose(need, _mixtures(need, bank, draw), [np.array(chosen[label], np.float32) for label in beside]))
    return {need.label: chosen[need.label] for need in needs}


def turn_codes(needs: Sequence[PersonaNeed], bank: BankCodes, draw: Draw, angle_degrees: float, *, taken: Mapping[str, Code]) -> dict[str, Code]:
    """A code for the label of every need; those in `taken` come back unchanged. Somebody never seen well enough gets a drawn code."""
    if not 0 < angle_degrees < 180:
        raise ValueError(f"an angle that hides nobody, or that needs no key: got {angle_degrees = }")
    drawn = draw_codes([need for need in needs if need.embedding is None], bank, draw, taken=taken)
    axes = _looks(bank)
    return {need.label: taken.get(need.label) or drawn.get(need.label) or _code(_turned(need, bank, draw, angle_degrees, axes)) for need in needs}


def _mixtures(need: PersonaNeed, bank: BankCodes, draw: Draw) -> Iterator[Embedding]:
    """ATTEMPTS keyed mixtures of two, each as far from the mean of all people as the two are: a plain mean of two would look like everybody."""
    mean, own = _centred(bank)
    order = fitting(need, bank)
    for attempt in range(ATTEMPTS):
        numbers = [draw(need.label, _FIRST_DRAW + 3 * attempt + k) for k in range(3)]
        pool = order[: POOL + 2 * attempt]
        first = numbers[0] % len(pool)
        second = (first + 1 + numbers[1] % max(1, len(pool) - 1)) % len(pool)
        low, high = MIX_PERCENT
        share = (low + numbers[2] % (high - low + 1)) / 100
        a, b = own[pool[first]], own[pool[second]]
        yield mean + _as_long((1 - share) * a + share * b, (1 - share) * np.linalg.norm(a) + share * np.linalg.norm(b))


def _choose(need: PersonaNeed, candidates: Iterator[Embedding], others: Sequence[Embedding]) -> Embedding:
    """The first that keeps every rule. Else privacy before variety: of those far from the original the least like the others, or the farthest."""
    seen: list[tuple[bool, float, float, Embedding]] = []
    for candidate in candidates:
        apart = float("inf") if need.embedding is None else float(np.linalg.norm(candidate - need.embedding))
        nearest = min((float(np.linalg.norm(candidate - other)) for other in others), default=float("inf"))
        far = apart >= FAR_FROM_ORIGINAL
        if far and nearest >= FAR_FROM_OTHERS:
            return candidate
        seen.append((far, nearest if far else apart, -len(seen), candidate))
    return max(seen, key=lambda entry: entry[:3])[3]


def _turned(need: PersonaNeed, bank: BankCodes, draw: Draw, angle_degrees: float, axes: NDArray[np.float64]) -> Embedding:
    mean, own = _centred(bank)
    offset = np.asarray(need.embedding, np.float64) - mean
    kept = axes @ (axes.T @ offset)
    length = float(np.linalg.norm(offset - kept))
    before = _as_long(offset - kept, 1.0)
    # a direction among those in which people differ: the bank's own differences, each with a keyed normal weight
    across = _normals(need.label, draw, len(own)) @ own
    across -= axes @ (axes.T @ across)
    across = _as_long(across - before * (before @ across), 1.0)
    angle = np.radians(angle_degrees)
    return mean + kept + length * (np.cos(angle) * before + np.sin(angle) * across)


def _looks(bank: BankCodes) -> NDArray[np.float64]:
    """(D, 5) orthonormal: the directions in which apparent sex, age and skin change, by ridge regression over the bank."""
    _, own = _centred(bank)
    facts = np.column_stack([bank.female, bank.age, bank.skin]).astype(np.float64)
    facts = (facts - facts.mean(0)) / np.maximum(facts.std(0), 1e-6)
    slopes = np.linalg.solve(own.T @ own + _RIDGE * np.eye(own.shape[1]), own.T @ facts)
    return np.linalg.qr(slopes)[0]


def _centred(bank: BankCodes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean (D,) of all people, and each one's difference from it (B, D)."""
    embedding = np.asarray(bank.embedding, np.float64)
    mean = embedding.mean(0)
    return mean, embedding - mean


def _normals(label: str, draw: Draw, count: int) -> NDArray[np.float64]:
    """(count,) standard normal numbers of a label's stream, by Box and Muller's transform."""
    start = _FIRST_DRAW + 3 * ATTEMPTS
    uniform = (np.array([draw(label, start + k) >> 11 for k in range(2 * count)], np.float64) + 0.5) * 2.0**-53
    return np.sqrt(-2 * np.log(uniform[:count])) * np.cos(2 * np.pi * uniform[count:])


def _as_long(vector: NDArray[np.float64], length: float) -> NDArray[np.float64]:
    return vector * (length / max(float(np.linalg.norm(vector)), 1e-9))


def _code(vector: Embedding) -> Code:
    return tuple(float(value) for value in np.asarray(vector, np.float32))
