"""Pictures kept from the look at a video until it is painted, so that a short one is decoded once for both.

They stay in this process's memory, of one video at a time, up to a bound; whoever asks for others reads them again. What was kept is
what a second reading would give, to the sample.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Protocol

from faceanon.core.picture import Picture

Key = tuple[str, int]  # output id, segment number


class Reader(Protocol):
    """Pictures in order. decode_errors: frames so far that the decoder flagged as damaged."""

    decode_errors: int

    def __iter__(self) -> Iterator[Picture]: ...

    def __next__(self) -> Picture: ...


class Kept(Iterator[Picture]):
    """All pictures of one segment, each let go of as it is taken."""

    def __init__(self, pictures: deque[Picture], decode_errors: int) -> None:
        self.decode_errors = decode_errors
        self._pictures = pictures

    def __len__(self) -> int:
        return len(self._pictures)

    def __next__(self) -> Picture:
        if not self._pictures:
            raise StopIteration
        return self._pictures.popleft()

    def until(self, first_frame: int, stop_frame: int) -> Kept:
        """Those with first_frame <= frame < stop_frame; all before them are let go of."""
        found = [self._pictures.popleft() for _ in range(sum(picture.index < stop_frame for picture in self._pictures))]
        return Kept(deque(picture for picture in found if picture.index >= first_frame), self.decode_errors)


class Keeper:
    """limit_bytes: of the pictures that are held; 0 keeps none."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._key: Key | None = None
        self._kept = Kept(deque(), 0)

    def watch(self, key: Key, reader: Reader, stop_frame: int) -> Iterator[Picture]:
        """The reader's pictures, with copies kept of those before `stop_frame`: of all, or of none where they are too many."""
        self.drop()
        if not self._limit_bytes:
            yield from reader
            return
        pictures: deque[Picture] = deque()
        room = self._limit_bytes
        for picture in reader:
            if picture.index < stop_frame and room > 0:
                room -= sum(plane.nbytes for plane in picture.planes)
                pictures.append(Picture(picture.index, picture.pts, tuple(plane.copy() for plane in picture.planes), picture.format))
            if room <= 0:
                pictures.clear()
            self._key, self._kept = key, Kept(pictures, reader.decode_errors)
            yield picture
        self._kept.decode_errors = reader.decode_errors

    def take(self, key: Key, num_frames: int) -> Kept | None:
        """What is kept of this segment, once, if it is whole."""
        kept = self._kept if key == self._key and len(self._kept) == num_frames else None
        self.drop()
        return kept

    def drop(self) -> None:
        self._key, self._kept = None, Kept(deque(), 0)
