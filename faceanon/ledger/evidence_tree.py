"""The hash tree of RFC 6962 (Certificate Transparency), section 2.1: leaves in order, any change, loss or addition shows in the root.

A tree that only grows is held as its peaks, the roots of the full subtrees that it is made of, largest first: one for each bit of its size.
Hashes are 32 bytes; numbers count leaves from 0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


def leaf_hash(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True)
class Peaks:
    """A tree of `size` leaves."""

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if len(self.hashes) != self.size.bit_count():
            raise ValueError(f"a tree of {self.size} leaves has {self.size.bit_count()} peaks: got {len(self.hashes)}")

    def append(self, leaves: Iterable[bytes]) -> Peaks:
        """With further leaf hashes."""
        size, peaks = self.size, list(self.hashes)
        for leaf in leaves:
            size += 1
            peaks.append(leaf)
            for _ in range((size & -size).bit_length() - 1):  # as many full pairs as the new size ends in zeros
                right = peaks.pop()
                peaks[-1] = node_hash(peaks[-1], right)
        return Peaks(size, tuple(peaks))

    @property
    def root(self) -> bytes:
        if not self.hashes:
            return hashlib.sha256(b"").digest()
        root = self.hashes[-1]
        for peak in reversed(self.hashes[:-1]):
            root = node_hash(peak, root)
        return root


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The hashes that lead from leaf `index` to the root, nearest first."""
    if not 0 <= index < len(leaves):
        raise ValueError(f"no such leaf: {index} of {len(leaves)}")
    if len(leaves) == 1:
        return []
    half = _half(len(leaves))
    if index < half:
        return [*inclusion_proof(leaves[:half], index), _root(leaves[half:])]
    return [*inclusion_proof(leaves[half:], index - half), _root(leaves[:half])]


def root_from(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """The root of a tree of `size` leaves that holds `leaf` at `index`, by its proof. Raises ValueError where the proof cannot be one."""
    if not 0 <= index < size:
        raise ValueError(f"no such leaf: {index} of {size}")
    here, place, last = leaf, index, size - 1
    for other in proof:
        if not last:
            raise ValueError("the proof is too long")
        if place & 1 or place == last:
            here = node_hash(other, here)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            here = node_hash(here, other)
        place, last = place >> 1, last >> 1
    if last:
        raise ValueError("the proof is too short")
    return here


def _root(leaves: Sequence[bytes]) -> bytes:
    return Peaks().append(leaves).root


def _half(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1
