"""The output's video packets in order of decoding: staged segments from their files, the others copied from the source.

What is a segment here may be a piece of one. A copied one starts at a keyframe and may end inside a GOP; a staged one may start anywhere.

H.264 and HEVC leave as Annex B without user data. Where copied packets stand beside encoded ones, each copied keyframe brings the
parameter sets that the source keeps aside, since the encoder's were last, and one of HEVC that had leading pictures says that they are
missing. Of other codecs user data goes too. Payloads are otherwise those of the source, bit by bit.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

from faceanon.core.errors import SourceTruncated
from faceanon.core.records import Segment, VideoFacts
from faceanon.media import faults, gifs, nal, traces
from faceanon.media.decode import standing_at
from faceanon.media.source import main_video, opened
from faceanon.media.staging import CodedPacket, read_packets, read_times

_HEVC_END_OF_SEQUENCE = b"\x48\x01"  # NAL type 36: what follows is decoded as if the stream began with it, a CRA included
_DELIMITERS = {"h264": 9, "hevc": 35}


def joined_times(source: Path, segments: Sequence[Segment], staged: Mapping[int, Path]) -> list[int]:
    """The pts of every packet that `joined_packets` will give."""
    copied = ((number, packet.pts) for number, packet in _copied(source, segments, staged))
    return list(_joined(source, segments, staged, copied, read_times))


def joined_packets(source: Path, facts: VideoFacts, segments: Sequence[Segment], staged: Mapping[int, Path], *, captions: bool) -> Iterator[CodedPacket]:
    """Every packet. captions: whether closed captions, which travel as user data, stay."""
    cleaner = _Cleaner(facts.codec, bool(staged), captions)
    copied = ((number, cleaner.clean(packet)) for number, packet in _copied(source, segments, staged, cleaner))
    packets = _joined(source, segments, staged, copied, read_packets)
    return _with_ends(packets, segments, staged) if facts.codec == "hevc" and 0 < len(staged) < len(segments) else packets


def copied_digest(source: Path, facts: VideoFacts, segment: Segment) -> tuple[str, int]:
    """SHA-256 and total bytes of the source's own payloads in one segment, in order of decoding: what a copy of it must still hold."""
    total, size, inside = hashlib.sha256(), 0, False
    with standing_at(source, segment.span.start_pts if segment.span.start_pts > facts.first_pts else None) as (container, stream):
        try:
            for packet in container.demux(stream):
                if packet.is_keyframe and packet.pts is not None:
                    inside = inside or packet.pts == segment.span.start_pts
                if packet.pts is not None and packet.pts >= segment.span.stop_pts:
                    break
                if inside and packet.size and not packet.is_discard and not _is_before(packet, segment):
                    total.update(packet)
                    size += packet.size
        except faults.MediaFault as error:
            raise faults.reading(error, source, f"segment {segment.segment_no}") from error
    return total.hexdigest(), size


def _joined(source: Path, segments: Sequence[Segment], staged: Mapping[int, Path], copied: Iterator, read) -> Iterator:
    groups = groupby(copied, key=lambda entry: entry[0])
    for segment in segments:
        if segment.segment_no in staged:
            yield from read(staged[segment.segment_no])
            continue
        number, group = next(groups, (None, ()))
        if number != segment.segment_no:
            raise SourceTruncated(f"segment {segment.segment_no} does not start where it was planned, at pts {segment.span.start_pts}", source=str(source))
        yield from (item for _, item in group)


def _copied(source: Path, segments: Sequence[Segment], staged: Mapping[int, Path], cleaner: _Cleaner | None = None) -> Iterator[tuple[int, Any]]:
    """(segment_no, packet) of the segments that are not staged, in one sequential pass."""
    if all(s.segment_no in staged for s in segments):
        return
    starts = [s.span.start_pts for s in segments]
    current: Segment | None = None
    with opened(source) as container:
        stream = main_video(container, source)
        is_gif = stream.codec_context.name == "gif"
        if cleaner:
            cleaner.begin(stream.codec_context.extradata)
        try:
            for packet in container.demux(stream):
                if not packet.size or (is_gif and not gifs.has_image(bytes(packet))):
                    continue
                if packet.is_keyframe:
                    before = current
                    if packet.pts is not None and (current is not None or packet.pts == starts[0]):
                        current = segments[max(0, bisect_right(starts, packet.pts) - 1)]
                    if current is not before and current.segment_no not in staged and packet.pts != current.span.start_pts:
                        raise SourceTruncated(f"segment {current.segment_no} does not start where it was planned, at pts {current.span.start_pts}", source=str(source))
                    if cleaner:
                        cleaner.notice(packet)
                elif staged and current is not None and packet.pts is not None and packet.pts >= current.span.stop_pts:
                    current = segments[bisect_right(starts, packet.pts) - 1]  # the rest of its GOP is encoded
                if current is not None and current.segment_no not in staged and not packet.is_discard and not (staged and _is_before(packet, current)):
                    yield current.segment_no, packet
        except faults.MediaFault as error:
            raise faults.reading(error, source, f"segment {current.segment_no if current else None}") from error


def _is_before(packet, segment: Segment) -> bool:
    """True for pictures of an open GOP that are shown before its keyframe, with which the segment starts: they are encoded in the segment before."""
    return packet.pts is not None and packet.pts < segment.span.start_pts


@dataclass
class _Cleaner:
    """Takes user data out of copied packets and puts parameter sets where they are needed."""

    codec: str
    mixed: bool
    captions: bool
    _prefix: int = 0
    _sets: list[bytes] = field(default_factory=list)

    def begin(self, extradata: bytes | None) -> None:
        if self.codec in _DELIMITERS:
            self._prefix = nal.length_size(self.codec, extradata)
            self._sets = nal.parameter_sets(self.codec, extradata)

    def notice(self, packet) -> None:
        """Remembers the parameter sets of a keyframe, also of one that is not copied: they hold from there on."""
        if self.mixed and self.codec in _DELIMITERS:
            found = [u for u in nal.split(bytes(packet), self._prefix) if nal.is_parameter_set(self.codec, u)]
            kinds = {nal.unit_type(self.codec, u) for u in found}
            self._sets = [u for u in self._sets if nal.unit_type(self.codec, u) not in kinds] + found

    def clean(self, packet) -> CodedPacket:
        payload = bytes(packet)
        if self.codec in _DELIMITERS:
            units = (nal.without_user_data(self.codec, unit, captions=self.captions) for unit in nal.split(payload, self._prefix))
            kept = [unit for unit in units if unit is not None]
            if self.mixed and packet.is_keyframe:  # at each, so that a player may also seek to it
                kept = self._with_sets(kept)
            payload = nal.join(kept)
        else:
            payload = traces.clean_packet(self.codec, payload)
        return CodedPacket(packet.pts, packet.is_keyframe, payload)

    def _with_sets(self, units: list[bytes]) -> list[bytes]:
        rest = [u for u in units if not nal.is_parameter_set(self.codec, u)]
        at = 1 if rest and nal.unit_type(self.codec, rest[0]) == _DELIMITERS[self.codec] else 0
        return rest[:at] + sorted(self._sets, key=lambda u: nal.unit_type(self.codec, u)) + rest[at:]


def _with_ends(packets: Iterator[CodedPacket], segments: Sequence[Segment], staged: Mapping[int, Path]) -> Iterator[CodedPacket]:
    """HEVC with an end of sequence before each switch between copied and encoded packets.

    A CRA after one has all frames that are not yet shown thrown away (H.265, C.5.2.2): it becomes a BLA.
    """
    pairs = pairwise(segments)
    switches = {b.span.start_pts for a, b in pairs if (a.segment_no in staged) != (b.segment_no in staged)}
    held: CodedPacket | None = None
    for packet in packets:
        is_switch = held is not None and packet.is_keyframe and packet.pts in switches
        if held is not None:
            yield replace(held, payload=held.payload + nal.START + _HEVC_END_OF_SEQUENCE) if is_switch else held
        held = replace(packet, payload=nal.as_broken_link(packet.payload)) if is_switch else packet
    if held is not None:
        yield held


def decode_times(pts: Sequence[int]) -> list[int]:
    """A dts for each pts in order of decoding: rising, never after its pts, as late as that allows.

    The sorted pts shifted by the smallest number of frames that works; in front they are continued backwards, above 0 where there is room.
    """
    ordered = sorted(pts)
    rank = {moment: n for n, moment in enumerate(ordered)}
    shift = max((n - rank[moment] for n, moment in enumerate(pts)), default=0)
    step = ordered[1] - ordered[0] if len(ordered) > 1 else 1
    if shift and ordered[0] >= shift:
        step = min(step, ordered[0] // shift)
    front = [ordered[0] - step * (shift - n) for n in range(min(shift, len(pts)))]
    return front + ordered[: len(pts) - len(front)]
