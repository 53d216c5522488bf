"""The output file: staged and copied segments joined, with the source's sound, subtitles and chapters, and without its traces.

The container is the source's. Sound and subtitles are copied packet by packet with their times. Attached pictures, further video
streams, data and attachments are left out and named; of metadata only an allow-list stays. Same inputs: same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import av

from faceanon.core.records import OutputFacts, Segment, VideoFacts
from faceanon.core.settings import EncodeSettings
from faceanon.media import boxes, faults, nal, tags, traces
from faceanon.media.encoders import muxer, plan_encoder
from faceanon.media.joined import decode_times, joined_packets, joined_times
from faceanon.media.mixing import starts_clean
from faceanon.media.palettes import gif_packets
from faceanon.media.source import main_video, opened
from faceanon.media.staging import CodedPacket, StagedHeader, read_header, read_packets

_BITEXACT: Any = av.container.Flags.bitexact.value
_NAL_CODECS = ("h264", "hevc")


def stitch(source: Path, facts: VideoFacts, segments: Sequence[Segment], staged: Mapping[int, Path], out: Path, settings: EncodeSettings) -> OutputFacts:
    """Writes `out`. Segments missing from `staged` are copied; `mixing.choose_copies` says which may be.

    Raises SourceUnsupported where the muxer refuses, SourceTruncated where the source no longer reads as planned. A half-written file is deleted.
    """
    _check_copies(segments, staged)
    try:
        with opened(source) as container:
            carried = _Output(source, container, facts, segments, staged, out, settings)
            with faults.writing(out, f"writing {facts.codec} in {facts.container}"):
                carried.write()
    except BaseException:
        out.unlink(missing_ok=True)
        raise
    with out.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return OutputFacts(
        sha256=sha256,
        size=out.stat().st_size,
        codec=plan_encoder(facts, settings).codec if staged and facts.codec != "gif" else facts.codec,
        container=facts.container,
        num_frames=facts.num_frames_from_content,
        audio_action=carried.action("audio"),
        subtitle_action=carried.action("subtitle"),
        stripped=tuple(sorted(carried.stripped)),
        dropped_streams=tuple(carried.dropped),
        copied_segments=len(segments) - len(staged),
        encoded_segments=len(staged),
    )


def _check_copies(segments: Sequence[Segment], staged: Mapping[int, Path]) -> None:
    wrong = [s.segment_no for s in segments if s.segment_no not in staged and not s.copyable]
    if wrong and (staged or not starts_clean(segments)):
        raise ValueError(f"segments to copy that cannot be cut out: got {wrong = }")


class _Output:
    """One output file while it is written."""

    def __init__(self, source: Path, container, facts: VideoFacts, segments: Sequence[Segment], staged: Mapping[int, Path], out: Path, settings: EncodeSettings) -> None:
        self._source, self._container, self._facts, self._segments = source, container, facts, segments
        self._staged, self._path, self._settings = staged, out, settings
        self._video = main_video(container, source)
        self.dropped: list[str] = []
        self.stripped: set[str] = set()
        self._streams: dict[int, object] = {}  # source index -> output stream

    def write(self) -> None:
        self._times = joined_times(self._source, self._segments, self._staged)
        options = {"fflags": "+bitexact", **_muxer_options(self._facts, self._source, max(self._times))}
        with av.open(f"file:{self._path}", "w", format=muxer(self._facts), container_options=options) as out:
            out.flags |= _BITEXACT
            self._add_streams(out)
            self._add_chapters(out)
            self._note_tags()
            out.start_encoding()
            self._mux(out)

    def action(self, kind: str) -> str:
        """What became of the sound or the subtitles, in one word."""
        present = [s for s in self._facts.streams if s.kind == kind]
        if not present:
            return "none"
        setting = self._settings.audio if kind == "audio" else self._settings.subtitles
        if setting != "copy":
            return "muted" if kind == "audio" else "dropped"
        return "copied" if all(s.index in self._streams for s in present) else "copied in part" if any(s.index in self._streams for s in present) else "dropped"

    def _add_streams(self, out) -> None:
        for stream in self._container.streams:
            if stream.index == self._video.index:
                self._out_video = self._add_video(out)
            elif (reason := self._drop_reason(stream)) or not self._add_copy(out, stream):
                self.dropped.append(f"{stream.index}: {_kind(stream)}" + (f" ({reason})" if reason else " (the container cannot hold it)"))
                if stream.type == "data":
                    self.stripped.add("data stream")

    def _drop_reason(self, stream) -> str:
        if stream.type == "video":
            return "attached picture" if stream.disposition & av.stream.Disposition.attached_pic else "further video"
        if stream.type == "audio":
            return "muted" if self._settings.audio == "mute" else ""
        if stream.type == "subtitle":
            return "subtitles are dropped" if self._settings.subtitles == "drop" else ""
        return "not part of the picture or sound"

    def _add_copy(self, out, stream) -> bool:
        if stream.codec_context is None:
            return False
        try:
            copy = out.add_stream_from_template(stream, opaque=True)
        except ValueError:
            return False
        copy.time_base, copy.disposition = stream.time_base, stream.disposition
        copy.metadata.update(tags.kept(stream.metadata))
        self._streams[stream.index] = copy
        return True

    def _add_video(self, out):
        facts = self._facts
        header = read_header(next(iter(self._staged.values()))) if self._staged and facts.codec != "gif" else None
        if header and header.codec != facts.codec:
            stream = out.add_mux_stream(header.codec, rate=facts.average_rate or 25, width=facts.width, height=facts.height)
        else:
            stream = out.add_stream_from_template(self._video, opaque=True)
            self._set_up(stream.codec_context, header)
        stream.time_base, stream.disposition = facts.time_base, self._video.disposition
        stream.metadata.update(tags.kept(self._video.metadata))
        return stream

    def _set_up(self, context, header: StagedHeader | None) -> None:
        facts = self._facts
        context.sample_aspect_ratio = facts.sar
        if facts.average_rate:
            context.framerate = facts.average_rate
        context.color_range, context.colorspace = facts.colour.colour_range, facts.colour.matrix
        context.color_primaries, context.color_trc = facts.colour.primaries, facts.colour.transfer
        if facts.codec in _NAL_CODECS:
            context.extradata = nal.join(self._parameter_sets()) or None
        elif header and header.extradata:
            context.extradata = bytes.fromhex(header.extradata)
        elif context.extradata:
            context.extradata = traces.clean_header(facts.codec, context.extradata)
        if header and header.pix_fmt != facts.pix_fmt:
            context.pix_fmt = header.pix_fmt
        mixed = 0 < len(self._staged) < len(self._segments)
        if facts.codec == "hevc" and facts.container in ("mp4", "mov"):
            context.codec_tag = "hev1" if mixed else "hvc1"  # hev1 allows parameter sets in the packets to differ
        elif not self._staged and facts.container == "avi":
            context.codec_tag = self._video.codec_context.codec_tag  # decoders tell encoders' bugs by it

    def _parameter_sets(self) -> list[bytes]:
        """For the container's header: the source's and the encoder's side by side where their numbers differ, else those that come first."""
        codec = self._facts.codec
        theirs = nal.parameter_sets(codec, self._video.codec_context.extradata) if len(self._staged) < len(self._segments) else []
        ours: list[bytes] = []
        if self._staged:
            first = next(read_packets(self._staged[min(self._staged)]))
            ours = [u for u in nal.split(first.payload, 0) if nal.is_parameter_set(codec, u)]
        if not theirs or not ours:
            return theirs or ours
        if codec == "h264":
            ids = [{nal.set_id(u) for u in sets if nal.unit_type(codec, u) == 7} for sets in (theirs, ours)]
            if not ids[0] & ids[1]:
                return sorted(theirs + ours, key=lambda u: nal.unit_type(codec, u))
        return ours if self._segments[0].segment_no in self._staged else theirs

    def _add_chapters(self, out) -> None:
        chapters = self._container.chapters()
        if chapters:
            out.set_chapters([{**c, "metadata": {k: v for k, v in c["metadata"].items() if k == "title"}} for c in chapters])

    def _note_tags(self) -> None:
        self.stripped |= tags.removed_words(self._container.metadata)
        for stream in self._container.streams:
            self.stripped |= tags.removed_words(k for k in stream.metadata if k not in tags.KEPT_OF_STREAM)

    def _mux(self, out) -> None:
        """Video and the rest merged by decoding time."""
        video = self._video_packets()
        waiting = next(video, None)
        for packet in self._other_packets():
            moment = int(packet.dts or 0) * packet.time_base
            while waiting is not None and int(waiting.dts or 0) * self._facts.time_base <= moment:
                out.mux(waiting)
                waiting = next(video, None)
            packet.stream = self._streams[packet.stream_index]
            out.mux(packet)
        while waiting is not None:
            out.mux(waiting)
            waiting = next(video, None)

    def _other_packets(self) -> Iterator[Any]:
        streams = [self._container.streams[n] for n in self._streams]
        if not streams:
            return
        try:
            for packet in self._container.demux(streams):
                if packet.size and not _is_empty_text(packet) and (packet.dts is not None or packet.pts is not None):
                    if packet.dts is None:
                        packet.dts = packet.pts
                    yield packet
        except faults.MediaFault as error:
            raise faults.reading(error, self._source, "the sound or subtitles") from error

    def _video_packets(self) -> Iterator[av.Packet]:
        times = self._times
        decoding = decode_times(times)
        shift = times[0] - self._first_slot() if self._facts.container == "avi" else 0
        ordered = sorted(times)
        following = dict(zip(ordered, [*ordered[1:], max(self._facts.stop_pts, ordered[-1] + 1)], strict=True))
        if self._facts.container in ("mp4", "mov"):  # there durations are steps of decoding; the last one must end where the video ends
            following[times[-1]] = times[-1] + max(1, self._facts.stop_pts - ordered[0] - (decoding[-1] - decoding[0]))
        for coded, dts in zip(self._coded_packets(), decoding, strict=True):
            packet = av.Packet(coded.payload)
            packet.stream, packet.time_base = self._out_video, self._facts.time_base
            packet.pts, packet.dts, packet.duration = coded.pts - shift, dts - shift, following[coded.pts] - coded.pts
            packet.is_keyframe = coded.is_keyframe
            yield packet

    def _first_slot(self) -> int:
        """AVI stores no times but a place in a row; where FFmpeg expects B-frames it counts on from the place."""
        with opened(self._source) as container:
            first = next((p for p in container.demux(main_video(container, self._source)) if p.size), None)
            return first.dts if first is not None and first.dts is not None else self._facts.first_pts

    def _coded_packets(self) -> Iterator[CodedPacket]:
        if self._facts.codec == "gif" and self._staged:
            return gif_packets(self._staged[min(self._staged)], self._facts)
        captions = self._settings.subtitles == "copy"
        return joined_packets(self._source, self._facts, self._segments, self._staged, captions=captions)


def _is_empty_text(packet) -> bool:
    """True for the samples that fill the gaps between subtitles in mp4; the muxer makes them anew."""
    return packet.stream.type == "subtitle" and packet.stream.codec_context.name == "mov_text" and bytes(packet) == b"\x00\x00"


def _kind(stream) -> str:
    name = stream.codec_context.codec.canonical_name if stream.codec_context is not None else stream.metadata.get("filename", "")
    return f"{stream.type} {name}".strip()


def _muxer_options(facts: VideoFacts, source: Path, last_pts: int) -> dict[str, str]:
    if facts.container in ("mp4", "mov"):
        return {"movflags": "+faststart", "write_tmcd": "0"}
    if facts.container == "mpegts":
        return {"mpegts_copyts": "1", "muxdelay": "0"}
    if facts.container == "gif":
        loops = boxes.loop_count(source)
        return {"loop": "-1" if loops is None else str(loops), "final_delay": str(max(1, facts.stop_pts - last_pts))}
    return {}
