"""Who of the bank looks like somebody: as dark, as old, of the same sex.

What a frame shows of a skin is the lamp as much as the skin: a pale man in a dim room reads as dark as a dark man in the sun. The embedding hardly knows of lamps,
and a straight line through it tells the bank's people's traits (left out one by one: correlation .76 with L*, .88 with age, .99 with sex; on
photographs of 200 real people .93 with what the classifier reads of their sex). So both are asked. The bank's people sat under one lamp: of them, what was read
holds. Compared with what the embedding tells of them, too, a pale man's pool went down to L* 41 where he was at 57; so it ends at 50.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Embedding = NDArray[np.float32]  # (D,)

SURE_OF_SEX = 0.2  # how far from 0.5
UNLIKELY_SEX = 60.0  # what the other one counts, in units of L*, for each that an unsure one is away from 0.5
SEX, SKIN, AGE = 0.5, 0.7, 0.5  # share of what the embedding says in what is believed; the rest is what was read
TONE_SHARES = 1.0, 0.25, 0.25  # of L*, a*, b*: a light face painted dark does not become a dark one, brows, lips and beard stay light; hues come from the lamp
AGE_BAND_YEARS, A_YEAR = 8.0, 0.6  # years that do not count, and what each further one does
_RIDGE = 0.3


@dataclass(frozen=True)
class PersonaNeed:
    """Somebody who needs a new face. Numbers are NaN, and the embedding None, where nothing is known."""

    label: str
    cluster_id: str
    embedding: Embedding | None
    female: float  # 0..1 apparent
    age: float  # apparent years
    skin: tuple[float, float, float]  # CIE L*, a*, b*


class BankFacts(Protocol):
    """What is known of the people of the bank, a row each."""

    female: NDArray[np.float32]  # (B,) 0..1
    age: NDArray[np.float32]  # (B,) years
    skin: NDArray[np.float32]  # (B, 3) CIE L*, a*, b*
    embedding: NDArray[np.float32]  # (B, D)


def fitting(need: PersonaNeed, bank: BankFacts) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rows of the bank of the apparent sex, or of both where it is unsure; those who look most like the need first, and how unlike each is, in units of L*.

    What is not known of the need does not count.
    """
    its = _told(need, bank)
    female = _both(need.female, its[0], SEX)
    rows = np.arange(len(bank.female))
    other = (np.asarray(bank.female) >= 0.5) != (female >= 0.5)
    sureness = np.nan_to_num(abs(female - 0.5))
    if sureness >= SURE_OF_SEX:
        rows = rows[~other]
    unlike = _tone_apart(need, bank, its) + A_YEAR * np.maximum(_years_apart(need, bank, its) - AGE_BAND_YEARS, 0)
    unlike += other * UNLIKELY_SEX * sureness
    order = np.argsort(unlike[rows], kind="stable")
    return rows[order], unlike[rows][order]


def _told(need: PersonaNeed, bank: BankFacts) -> NDArray[np.float64]:
    """(5,): female, age and skin as the embedding tells them; NaN without one."""
    if need.embedding is None:
        return np.full(5, np.nan)
    looks = np.asarray(bank.embedding, np.float64)
    traits = np.column_stack([bank.female, bank.age, bank.skin]).astype(np.float64)
    middle, usual = looks.mean(0), traits.mean(0)
    apart = looks - middle
    line = np.linalg.solve(apart.T @ apart + _RIDGE * np.eye(apart.shape[1]), apart.T @ (traits - usual))
    its = (np.asarray(need.embedding, np.float64) - middle) @ line + usual
    its[0] = np.clip(its[0], 0, 1)
    return its


def _tone_apart(need: PersonaNeed, bank: BankFacts, its: NDArray[np.float64]) -> NDArray[np.float64]:
    """(B,) in units of L*."""
    read, guessed = np.isfinite(need.skin).all(), np.isfinite(its).all()
    share = SKIN if read and guessed else float(guessed)
    here = sum((k * np.asarray(v) for k, v in ((share, its[2:]), (1 - share, need.skin)) if k), np.zeros(3))
    return np.linalg.norm((np.asarray(bank.skin) - here) * TONE_SHARES, axis=1) if read or guessed else np.zeros(len(bank.skin))


def _years_apart(need: PersonaNeed, bank: BankFacts, its: NDArray[np.float64]) -> NDArray[np.float64]:
    age = _both(need.age, its[1], AGE)
    return np.abs(np.asarray(bank.age) - age) if np.isfinite(age) else np.zeros(len(bank.age))


def _both(read: float, guessed: float, share: float) -> float:
    """Of what was read and what the embedding tells; the one that is known where the other is not."""
    if not np.isfinite(guessed) or not np.isfinite(read):
        return float(read if np.isfinite(read) else guessed)
    return float((1 - share) * read + share * guessed)
