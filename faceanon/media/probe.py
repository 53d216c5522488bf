"""What a file holds, before any work is done on it.

A path goes in; VideoFacts (claims of the header and counts of the content, kept apart) and the PacketIndex come out, or an error
that says in words why the file cannot be worked on. A file that holds less than its container promises is refused here: what
decodes before the break must not pass as the whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from faceanon.core.errors import LimitExceeded, SourceTruncated
from faceanon.core.records import ColourTags, PacketIndex, StreamFacts, VideoFacts
from faceanon.core.settings import PlanSettings
from faceanon.media import boxes
from faceanon.media.packets import Listing, list_packets, to_index
from faceanon.media.source import check_file, frames, is_picture, main_video, opened, prepare_decoder, timed

_FIELD_ORDERS = {0: "unknown", 1: "progressive", 2: "tt", 3: "bb", 4: "tb", 5: "bt"}
_MISSING_S, _MISSING_SHARE = 1.0, 0.05  # a header may promise this much more than there is; writers round and guess


@dataclass(frozen=True)
class _FirstFrame:
    pix_fmt: str
    bit_depth: int
    rotation: int
    interlaced: bool
    colour: ColourTags


def probe(path: Path, plan: PlanSettings) -> tuple[VideoFacts, PacketIndex]:
    """Facts and index of the video at `path`. Raises SourceUnreadable, SourceUnsupported, SourceTruncated or LimitExceeded."""
    with probed(path, plan) as (facts, index, _, _):
        return facts, index


@contextmanager
def probed(path: Path, plan: PlanSettings) -> Iterator[tuple[VideoFacts, PacketIndex, Listing, Any]]:
    """As `probe`, with what it was made of: all packets, and the container, open."""
    check_file(path)
    missing = boxes.missing_bytes(path)
    if missing:
        raise SourceTruncated(f"is cut short: {missing}", source=str(path))
    first = first_frame(path, plan)
    with opened(path, plan) as container:
        stream = main_video(container, path)
        check_limits(container, stream, path, plan)
        listing = list_packets(container, stream, path)
        check_complete(container, stream, listing, path)
        index, stop_pts = index_of(listing, stream, path)
        facts = facts_of(path, container, stream, first, index, stop_pts)
        check_duration(facts, path, plan)
        yield facts, index, listing, container


def check_duration(facts: VideoFacts, path: Path, plan: PlanSettings) -> None:
    if facts.duration_s > plan.max_duration_s:
        raise LimitExceeded(f"lasts {facts.duration_s:.0f} s, more than plan.max_duration_s = {plan.max_duration_s:.0f}", source=str(path))


def first_frame(path: Path, plan: PlanSettings) -> _FirstFrame:
    with opened(path, plan) as container:
        stream = main_video(container, path)
        prepare_decoder(stream)
        frame = next(frames(container, stream, path), None)
        if frame is None:
            raise SourceTruncated("holds no frame that decodes", source=str(path))
        context = stream.codec_context
        full = 2 if frame.format.name.startswith("yuvj") else 0
        tags = ColourTags(
            int(frame.color_range or context.color_range or full),
            _tag(frame.colorspace, context.colorspace),
            _tag(frame.color_primaries, context.color_primaries),
            _tag(frame.color_trc, context.color_trc),
        )
        rotation = round(-frame.rotation / 90) * 90 % 360
        return _FirstFrame(frame.format.name, frame.format.components[0].bits, rotation, frame.interlaced_frame, tags)


def _tag(of_frame: int, of_stream: int) -> int:
    return int(of_frame) if int(of_frame) != 2 else int(of_stream)


def check_limits(container, stream, path: Path, plan: PlanSettings) -> None:
    context = stream.codec_context
    if max(context.width, context.height) > plan.max_width_px:
        raise LimitExceeded(f"is {context.width} x {context.height} px, more than plan.max_width_px = {plan.max_width_px}", source=str(path))
    if len(container.streams) > plan.max_streams:
        raise LimitExceeded(f"holds {len(container.streams)} streams, more than plan.max_streams = {plan.max_streams}", source=str(path))


def check_complete(container, stream, listing: Listing, path: Path) -> None:
    """Raises SourceTruncated where the container promises more than the file holds."""
    if not len(listing.pts):
        raise SourceTruncated("holds no packet of its video", source=str(path))
    size = path.stat().st_size
    for entry_stream in container.streams:
        beyond = sum(entry.pos + entry.size > size for entry in entry_stream.index_entries)
        if beyond:
            what = f"{beyond} of {len(entry_stream.index_entries)} packets of stream {entry_stream.index} ({entry_stream.type})"
            raise SourceTruncated(f"is cut short: its index names {what} beyond the end of the file", source=str(path))
    if listing.is_corrupt[-1]:
        raise SourceTruncated("is cut short: its last packet is not complete", source=str(path))
    promised_s = _promised_end_s(container, stream)
    missing_s = promised_s - listing.end_s
    if missing_s > max(_MISSING_S, promised_s * _MISSING_SHARE):
        raise SourceTruncated(f"is cut short: its header promises {float(promised_s):.2f} s, its content ends at {float(listing.end_s):.2f} s", source=str(path))


def _promised_end_s(container, stream) -> Fraction:
    """Where the header says that the file ends; 0 where the container has no such header and FFmpeg only guesses."""
    if container.format.name in ("mpegts", "mpeg", "gif") or container.duration is None:
        return Fraction(0)
    start = container.start_time or 0
    return Fraction(start + container.duration, av.time_base)


def index_of(listing: Listing, stream, path: Path) -> tuple[PacketIndex, int]:
    """The index and the first pts after the last frame."""
    index = to_index(listing)
    if _reorders_without_times(stream):
        index = PacketIndex(index.pts, index.is_keyframe, index.is_clean_start, False)
    if not index.trustworthy:
        index = _index_by_decoding(path)
    return index, int(index.pts[-1]) + max(1, _last_step(listing, index, stream))


def _last_step(listing: Listing, index: PacketIndex, stream) -> int:
    """How long the last frame is shown. Where frames are reordered a packet's duration is about decoding; then the track's, else the step before, counts."""
    if listing.pts[-1] == index.pts[-1] and listing.duration[-1] > 0 and not (np.diff(listing.pts) < 0).any():
        return int(listing.duration[-1])
    gap = int(index.pts[-1] - index.pts[-2]) if len(index.pts) > 1 else int(listing.duration[-1]) or frame_step(stream)
    of_track = int(index.pts[0]) + (stream.duration or 0) - int(index.pts[-1])
    return of_track if stream.container.format.name.startswith("mov,") and 0 < of_track <= stream.duration // 2 else gap


def _reorders_without_times(stream) -> bool:
    """AVI has no presentation times; with B-frames what FFmpeg derives from the order of packets can be wrong (DivX's packed frames)."""
    return stream.container.format.name == "avi" and bool(stream.codec_context.has_b_frames)


def _index_by_decoding(path: Path) -> PacketIndex:
    with opened(path) as container:
        stream = main_video(container, path)
        prepare_decoder(stream)
        source = frames(container, stream, path)
        times = np.array([moment for moment, _ in timed(source, frame_step(stream), container.format.name)], np.int64)
    first = np.arange(len(times)) == 0
    return PacketIndex(times, first, np.zeros(len(times), np.bool_), False)


def frame_step(stream) -> int:
    """A frame's usual duration in units of the stream's time base."""
    rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    return max(1, round(1 / rate / stream.time_base))


def facts_of(path: Path, container, stream, first: _FirstFrame, index: PacketIndex, stop_pts: int) -> VideoFacts:
    context = stream.codec_context
    order = _FIELD_ORDERS.get(context.field_order, "unknown")
    if order == "unknown":
        order = "tt" if first.interlaced else "progressive"
    return VideoFacts(
        container=boxes.container_name(path, container.format.name),
        codec=context.codec.canonical_name,
        profile=context.profile or "",
        width=context.width,
        height=context.height,
        pix_fmt=first.pix_fmt,
        bit_depth=first.bit_depth,
        rotation=first.rotation,
        sar=stream.sample_aspect_ratio or Fraction(1),
        colour=first.colour,
        field_order=order,
        time_base=stream.time_base,
        average_rate=stream.average_rate,
        bit_rate=context.bit_rate or container.bit_rate or None,
        stream_index=stream.index,
        streams=tuple(_stream_facts(s) for s in container.streams),
        num_frames_from_content=len(index.pts),
        num_frames_from_header=stream.frames,
        first_pts=int(index.pts[0]),
        stop_pts=stop_pts,
        size_bytes=path.stat().st_size,
    )


def _stream_facts(stream) -> StreamFacts:
    codec = stream.codec_context.codec.canonical_name if stream.codec_context is not None else "unknown"
    return StreamFacts(
        stream.index, str(stream.type), codec, stream.time_base or Fraction(1), _language(stream), stream.metadata.get("title", ""), is_picture(stream)
    )


def _language(stream) -> str:
    """Empty for "und", which some muxers write for none."""
    language = stream.metadata.get("language", "")
    return "" if language == "und" else language
