"""Pictures in shared memory: a row of equal slots in one nameless file, laid out by the video's facts and by nothing that the parser says.

The asking side makes the memory and seals its size, so that no one can shrink it under the other. Its first page holds a counter of the
parser's progress. A slot is free again when the last array that looks into it is gone.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import mmap
import os
import weakref
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from faceanon.core.records import VideoFacts
from faceanon.media.planes import layout, painted_format

PAGE_BYTES = 4096
BATCH = 4  # pictures and free slots that are told of together: a switch between processes costs as much as copying a picture
AHEAD = 2 * BATCH  # pictures that the parser may be in front
_MOST_SLOTS = 64  # more than any step holds at a time
_RING_BYTES = 1 << 29
_ALIGN = 64
_MADV_POPULATE_WRITE = 23


@dataclass(frozen=True)
class SlotLayout:
    """Where planes lie within a slot: (rows, columns) of each in coded orientation."""

    shapes: tuple[tuple[int, int], ...]
    dtype: str

    @property
    def slot_bytes(self) -> int:
        return sum(_padded(rows * columns * np.dtype(self.dtype).itemsize) for rows, columns in self.shapes)

    @property
    def num_slots(self) -> int:
        return max(AHEAD + BATCH, min(_MOST_SLOTS, _RING_BYTES // self.slot_bytes))

    @property
    def ring_bytes(self) -> int:
        return -(-self.num_slots * self.slot_bytes // PAGE_BYTES) * PAGE_BYTES

    def planes(self, slot: object) -> list[NDArray]:
        """The planes inside the buffer of one slot."""
        found, at = [], 0
        for rows, columns in self.shapes:
            found.append(np.frombuffer(slot, self.dtype, rows * columns, at).reshape(rows, columns))  # type: ignore[call-overload]
            at += _padded(found[-1].nbytes)
        return found


def slot_layout(facts: VideoFacts) -> SlotLayout:
    """As `planes.from_frame` gives them."""
    chroma, depth = layout(painted_format(facts.pix_fmt)) or (None, 8)
    luma = (facts.height, facts.width)
    return SlotLayout((luma, *((-(-facts.height // chroma[1]), -(-facts.width // chroma[0])),) * 2) if chroma else (luma,), "u1" if depth == 8 else "<u2")


def make_memory(ring_bytes: int) -> int:
    """A handle of PAGE_BYTES and the ring, of a size that nobody can change."""
    handle = os.memfd_create("faceanon-pictures", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(handle, PAGE_BYTES + ring_bytes)
    fcntl.fcntl(handle, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return handle


class Ring:
    """The slots as one side sees them."""

    def __init__(self, memory: mmap.mmap, form: SlotLayout) -> None:
        self._memory, self._form = memory, form
        with contextlib.suppress(OSError):  # a kernel before 5.14 fetches page by page, which costs a tenth of a short segment's decoding
            memory.madvise(_MADV_POPULATE_WRITE, 0, PAGE_BYTES + -(-(AHEAD + 1) * form.slot_bytes // PAGE_BYTES) * PAGE_BYTES)
        self._slot_type = _buffer_type(form.slot_bytes)
        self._planes: dict[int, list[NDArray]] = {}
        self._free = list(range(form.num_slots - 1, -1, -1))

    def slot(self, number: int) -> list[NDArray]:
        """Planes to write a picture into; the same each time."""
        if number not in self._planes:
            self._planes[number] = self._form.planes(self._buffer(number))
        return self._planes[number]

    def take(self) -> int | None:
        """The number of a slot that nothing looks into, the one used last if there are many; None where all are held."""
        return self._free.pop() if self._free else None

    def lend(self, number: int) -> list[NDArray]:
        """Planes of a written slot; it comes back by itself when they, and all views of them, are gone."""
        buffer = self._buffer(number)
        weakref.finalize(buffer, self._free.append, number).atexit = False
        return self._form.planes(buffer)

    def _buffer(self, number: int) -> ctypes.Array:
        if not 0 <= number < self._form.num_slots:
            raise ValueError(f"no such slot: got {number}")
        return self._slot_type.from_buffer(self._memory, PAGE_BYTES + number * self._form.slot_bytes)


@lru_cache(maxsize=64)
def _buffer_type(size: int) -> type[ctypes.Array]:
    """A type of our own, since plain ctypes arrays cannot be watched for their end."""
    return type("Slot", (ctypes.c_ubyte * size,), {})


def _padded(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN
