"""The packets of a video, listed in one pass without decoding: when each is shown, and where a stream may be cut.

In: an open container. Out: a Listing in order of decoding, from which `to_index` (pure) makes the PacketIndex in order of display.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faceanon.core.records import PacketIndex
from faceanon.media import faults, gifs, nal

NO_PTS = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Listing:
    """Packets of one stream in order of decoding."""

    pts: NDArray[np.int64]  # (P,) NO_PTS where missing
    duration: NDArray[np.int64]  # (P,) 0 where unknown
    is_keyframe: NDArray[np.bool_]  # (P,)
    is_random_access: NDArray[np.bool_]  # (P,) a keyframe that depends on nothing before it
    is_hidden: NDArray[np.bool_]  # (P,) a frame that only others refer to, as VP8 has them
    is_discard: NDArray[np.bool_]  # (P,) cut off by an edit list
    is_corrupt: NDArray[np.bool_]  # (P,) the demuxer knows that bytes are missing
    end_s: Fraction  # end of the last packet of any stream, in seconds
    spans: dict[int, tuple[Fraction, Fraction, int]]  # stream to start and stop of its first and last packets, in seconds, and how many there are
    pos: NDArray[np.int64]  # (P,) first byte in the file; -1 where the container does not say
    size: NDArray[np.int64]  # (P,) bytes
    is_hole: NDArray[np.bool_]  # (P,) its bytes are not here


def list_packets(container, stream, path: Path, is_here: Callable[[int, int], bool] | None = None) -> Listing:
    """One pass over all packets of the file. Raises SourceTruncated where it breaks off.

    is_here: given where only parts of the file are here; says whether a range of bytes is. A packet that is a hole is a keyframe where
    the container's index says so, and is then taken for one that depends on nothing before it.
    """
    codec = stream.codec_context.codec.canonical_name
    look = _Look(codec, nal.length_size(codec, stream.codec_context.extradata))
    rows: list[tuple[int, int, bool, bool, bool, bool, bool, bool, int, int]] = []
    keys = {entry.pos for entry in stream.index_entries if entry.is_keyframe} if is_here else set()
    starts: dict[int, int] = {}  # in units of each stream's time base: a Fraction a packet costs more than listing it
    ends: dict[int, int] = {}
    counts: dict[int, int] = {}
    try:
        for packet in container.demux():
            if not packet.size or (codec == "gif" and not gifs.has_image(bytes(packet))):
                continue
            time = packet.pts if packet.pts is not None else packet.dts
            if time is not None:
                number, end = packet.stream_index, time + (packet.duration or 0)
                starts[number], ends[number] = min(starts.get(number, time), time), max(ends.get(number, end), end)
                counts[number] = counts.get(number, 0) + 1
            if packet.stream_index == stream.index:
                pts = NO_PTS if packet.pts is None else packet.pts
                place = -1 if packet.pos is None else packet.pos
                hole = is_here is not None and not is_here(place, place + packet.size)
                seen = (place in keys, place in keys, False) if hole else look.at(packet)
                rows.append((pts, packet.duration or 0, *seen, packet.is_discard, packet.is_corrupt, hole, place, packet.size))
    except faults.MediaFault as error:
        raise faults.reading(error, path, f"packet {len(rows)} of the video") from error
    table = np.array(rows, np.int64).reshape(-1, 10)
    pts, duration = table[:, 0], table[:, 1]
    key, access, hidden, discard, corrupt, holes = (table[:, n].astype(np.bool_) for n in range(2, 8))
    units = {n: Fraction(container.streams[n].time_base or 1) for n in starts}
    spans = {n: (starts[n] * unit, ends[n] * unit, counts[n]) for n, unit in units.items()}
    end_s = max((stop for _, stop, _ in spans.values()), default=Fraction(0))
    return Listing(pts, duration, key, access, hidden, discard, corrupt, end_s, spans, table[:, 8], table[:, 9], holes)


@dataclass(frozen=True)
class _Look:
    """What a packet's first bytes say."""

    codec: str
    prefix: int

    def at(self, packet) -> tuple[bool, bool, bool]:
        """is keyframe, is random access, is hidden."""
        if self.codec == "vp8":
            return packet.is_keyframe, packet.is_keyframe, not memoryview(packet)[0] & 16
        if self.codec == "vp9":
            return packet.is_keyframe, packet.is_keyframe, not _vp9_is_shown(bytes(packet))
        if not packet.is_keyframe or self.codec not in ("h264", "hevc"):
            return packet.is_keyframe, packet.is_keyframe, False
        units = nal.split(bytes(packet), self.prefix)
        if nal.recovery_frames(self.codec, units):
            return False, False, False  # gradual refresh: the picture is right only some frames later
        return True, nal.is_random_access(self.codec, (nal.unit_type(self.codec, u) for u in units)), False


def _vp9_is_shown(data: bytes) -> bool:
    """show_frame of a frame that stands alone; a superframe always ends in a shown one. VP9 bitstream specification, 6.2 and annex B."""
    if data[-1] & 0xE0 == 0xC0:
        return True
    bits = f"{int.from_bytes(data[:2], 'big'):016b}"
    at = 5 if bits[2:4] == "11" else 4
    return bits[at] == "1" or bits[at + 2] == "1"


def to_index(listing: Listing) -> PacketIndex:
    """The frames that are shown, in order of display.

    What precedes the first keyframe, in decoding or in display, is left out: it refers to pictures that the file does not hold, and
    no player shows it.
    """
    keys = np.flatnonzero(listing.is_keyframe & (listing.pts != NO_PTS))
    first = int(keys[0]) if len(keys) else 0
    reached = np.arange(len(listing.pts)) >= first
    shown = ~listing.is_hidden & ~listing.is_discard & reached & ((listing.pts >= listing.pts[first]) | (listing.pts == NO_PTS))
    pts = listing.pts[shown]
    order = np.argsort(pts, kind="stable")
    trustworthy = bool(len(pts)) and pts[order[0]] != NO_PTS and bool(np.all(np.diff(pts[order]) > 0))
    clean, leading, stops = _places(listing, shown)
    pts = pts[order]
    can_stop = np.searchsorted(stops, pts, side="right") > np.searchsorted(stops, pts)
    return PacketIndex(pts, listing.is_keyframe[shown][order], clean[shown][order], trustworthy, leading[shown][order], can_stop)


def _places(listing: Listing, shown: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
    """(P,) packets at which all that is decoded before is shown before, and all that is decoded after is shown after; (P,) PacketIndex.leading; pts where it can_stop."""
    nowhere, no_pts = np.full(len(listing.pts), -1, np.int64), np.zeros(0, np.int64)
    if not len(listing.pts):
        return np.zeros(0, np.bool_), nowhere, no_pts
    latest_before = np.concatenate([[NO_PTS], np.maximum.accumulate(listing.pts)[:-1]])
    earliest_after = np.concatenate([np.minimum.accumulate(listing.pts[::-1])[::-1][1:], [np.iinfo(np.int64).max]])
    clean = listing.is_random_access & (latest_before < listing.pts) & (listing.pts < earliest_after)
    # An edit list that hides frames in the middle cannot be written again by copying.
    inside = np.flatnonzero(shown)
    cut_inside = len(inside) > 0 and bool(listing.is_discard[inside[0] : inside[-1]].any())
    if cut_inside:
        return np.zeros_like(clean), nowhere, no_pts
    earliest = np.minimum(listing.pts, earliest_after)
    can_cut = listing.is_random_access & ~listing.is_hole & (latest_before < earliest)
    times = np.sort(listing.pts[shown])
    leading = np.searchsorted(times, listing.pts) - np.searchsorted(times, earliest)
    return clean, np.where(can_cut, leading, nowhere), np.sort(earliest[latest_before < earliest])
