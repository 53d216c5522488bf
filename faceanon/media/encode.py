"""Pictures of one segment in, a file of encoded packets out: the source's codec family, pixel format, colour tags and exact pts.

The first packet is a keyframe and nothing refers beyond the segment, so that segments can stand side by side; H.264 and HEVC carry
their parameter sets in the packets. Same pictures, settings and thread count: same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import av
from av.codec.context import Flags

from faceanon.core.errors import SourceUnsupported
from faceanon.core.picture import Picture, PxBox
from faceanon.core.records import VideoFacts
from faceanon.core.settings import EncodeSettings
from faceanon.media import faults, nal
from faceanon.media.encoders import EncoderPlan, plan_encoder
from faceanon.media.planes import coded_box, painted_format, to_frame
from faceanon.media.staging import CodedPacket, StagedHeader, write_end, write_header, write_packet

_LAMBDA = 118  # FF_QP2LAMBDA: FFmpeg's unit of quality for one step of the quantizer
_BLOCK_PX = 16
_MORE_BITS_PX = 64, 192  # width of painted patches, from which on fewer, and no more bits than others are wanted
_MORE_BITS = -0.12  # of the quantizer's range: 6 steps of 51
_PICTURE_STARTS = (b"\x00\x00\x01\xb3", b"\x00\x00\x01\xb6")  # MPEG-4: group, picture; before them stands the header


def can_write(facts: VideoFacts) -> None:
    """Raises SourceUnsupported, before work starts, where the encoder would refuse the video."""
    plan = plan_encoder(facts, EncodeSettings())
    with faults.writing(Path(f"{facts.codec} {facts.width} x {facts.height} {facts.pix_fmt}"), "encoding"):
        context = open_encoder(facts, plan, EncodeSettings(threads=1))
        context.open()


class SegmentWriter:
    """Writes one segment to `path`; a context manager. Leaving by an exception deletes the file."""

    def __init__(self, path: Path, facts: VideoFacts, settings: EncodeSettings) -> None:
        self._path, self._facts = path, facts
        self._plan = plan_encoder(facts, settings)
        self._context = open_encoder(facts, self._plan, settings)
        self._fields = _Fields(self._plan) if self._plan.top_field_first is not None else None
        self._regions = _Regions() if self._plan.spends_by_region else None
        self._times: list[int] = []
        self._written = 0
        self._file = path.open("wb")

    def __enter__(self) -> SegmentWriter:
        return self

    def write(self, picture: Picture, faces: Sequence[PxBox] = ()) -> None:
        """The next picture in order of display; its planes are read before the call returns. faces: boxes (x0, y0, x1, y1) px that are worth more bits."""
        frame = to_frame(picture.planes, painted_format(self._facts.pix_fmt), self._facts.rotation)
        if frame.format.name != self._plan.pix_fmt:
            frame = frame.reformat(format=self._plan.pix_fmt)
        frame.pts, frame.time_base = len(self._times), 1 / self._plan.rate
        frame.color_range, frame.colorspace = self._context.color_range, self._context.colorspace
        frame.color_primaries, frame.color_trc = self._context.color_primaries, self._context.color_trc
        self._times.append(picture.pts)
        if faces and self._regions is not None:
            frame = self._regions.mark(frame, [coded_box(face, picture.width, picture.height, self._facts.rotation) for face in faces])
        self._encode(self._fields.mark(frame) if self._fields else frame)

    def _encode(self, frame: av.VideoFrame | None) -> None:
        with faults.writing(self._path, "encoding"):
            packets = self._context.encode(frame)
        for packet in packets:
            payload = bytes(packet)
            if not self._written:
                write_header(self._file, self._header(payload))
            write_packet(self._file, CodedPacket(self._times[packet.pts or 0], packet.is_keyframe, self._cleaned(payload)))
            self._written += 1

    def _cleaned(self, payload: bytes) -> bytes:
        codec = self._plan.codec
        if codec not in ("h264", "hevc"):
            return payload
        units = (nal.without_user_data(codec, unit, captions=False) for unit in nal.split(payload, 0))
        return nal.join(unit for unit in units if unit is not None)

    def _header(self, first: bytes) -> StagedHeader:
        extradata = self._context.extradata or b""
        if self._plan.codec == "mpeg4":
            extradata = first[: max(0, min(first.find(mark) for mark in _PICTURE_STARTS if mark in first))]
        return StagedHeader(self._plan.codec, self._plan.pix_fmt, self._facts.width, self._facts.height, extradata.hex())

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self._encode(None)
                self._finish()
        except BaseException:
            self._discard()
            raise
        if kind is not None:
            self._discard()

    def _finish(self) -> None:
        if self._written != len(self._times) or not self._written:
            raise SourceUnsupported(f"the encoder gave {self._written} packets for {len(self._times)} frames", source=str(self._path))
        write_end(self._file, self._written)
        self._file.close()

    def _discard(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)


def open_encoder(facts: VideoFacts, plan: EncoderPlan, settings: EncodeSettings) -> av.VideoCodecContext:
    """An encoder, set up but not yet opened."""
    context: Any = av.CodecContext.create(plan.encoder, "w")
    context.width, context.height, context.pix_fmt = facts.width, facts.height, plan.pix_fmt
    context.framerate, context.time_base, context.gop_size = plan.rate, 1 / plan.rate, plan.gop
    context.sample_aspect_ratio = facts.sar
    colour = replace(facts.colour, colour_range=facts.colour.colour_range or (2 if "yuvj" in plan.pix_fmt else 0))
    context.color_range, context.colorspace = colour.colour_range, colour.matrix
    context.color_primaries, context.color_trc = colour.primaries, colour.transfer
    context.thread_count = settings.threads
    context.thread_type = "FRAME" if plan.encoder == "libx264" else "SLICE"  # slices would cost x264 quality
    context.flags |= Flags.bitexact | (Flags.global_header if plan.global_header else 0)
    if plan.quantizer:
        context.qscale, context.global_quality = True, plan.quantizer * _LAMBDA
    if plan.top_field_first is not None:
        context.flags |= Flags.interlaced_dct | Flags.interlaced_me
        context.field_order = 2 if plan.top_field_first else 3
    context.options = dict(plan.options)
    return context


class _Regions:
    """Marks where a frame is worth more bits, by FFmpeg's addroi filter: painted faces, the more the smaller they are.

    A new face is told by a few px, and a second encoding at the source's own rate takes just these: on eleven clips the embedding of a face 53 px wide moved
    by .18 from painted to encoded, which made a steady face as unsteady as the original. Of large faces nothing is lost.
    """

    def __init__(self) -> None:
        self._graph: Any = None
        self._key: tuple = ()

    def mark(self, frame: av.VideoFrame, faces: Sequence[PxBox]) -> av.VideoFrame:
        wanted = tuple(sorted(filter(None, (_region(face, frame.width, frame.height) for face in faces))))  # of two at one place the first counts
        if not wanted:
            return frame
        if wanted != self._key:
            self._graph, self._key = _graph(frame, [("addroi", f"x={x}:y={y}:w={w}:h={h}:qoffset={offset}") for offset, x, y, w, h in wanted]), wanted
        self._graph.push(frame)
        return self._graph.pull()


def _region(face: PxBox, width: int, height: int) -> tuple[float, int, int, int, int] | None:
    """The quantizer's offset as a share of its range, then x, y, width and height in whole blocks; None for a face that needs none."""
    x0, y0, x1, y1 = face
    small, large = _MORE_BITS_PX
    share = min(1.0, (large - (x1 - x0)) / (large - small))
    if share <= 0:
        return None
    left, top = x0 // _BLOCK_PX * _BLOCK_PX, y0 // _BLOCK_PX * _BLOCK_PX
    right, bottom = min(width, -(-x1 // _BLOCK_PX) * _BLOCK_PX), min(height, -(-y1 // _BLOCK_PX) * _BLOCK_PX)
    return round(_MORE_BITS * share, 2), left, top, right - left, bottom - top


def _graph(frame: av.VideoFrame, filters: Sequence[tuple[str, str]]) -> Any:
    """A chain of filters for frames like this one."""
    graph = av.filter.Graph()
    nodes = [graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base)]
    nodes += [graph.add(name, options) for name, options in filters]
    graph.link_nodes(*nodes, graph.add("buffersink")).configure()
    return graph


class _Fields:
    """Marks frames as interlaced; PyAV has no setter, FFmpeg's setfield filter does it."""

    def __init__(self, plan: EncoderPlan) -> None:
        self._plan = plan
        self._graph: Any = None

    def mark(self, frame: av.VideoFrame) -> av.VideoFrame:
        if self._graph is None:
            self._graph = _graph(frame, [("setfield", "tff" if self._plan.top_field_first else "bff")])
        self._graph.push(frame)
        return self._graph.pull()
