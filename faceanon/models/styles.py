"""The bank of synthetic people, as numbers: seeds, what they look like, and how a style is turned, mixed and given an expression.

A person is a seed. The seed gives noise, the generator maps noise to a style, and here a style is an offset from the mean style, pulled in
to 0.7 of its length. Controls (linear in the offset, fitted by ridge regression on what the mesh measures; see
faceanon.models.bank) turn every head to the camera and set the mouth; a fifth, for the lids, screws the face up and is
not used. They act only on the coarse levels that draw shape, so light, colour and identity stay. Nothing here depends on
a library's random numbers but PCG64's raw stream, which numpy keeps fixed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from faceanon.models.stylegan import LEVELS, STYLE

TRUNCATION = 0.7
POSE = slice(0, 3)  # levels that turn the head
MOUTH = slice(1, 4)  # levels that move the lips
YAW, PITCH, OPENNESS, SMILE = range(4)  # rows of the controls

Offset = NDArray[np.float32]  # (STYLE,) style less the mean style, truncated


@dataclass(frozen=True)
class Bank:
    """People to choose from, a row each, and the controls that all share."""

    seed: NDArray[np.int64]  # (B,)
    female: NDArray[np.float32]  # (B,) 0..1 apparent
    age: NDArray[np.float32]  # (B,) apparent years
    skin: NDArray[np.float32]  # (B, 3) CIE L*, a*, b* of the cheeks
    embedding: NDArray[np.float16]  # (B, D) as the default embedder sees them, looking into the camera
    mean: NDArray[np.float32]  # (STYLE,) mean style
    controls: NDArray[np.float32]  # (5, STYLE) measure = controls @ offset + rest
    rest: NDArray[np.float32]  # (5,) the measures of the mean person

    @property
    def size(self) -> int:
        return len(self.seed)


@cache
def load() -> Bank:
    """The bank that comes with the package."""
    with files("faceanon.models").joinpath("people_bank.npz").open("rb") as file, np.load(file) as data:
        return Bank(**{name: data[name] for name in data.files})


def noise(seed: int) -> NDArray[np.float32]:
    """(STYLE,) standard normal numbers of a seed, by Box and Muller's transform."""
    uniform = ((np.random.PCG64(seed).random_raw(STYLE) >> np.uint64(11)) + 0.5) * 2.0**-53  # (STYLE,) float64 in (0, 1)
    radius, angle = np.sqrt(-2 * np.log(uniform[: STYLE // 2])), 2 * np.pi * uniform[STYLE // 2 :]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)]).astype(np.float32)


def mixed(base: Offset, partner: Offset, mix: float) -> Offset:
    """Between two people, but as far from the average face as they are, where a plain mean would look like everybody.

    1.25 times as far, two of one sex, age and skin are .70 apart for dlib instead of .60, but 2 of 8 grow a hat or glasses.
    """
    between = (1 - mix) * base + mix * partner
    length = (1 - mix) * np.linalg.norm(base) + mix * np.linalg.norm(partner)
    return (between * (length / max(float(np.linalg.norm(between)), 1e-6))).astype(np.float32)


def frontal(bank: Bank, offset: Offset) -> NDArray[np.float32]:
    """Offsets (LEVELS, STYLE) of the person looking into the camera."""
    levels = np.repeat(offset[None], LEVELS, axis=0)
    levels[POSE] += _change(bank, offset, {YAW: 0.0, PITCH: float(bank.rest[PITCH])})
    return levels


def speaking(bank: Bank, levels: NDArray[np.float32], openness: float, smile: float) -> NDArray[np.float32]:
    """Styles (LEVELS, STYLE) for the generator: a frontal person with the mouth set, the head kept still."""
    turned = levels[0]
    kept = {YAW: _measure(bank, turned, YAW), PITCH: _measure(bank, turned, PITCH)}
    styles = levels + bank.mean
    styles[MOUTH] += _change(bank, turned, {**kept, OPENNESS: openness, SMILE: smile})
    return styles.astype(np.float32)


def _measure(bank: Bank, offset: Offset, control: int) -> float:
    return float(bank.controls[control] @ offset + bank.rest[control])


def _change(bank: Bank, offset: Offset, wanted: dict[int, float]) -> Offset:
    """The shortest step that brings the measures to what is wanted."""
    rows = bank.controls[list(wanted)]
    missing = np.array([value - _measure(bank, offset, control) for control, value in wanted.items()])
    return (rows.T @ np.linalg.solve(rows @ rows.T, missing)).astype(np.float32)
