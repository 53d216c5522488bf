"""A large mp4 or mov of which only some byte ranges are here, in a sparse file of the whole file's size.

`held` are the ranges that are here; functions say which others they want before they can answer, and are asked again when those are
there. What they answer then equals what the whole file would have given. Only containers whose one index names every packet can be read
so, and only codecs whose packets need not be looked at to be listed: everything else is `whole`.

`index_look` (what is needed to open the container) -> `probe_part` (facts and index) -> `segment_ranges` (what decoding a segment reads).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from faceanon.core.records import PacketIndex, Segment, VideoFacts
from faceanon.core.settings import PlanSettings
from faceanon.media import probe as whole_probe
from faceanon.media.packets import Listing, list_packets, to_index
from faceanon.media.segments import plan_segments
from faceanon.media.source import main_video, opened

Range = tuple[int, int]  # first byte, first byte after

HEAD_BYTES = 4 << 20  # fetched first: the index, where it is in front, and what FFmpeg reads to know its streams
_TAIL_BYTES = 64 << 20  # what follows the media, if it is not longer, comes in one go: it is the index, as a rule
_BOX_BYTES = 1 << 16
_MOST_INDEX_BYTES = 512 << 20
_MOST_BOXES = 64
_FIRST_PACKETS = 40  # that FFmpeg and a decoder with 16 threads read before the first frame comes out
_OTHER_FIRST_BYTES = 1 << 19  # of each other stream
_MORE_PACKETS = 32  # that a decoder with 16 threads, and 16 frames to reorder, wants beyond the last frame that is asked for
_CODECS = frozenset({"h264", "hevc", "av1"})  # VP8 and VP9 say in each packet whether it is shown
_KNOWN_BOXES = frozenset({b"ftyp", b"free", b"skip", b"wide", b"uuid", b"mdat", b"moov", b"udta", b"meta", b"pnot", b"prfl", b"PICT"})


@dataclass(frozen=True)
class Look:
    """wanted: ranges to fetch before asking again. place: where the index lies. whole: nothing but the whole file will do."""

    wanted: tuple[Range, ...] = ()
    place: Range | None = None
    whole: bool = False


@dataclass(frozen=True)
class PartProbe:
    """facts and index where nothing is wanted any more. In `index` only those keyframes are looked into at which a segment starts."""

    look: Look
    facts: VideoFacts | None = None
    index: PacketIndex | None = None


def missing(wanted: Sequence[Range], held: Sequence[Range]) -> tuple[Range, ...]:
    """What of `wanted` is not in `held`, sorted; `held` is sorted and free of overlap."""
    gaps: list[Range] = []
    for start, stop in sorted(wanted):
        at = start
        for first, last in held:
            if last > at and first < stop:
                if first > at:
                    gaps.append((at, first))
                at = max(at, last)
        if at < stop:
            gaps.append((at, stop))
    return tuple(gaps)


def index_look(path: Path, held: Sequence[Range]) -> Look:
    """Walks the boxes at the top level: where the index (moov) is, and what of it is missing."""
    size = path.stat().st_size
    if missing([(0, min(size, HEAD_BYTES))], held):
        return Look(wanted=((0, min(size, HEAD_BYTES)),))
    place, at, after_media = None, 0, False
    with path.open("rb") as file:
        for _ in range(_MOST_BOXES):
            if at + 8 > size:
                break
            if missing([(at, min(size, at + 16))], held):
                is_tail = after_media and size - at <= _TAIL_BYTES
                return Look(wanted=((at, size if is_tail else min(size, at + _BOX_BYTES)),))
            file.seek(at)
            head = file.read(16)
            length = int.from_bytes(head[8:16], "big") if head[:4] == b"\0\0\0\1" else int.from_bytes(head[:4], "big") or size - at
            if head[4:8] not in _KNOWN_BOXES or length < 8 or at + length > size:
                return Look(whole=True)  # fragments, junk, or a file that ends too soon
            if head[4:8] == b"moov":
                place = (at, at + length)
            after_media = after_media or head[4:8] == b"mdat"
            at += length
        if place is None or at + 8 <= size or place[1] - place[0] > _MOST_INDEX_BYTES:
            return Look(whole=True)
        wanted = missing([place], held)
        if wanted:
            return Look(wanted=wanted, place=place)
        file.seek(place[0])
        fragmented = b"mvex" in file.read(place[1] - place[0])
    return Look(whole=True) if fragmented else Look(place=place)


def opening_look(path: Path, held: Sequence[Range], plan: PlanSettings) -> Look:
    """After `index_look` wants nothing: the packets with which each stream begins, which are read whenever the file is opened."""
    with opened(path, plan) as container:
        stream = main_video(container, path)
        if stream.codec_context.codec.canonical_name not in _CODECS:
            return Look(whole=True)
        wanted = []
        for one in container.streams:
            entries = one.index_entries
            count = _FIRST_PACKETS if one.index == stream.index else 1
            wanted += [(entries[n].pos, entries[n].pos + entries[n].size) for n in range(min(count, len(entries)))]
    return Look(wanted=missing(wanted, held))


def probe_part(path: Path, plan: PlanSettings, held: Sequence[Range]) -> PartProbe:
    """After `opening_look` wants nothing: facts and index, or the keyframes to look into first. Raises as `probe.probe` does."""
    first = whole_probe.first_frame(path, plan)
    with opened(path, plan) as container:
        stream = main_video(container, path)
        whole_probe.check_limits(container, stream, path, plan)
        listing = list_packets(container, stream, path, is_here=_inside(held))
        whole_probe.check_complete(container, stream, listing, path)
        if not to_index(listing).trustworthy:
            return PartProbe(Look(whole=True))
        index, stop_pts = whole_probe.index_of(listing, stream, path)
        facts = whole_probe.facts_of(path, container, stream, first, index, stop_pts)
    whole_probe.check_duration(facts, path, plan)
    wanted = missing(_starts(listing, plan_segments("", facts, index, plan)), held)
    return PartProbe(Look(wanted=wanted)) if wanted else PartProbe(Look(), facts, index)


def _inside(held: Sequence[Range]) -> Callable[[int, int], bool]:
    starts = [start for start, _ in held]

    def inside(start: int, stop: int) -> bool:
        at = bisect_right(starts, start) - 1
        return at >= 0 and stop <= held[at][1]

    return inside


def _starts(listing: Listing, segments: Sequence[Segment]) -> list[Range]:
    """The packets at which these segments start."""
    rows = {int(pts): n for n, pts in enumerate(listing.pts)}
    starts = [rows[segment.span.start_pts] for segment in segments]
    return [(int(listing.pos[n]), int(listing.pos[n] + listing.size[n])) for n in starts]


def segment_ranges(path: Path, facts: VideoFacts, segment: Segment, lookahead: int) -> tuple[Range, ...]:
    """After `opening_look` wants nothing: the video's bytes that decoding `segment` and `lookahead` frames more reads, from the keyframe on to which a reader seeks."""
    with opened(path) as container:
        stream = main_video(container, path)
        entries = stream.index_entries
        packets = [(entries[n].timestamp, entries[n].pos, entries[n].size, entries[n].is_keyframe) for n in range(len(entries))]
        second = int(1 / stream.time_base)
    start = _seek_target(packets, segment.span.start_pts, second) if segment.span.start_pts > facts.first_pts else 0
    stop = next((n for n, packet in enumerate(packets) if packet[0] >= segment.span.stop_pts), len(packets))
    return tuple((pos, pos + size) for _, pos, size, _ in packets[start : stop + lookahead + _MORE_PACKETS])


def _seek_target(packets: Sequence[tuple[int, int, int, bool]], start_pts: int, second: int) -> int:
    """The packet that `decode.seek` meets: the last keyframe whose decoding time is not after `start_pts`, or, where keyframes are dense, one a second earlier."""
    before = [n for n, (dts, _, _, key) in enumerate(packets) if key and dts <= start_pts]
    near = [n for n in before if packets[n][0] > start_pts - second]
    if len(near) > 1:
        before = [n for n in before if n not in near] or [0]
    return before[-1] if before else 0
