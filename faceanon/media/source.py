"""A source opened with care, and its decoded frames.

Only the containers named here are read, and only from a file: a playlist that names a URL is refused, whatever its ending, and what a
container says to lie in another file is not fetched. Frames come out in order of display, each with a time that is later than its predecessor's.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import av

from faceanon.core.errors import LimitExceeded, SourceUnreadable, SourceUnsupported
from faceanon.core.settings import PlanSettings
from faceanon.media import faults

FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,gif,mxf,flv,ogg"
_NOT_PLAYED = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
_AVI_REORDER_DEPTH = 4  # frames; MPEG-4 reorders by one or two


def _nobody() -> None:
    """Watches."""


_step: Callable[[], None] = _nobody


def on_progress(step: Callable[[], None]) -> None:
    """From now on `step` is called for each packet that this process reads, so that a watcher can tell slow from stuck."""
    global _step
    _step = step


@contextmanager
def opened(path: Path, plan: PlanSettings | None = None) -> Iterator[Any]:
    """The container at `path`, an av.InputContainer. Raises SourceUnreadable or SourceTruncated; LimitExceeded where it, or a packet read from it, is beyond `plan`."""
    check_file(path)
    # enable_drefs: a mov may name other files, or URLs, as the place of its media.
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "file", "enable_drefs": "0", "use_absolute_path": "0"}
    try:
        container = av.open(f"file:{path}", container_options=options, metadata_errors="replace")
    except faults.MediaFault as error:
        raise faults.opening(error, path) from error
    with container:
        if plan is not None:
            _check_header(container, path, plan)
        yield _Watched(container, path, plan)


class _Watched:
    """A container whose packets are counted on their way."""

    def __init__(self, container: av.container.InputContainer, path: Path, plan: PlanSettings | None) -> None:
        self._container, self._path, self._plan = container, path, plan

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def demux(self, *streams: Any) -> Iterator[av.Packet]:
        plan, step = self._plan, _step
        for number, packet in enumerate(_of_known_streams(self._container.demux(*streams))):
            step()
            if plan is not None and (packet.size > plan.max_packet_bytes or number >= plan.max_packets):
                _refuse_packet(number, packet.size, plan, self._path)
            yield packet


def _of_known_streams(packets: Iterator[av.Packet]) -> Iterator[av.Packet]:
    """Where a container has grown streams on its way, PyAV fails over them once all that were there at its start are flushed."""
    with suppress(IndexError):
        yield from packets


def _refuse_packet(number: int, size: int, plan: PlanSettings, path: Path) -> None:
    if size > plan.max_packet_bytes:
        raise LimitExceeded(f"packet {number} has {size} bytes, more than plan.max_packet_bytes = {plan.max_packet_bytes}", source=str(path))
    raise LimitExceeded(f"holds more packets than plan.max_packets = {plan.max_packets}", source=str(path))


def _check_header(container: av.container.InputContainer, path: Path, plan: PlanSettings) -> None:
    """What a header claims is held against the limits before anything is decoded."""
    if len(container.streams) > plan.max_streams:
        raise LimitExceeded(f"holds {len(container.streams)} streams, more than plan.max_streams = {plan.max_streams}", source=str(path))
    for stream in container.streams.video:
        context = stream.codec_context
        if context is not None and max(context.width, context.height) > plan.max_width_px:
            raise LimitExceeded(f"is {context.width} x {context.height} px, more than plan.max_width_px = {plan.max_width_px}", source=str(path))
    claimed_s = (container.duration or 0) / av.time_base
    if claimed_s > plan.max_duration_s:
        raise LimitExceeded(f"lasts {claimed_s:.0f} s by its header, more than plan.max_duration_s = {plan.max_duration_s:.0f}", source=str(path))


def check_file(path: Path) -> None:
    """Raises SourceUnreadable, with the kind of no, where there is no file to open."""
    try:
        if not path.is_file():
            raise SourceUnreadable("is a folder or a device" if path.exists() else "does not exist", source=str(path))
        if not path.stat().st_size:
            raise SourceUnreadable("is empty: zero bytes", source=str(path))
    except PermissionError as error:
        raise faults.opening(error, path) from error
    if not os.access(path, os.R_OK):
        raise SourceUnreadable("may not be read: permission denied", source=str(path))


def is_picture(stream) -> bool:
    """True for cover art and thumbnails, which no player shows as the video."""
    return bool(stream.disposition & _NOT_PLAYED)


def main_video(container, path: Path):
    """The stream that a player shows: the default one, then the largest, then the first."""
    shown = [s for s in container.streams.video if not is_picture(s)]
    if not shown:
        reason = "holds no video but an attached picture" if container.streams.video else "holds no video" + (", only audio" if container.streams.audio else "")
        raise SourceUnreadable(reason, source=str(path))
    known = [s for s in shown if s.codec_context is not None]
    if not known:
        raise SourceUnsupported("its video codec cannot be decoded", source=str(path))
    default = av.stream.Disposition.default
    chosen = max(known, key=lambda s: (bool(s.disposition & default), s.codec_context.width * s.codec_context.height, -s.index))
    if not (chosen.codec_context.width and chosen.codec_context.height):
        raise SourceUnsupported(f"declares pictures of {chosen.codec_context.width} x {chosen.codec_context.height} px", source=str(path))
    return chosen


def prepare_decoder(stream) -> None:
    """Decoder settings that every reader shares, so that all see the same frames."""
    stream.thread_type = "AUTO"
    # Without it frames before a recovery point are dropped, and numbers no longer agree with the packets.
    stream.codec_context.flags |= av.codec.context.Flags.output_corrupt


def frames(container, stream, path: Path) -> Iterator[av.VideoFrame]:
    """Every frame from where the container stands. Raises SourceTruncated where packets do not decode."""
    count = 0
    try:
        for packet in container.demux(stream):
            if not packet.size and packet.dts is not None:
                continue  # a dropped frame in AVI; the decoder would take it for the end
            for frame in stream.codec_context.decode(packet):
                count += 1
                yield frame
    except faults.MediaFault as error:
        raise faults.reading(error, path, f"decoded frame {count}") from error


def timed(source: Iterable[av.VideoFrame], step: int, container: str) -> Iterator[tuple[int, av.VideoFrame]]:
    """Frames with their pts, strictly rising; a missing one follows by `step`.

    AVI has no presentation times, and what FFmpeg makes up for packed B-frames comes out of order: there times are sorted among neighbours.
    """
    depth = _AVI_REORDER_DEPTH if container == "avi" else 0
    waiting: list[av.VideoFrame] = []
    times: list[int] = []
    last: int | None = None
    newest = -step
    for frame in source:
        newest = frame.pts if frame.pts is not None else newest + step
        heapq.heappush(times, newest)
        waiting.append(frame)
        if len(waiting) > depth:
            last = _next_time(times, last)
            yield last, waiting.pop(0)
    for frame in waiting:
        last = _next_time(times, last)
        yield last, frame


def _next_time(times: list[int], last: int | None) -> int:
    moment = heapq.heappop(times)
    return moment if last is None else max(moment, last + 1)
