"""Pictures of a short video are kept between looking and painting: the same ones, or none."""

from __future__ import annotations

import numpy as np

from faceanon.core.picture import Picture, PlaneFormat
from faceanon.core.records import Segment
from faceanon.core.timeline import Span
from faceanon.flow.kept import FIRST_LOOKS, HELD_BESIDE, Joined, Keeper, Kept

FORMAT = PlaneFormat(8, (2, 2), False, "bt709")
BYTES = 96 * 64 * 3 // 2
KEY = ("output", 0)


class Reader:
    """Pictures whose memory is written again for the next one, as a ring's."""

    def __init__(self, count: int) -> None:
        self.decode_errors = 0
        self._count, self._next = count, 0
        self._planes = tuple(np.zeros(shape, np.uint8) for shape in ((64, 96), (32, 48), (32, 48)))

    def __iter__(self):
        return self

    def __next__(self) -> Picture:
        if self._next == self._count:
            raise StopIteration
        for plane in self._planes:
            plane[...] = self._next
        self.decode_errors += self._next == 2
        self._next += 1
        return Picture(self._next - 1, 10 * (self._next - 1), self._planes, FORMAT)


def segment(stop_frame: int) -> Segment:
    return Segment("video", 0, Span(0, 10 * stop_frame), 0, stop_frame, True)


def seen(keeper: Keeper, count: int, stop_frame: int, is_empty=lambda: False) -> list[int]:
    return [picture.index for picture in keeper.watch(KEY, Reader(count), segment(stop_frame), is_empty)]


def test_what_is_kept_is_what_was_read():
    """Every picture before the end of the segment, as it was, writable, with the count of damaged frames."""
    keeper = Keeper((HELD_BESIDE + 10) * BYTES)

    assert seen(keeper, 6, 4) == [0, 1, 2, 3, 4, 5]
    kept = keeper.take(KEY, 4)

    assert kept is not None
    assert kept.decode_errors == 1
    pictures = list(kept)
    assert [(p.index, p.pts, int(p.planes[0].min()), int(p.planes[2].max())) for p in pictures] == [(n, 10 * n, n, n) for n in range(4)]
    pictures[0].planes[0][...] = 7  # of its own memory
    assert pictures[1].planes[0].max() == 1


def test_pictures_are_given_once_and_only_whole():
    """A second painting, another segment, a reading that ended early: all read again."""
    keeper = Keeper((HELD_BESIDE + 10) * BYTES)

    seen(keeper, 6, 6)
    kept = keeper.take(KEY, 6)
    assert kept is not None
    assert [picture.index for picture in kept.until(1, 3) or ()] == [1, 2]
    assert [picture.index for picture in kept.until(2, 5) or ()] == [3, 4]
    assert kept.until(2, 5) is None
    assert keeper.take(KEY, 6) is None
    seen(keeper, 6, 6)
    assert keeper.take(("output", 1), 6) is None
    assert keeper.take(KEY, 6) is None
    reading = keeper.watch(KEY, Reader(6), segment(6), lambda: False)
    next(reading), next(reading)
    assert keeper.take(KEY, 6) is None


def test_too_many_pictures_are_not_kept():
    """Beyond the bound nothing stays in memory, and reading goes on; a bound of 0 keeps nothing at all."""
    for limit in (0, (HELD_BESIDE + 5) * BYTES):
        keeper = Keeper(limit)

        assert seen(keeper, 6, 6) == [0, 1, 2, 3, 4, 5]
        assert keeper.take(KEY, 6) is None


def test_of_a_video_without_faces_nothing_is_kept():
    """Until a face is seen nothing stays but the first pictures, until they are looked at; from then on all does, and what was before is read again."""
    keeper = Keeper((HELD_BESIDE + 60) * BYTES)

    def kept_of(first_face: int) -> Kept | None:
        fed = iter(range(FIRST_LOOKS + 1, 60))
        seen(keeper, 60, 60, lambda: next(fed) < first_face)
        return keeper.take(KEY, 60)

    assert [picture.index for picture in kept_of(0) or ()] == list(range(60))
    late = kept_of(40)
    assert late is not None
    assert late.first.index == 40
    joined = Joined(Reader(40), late)
    assert [picture.index for picture in joined] == list(range(60))
    assert joined.decode_errors == 2
    assert kept_of(99) is None
