"""Which identity code everybody's new face is painted from, for engines that paint from numbers rather than from a portrait.

A code is a point (D,) in the space of the embedder: "paint a face that looks like this number". All codes lie around the mean of ALIKE synthetic people
of the bank who look about as old, as dark and as female, as far from it as STRETCH times those people, in directions in which they differ. Two ways:

* `draw_codes` (deepprivacy): the key draws the direction; the first draw counts that lies far from the original and is unlike the people seen beside.
  Nothing of the original enters; its embedding only decides which draws are refused.
* `turn_codes` (cleanir): the person's own mean embedding, seen from that middle, is turned by an angle in a plane that the key draws. (Turned around the mean
  of everybody, a man would become a woman beyond 90 degrees.) Whoever holds key and code can turn it back: it is a pseudonym, as the label is.
  At 180 degrees no plane is left to be kept secret, and anybody could: refused.

Codes are biometric-like: they live in sealed work files and in the sealed gallery, never in the ledger or in a log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from faceanon.core.records import Code
from faceanon.core.settings import RenderSettings
from faceanon.identity.fitting import BankFacts, Embedding, PersonaNeed, fitting

ATTEMPTS = 32  # draws looked at before the rules give way
ALIKE = 48
# A net goes part of the way to a code, so codes lie farther apart than people do. Farther still, and faces are drawn with marks that no face has.
STRETCH = 1.65  # at 2.0 two codes on one photo are two people for dlib in a third of the cases instead of an eighth, and every other face has such marks
FAR_FROM_ORIGINAL = 1.00
FAR_FROM_OTHERS = 0.80  # faces whose codes are 1.3 apart are about .6 apart
_FIRST_DRAW = 1_000_000  # of a label's stream; what comes before belongs to personas

Draw = Callable[[str, int], int]


def kind_of(settings: RenderSettings) -> str:
    """What a person's code is remembered under: codes of one kind are never shown by the other engine."""
    return f"{settings.engine} {settings.angle_degrees:g}" if settings.engine == "cleanir" else settings.engine


def choose_codes(
    settings: RenderSettings, needs: Sequence[PersonaNeed], bank: BankFacts, draw: Draw, *, taken: Mapping[str, Code], together: Sequence[frozenset[str]] = ()
) -> dict[str, Code]:
    """The codes that the settings' engine paints from."""
    if settings.engine == "cleanir":
        return turn_codes(needs, bank, draw, settings.angle_degrees, taken=taken, together=together)
    return draw_codes(needs, bank, draw, taken=taken, together=together)


def draw_codes(needs: Sequence[PersonaNeed], bank: BankFacts, draw: Draw, *, taken: Mapping[str, Code], together: Sequence[frozenset[str]] = ()) -> dict[str, Code]:
    """A code for the label of every need, in order of label; those in `taken` come back unchanged.

    draw(label, n): the n-th number of a label's keyed stream, 0 to 2**64 - 1. together: groups of labels that may be compared.
    """
    return _chosen(needs, taken, together, lambda need: _drawn(need, bank, draw))


def turn_codes(
    needs: Sequence[PersonaNeed], bank: BankFacts, draw: Draw, angle_degrees: float, *, taken: Mapping[str, Code], together: Sequence[frozenset[str]] = ()
) -> dict[str, Code]:
    """Likewise. Somebody who was never seen well enough to have an embedding gets a drawn code."""
    if not 0 < angle_degrees < 180:
        raise ValueError(f"an angle that hides nobody, or that needs no key: got {angle_degrees = }")
    return _chosen(needs, taken, together, lambda need: _drawn(need, bank, draw) if need.embedding is None else _turned(need, bank, draw, angle_degrees))


def _chosen(
    needs: Sequence[PersonaNeed], taken: Mapping[str, Code], together: Sequence[frozenset[str]], candidates: Callable[[PersonaNeed], Iterator[Embedding]]
) -> dict[str, Code]:
    chosen = dict(taken)
    for need in sorted(needs, key=lambda n: n.label):
        if need.label not in chosen:
            beside = sorted({label for group in together if need.label in group for label in group if label in chosen})
            chosen[need.label] = _code(_choose(need, candidates(need), [np.array(chosen[label], np.float32) for label in beside]))
    return {need.label: chosen[need.label] for need in needs}


def _drawn(need: PersonaNeed, bank: BankFacts, draw: Draw) -> Iterator[Embedding]:
    middle, apart, length = _alike(replace(need, embedding=None), bank)
    for attempt in range(ATTEMPTS):
        yield middle + _as_long(_normals(need.label, draw, attempt, len(apart)) @ apart, length)


def _turned(need: PersonaNeed, bank: BankFacts, draw: Draw, angle_degrees: float) -> Iterator[Embedding]:
    middle, apart, length = _alike(need, bank)
    before = _as_long(np.asarray(need.embedding, np.float64) - middle, 1.0)
    angle = np.radians(angle_degrees)
    for attempt in range(ATTEMPTS, 2 * ATTEMPTS):  # other numbers than those of drawn codes
        across = _normals(need.label, draw, attempt, len(apart)) @ apart
        across = _as_long(across - before * (before @ across), 1.0)  # Gram and Schmidt
        yield middle + length * (np.cos(angle) * before + np.sin(angle) * across)


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


def _alike(need: PersonaNeed, bank: BankFacts) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """The mean (D,) of the people who look alike, each one's difference from it (ALIKE, D), and how far from it a code lies."""
    people = np.asarray(bank.embedding, np.float64)[fitting(need, bank)[0][:ALIKE]]
    middle = people.mean(0)
    apart = people - middle
    return middle, apart, STRETCH * float(np.linalg.norm(apart, axis=1).mean())


def _normals(label: str, draw: Draw, number: int, count: int) -> NDArray[np.float64]:
    """(count,) standard normal numbers, the `number`-th such row of a label's stream, by Box and Muller's transform."""
    start = _FIRST_DRAW + number * 2 * ALIKE
    uniform = (np.array([draw(label, start + k) >> 11 for k in range(2 * count)], np.float64) + 0.5) * 2.0**-53
    return np.sqrt(-2 * np.log(uniform[:count])) * np.cos(2 * np.pi * uniform[count:])


def _as_long(vector: NDArray[np.float64], length: float) -> NDArray[np.float64]:
    return vector * (length / max(float(np.linalg.norm(vector)), 1e-9))


def _code(vector: Embedding) -> Code:
    return tuple(float(value) for value in np.asarray(vector, np.float32))
