"""A segment's pictures: exactly the frames that its span owns, in order of display, numbered as in the whole video.

Planes are copies, upright and writable; a copy costs a fraction of decoding, and without it painting would leak into the frames
that the decoder predicts next. A segment that does not yield as many frames as its plan says raises SourceTruncated.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import av

from faceanon.core.errors import SourceTruncated
from faceanon.core.picture import Picture
from faceanon.core.records import Segment, VideoFacts
from faceanon.media import faults, planes
from faceanon.media.source import frames, main_video, opened, prepare_decoder, timed

_FIRST_STEP_BACK_S = 1
_MAX_STEPS_BACK = 8


class PictureReader(Iterator[Picture]):
    """An iterator of pictures that counts on the way. decode_errors: owned frames that the decoder flagged as damaged."""

    def __init__(
        self, path: Path, facts: VideoFacts, segment: Segment | None, lookahead: int, writable: bool = True, wanted: Callable[[int, int], bool] | None = None
    ) -> None:
        self.decode_errors = 0
        self._writable = writable
        self._wanted = wanted  # frame number and pts to whether a picture is made of it; every frame is decoded all the same
        self._path, self._facts, self._lookahead = path, facts, lookahead
        self._start_pts = segment.span.start_pts if segment else facts.first_pts
        self._first_frame = segment.first_frame if segment else 0
        self._num_frames = segment.num_frames if segment else facts.num_frames_from_content
        self._is_last = self._first_frame + self._num_frames == facts.num_frames_from_content
        self._stop_pts = segment.span.stop_pts if segment else facts.stop_pts
        self._pictures = self._read()

    def __next__(self) -> Picture:
        return next(self._pictures)

    def close(self) -> None:
        """Lets go of the file before the end."""
        self._pictures.close()

    def _read(self) -> Generator[Picture, None, None]:
        form = planes.plane_format(self._facts)
        count = 0
        for pts, frame in self._owned_frames():
            if count >= self._num_frames + self._lookahead:
                break
            if count < self._num_frames:
                self.decode_errors += frame.is_corrupt
                if not self._is_last and pts >= self._stop_pts:
                    break  # a frame is missing; the check below says so
            if self._wanted is None or self._wanted(self._first_frame + count, pts):
                yield Picture(self._first_frame + count, pts, planes.from_frame(frame, self._facts, writable=self._writable), form)
            count += 1
        if count < self._num_frames:
            missing = f"frames {self._first_frame + count} to {self._first_frame + self._num_frames - 1}"
            raise SourceTruncated(f"{missing} of {self._facts.num_frames_from_content} do not decode", source=str(self._path))

    def _owned_frames(self) -> Iterator[tuple[int, av.VideoFrame]]:
        with standing_at(self._path, self._start_pts if self._start_pts > self._facts.first_pts else None) as (container, stream):
            prepare_decoder(stream)
            step = max(1, (self._facts.stop_pts - self._facts.first_pts) // max(1, self._facts.num_frames_from_content))
            for pts, frame in timed(frames(container, stream, self._path), step, self._facts.container):
                if pts >= self._start_pts:
                    yield pts, frame


def read_pictures(path: Path, facts: VideoFacts, segment: Segment | None, *, lookahead: int = 0, writable: bool = True) -> PictureReader:
    """The frames of `segment` (None: of the whole video), then up to `lookahead` more beyond its end. writable: False spares a copy of every frame."""
    return PictureReader(path, facts, segment, lookahead, writable)


@contextmanager
def standing_at(path: Path, pts: int | None) -> Iterator[tuple[Any, Any]]:
    """A container and its video, where reading on meets a keyframe at or before `pts`; at the start for None, and where the file cannot be moved in."""
    with ExitStack() as stack:
        container = stack.enter_context(opened(path))
        stream = main_video(container, path)
        if pts is not None and not _seek(container, stream, pts, path):
            stack.close()
            container = stack.enter_context(opened(path))
            stream = main_video(container, path)
        yield container, stream


def _seek(container, stream, pts: int, path: Path) -> bool:
    """False where the file has no index to move by, as an FLV without one.

    Demuxers seek by decoding time or by a guess at a byte, so where they land is read and, if it is too late, tried again further back.
    """
    try:
        for attempt in range(_MAX_STEPS_BACK):
            back = 0 if attempt == 0 else int(_FIRST_STEP_BACK_S * 2 ** (attempt - 1) / stream.time_base)
            container.seek(pts - back, stream=stream)
            if _first_keyframe(container, stream, pts) is not None:
                container.seek(pts - back, stream=stream)
                return True
        container.seek(int(-1 / stream.time_base), stream=stream)
    except av.PermissionError:  # FFmpeg's -1 for "not possible" reads as a lack of permission
        return False
    except faults.MediaFault as error:
        raise faults.reading(error, path, f"the seek to pts {pts}") from error
    return True


def _first_keyframe(container, stream, latest: int) -> int | None:
    """The pts of the first keyframe from here, if it is at or before `latest`."""
    for packet in container.demux(stream):
        if packet.is_keyframe and packet.pts is not None:
            return packet.pts if packet.pts <= latest else None
    return None
