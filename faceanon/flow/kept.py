"""Pictures kept from the look at a video until it is painted, so that a short one is decoded once for both.

They stay in this process's memory, of one video at a time, up to a bound; whoever asks for others reads them again. What was kept is
what a second reading would give, to the sample.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

from faceanon.core.picture import Picture
from faceanon.core.records import Segment

FIRST_LOOKS = 16  # frames until the first looks have come
HELD_BESIDE = 80  # pictures, about, that painting and encoding hold at a time: they count, or a few frames of 4K would fill twice what was meant
Key = tuple[str, int]  # output id, segment number


class Reader(Protocol):
    """Pictures in order. decode_errors: frames so far that the decoder flagged as damaged."""

    decode_errors: int

    def __iter__(self) -> Iterator[Picture]: ...

    def __next__(self) -> Picture: ...


class Kept(Iterator[Picture]):
    """Pictures of one segment in order, each let go of as it is taken."""

    def __init__(self, pictures: deque[Picture], decode_errors: int) -> None:
        self.decode_errors = decode_errors
        self._pictures = pictures

    @property
    def first(self) -> Picture:
        return self._pictures[0]

    @property
    def stop_frame(self) -> int:
        """The frame after the last one that is kept."""
        return self._pictures[-1].index + 1 if self._pictures else 0

    def __next__(self) -> Picture:
        if not self._pictures:
            raise StopIteration
        return self._pictures.popleft()

    def until(self, first_frame: int, stop_frame: int) -> Kept | None:
        """What is kept of first_frame <= frame < stop_frame: its last pictures at least, or None. All before `stop_frame` are let go of."""
        found = [self._pictures.popleft() for _ in range(sum(picture.index < stop_frame for picture in self._pictures))]
        wanted = deque(picture for picture in found if picture.index >= first_frame)
        if not wanted:
            return None
        errors, self.decode_errors = self.decode_errors, 0  # told once
        return Kept(wanted, errors)


class Joined(Iterator[Picture]):
    """What had to be read again, then what was kept."""

    def __init__(self, head: Reader, kept: Kept) -> None:
        self._head, self._kept = head, kept

    @property
    def decode_errors(self) -> int:
        return self._head.decode_errors + self._kept.decode_errors

    def __next__(self) -> Picture:
        picture = next(self._head, None)
        return next(self._kept) if picture is None else picture


class Keeper:
    """limit_bytes: of the pictures that are held; 0 keeps none."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._key: Key | None = None
        self._kept = Kept(deque(), 0)

    def watch(self, key: Key, reader: Reader, segment: Segment, is_empty: Callable[[], bool]) -> Iterator[Picture]:
        """The reader's pictures, with copies kept of the segment's own while `is_empty` denies that, of the first ones too, or of none where they could be too many.

        is_empty: whether no face was seen so far; of a video without faces no picture is ever asked for.
        """
        self.drop()
        pictures: deque[Picture] = deque()
        for picture in reader:
            size = sum(plane.nbytes for plane in picture.planes)
            fits = size * (segment.num_frames + HELD_BESIDE) <= self._limit_bytes
            if picture.index - segment.first_frame > FIRST_LOOKS and is_empty():
                pictures.clear()
            elif picture.index < segment.stop_frame and fits:
                pictures.append(Picture(picture.index, picture.pts, tuple(plane.copy() for plane in picture.planes), picture.format))
                self._key, self._kept = key, Kept(pictures, reader.decode_errors)
            yield picture
        self._kept.decode_errors = reader.decode_errors

    def take(self, key: Key, stop_frame: int) -> Kept | None:
        """What is kept of this segment, once: its last pictures at least."""
        kept = self._kept if key == self._key and self._kept.stop_frame == stop_frame else None
        self.drop()
        return kept

    def drop(self) -> None:
        self._key, self._kept = None, Kept(deque(), 0)
