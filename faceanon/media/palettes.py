"""A GIF from losslessly staged pictures: each frame gets its own palette, dithered in a fixed pattern that does not crawl in time."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from faceanon.core.records import VideoFacts
from faceanon.media.staging import CodedPacket, read_header, read_packets


def gif_packets(staged: Path, facts: VideoFacts) -> Iterator[CodedPacket]:
    """The frames of one staged file as GIF packets, one for each."""
    encoder: Any = av.CodecContext.create("gif", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = facts.width, facts.height, "pal8", facts.time_base
    encoder.framerate = facts.average_rate or Fraction(10)
    encoder.flags |= av.codec.context.Flags.bitexact
    for frame in _coloured(_decoded(staged), facts):
        for packet in encoder.encode(frame):
            yield CodedPacket(packet.pts, packet.is_keyframe, bytes(packet))
    for packet in encoder.encode(None):
        yield CodedPacket(packet.pts, packet.is_keyframe, bytes(packet))


def _decoded(staged: Path) -> Iterator[av.VideoFrame]:
    header = read_header(staged)
    decoder: Any = av.CodecContext.create(header.codec, "r")
    decoder.width, decoder.height, decoder.thread_count = header.width, header.height, 1
    if header.extradata:
        decoder.extradata = bytes.fromhex(header.extradata)
    for packet in read_packets(staged):
        coded = av.Packet(packet.payload)
        coded.pts = coded.dts = packet.pts
        yield from decoder.decode(coded)
    yield from decoder.decode(None)


def _coloured(frames: Iterator[av.VideoFrame], facts: VideoFacts) -> Iterator[av.VideoFrame]:
    graph = None
    for frame in frames:
        frame.time_base = facts.time_base
        graph = graph or _graph(frame)
        graph.push(frame)
        yield graph.pull()


def _graph(frame: av.VideoFrame):
    graph = av.filter.Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base)
    rgb, split = graph.add("format", "pix_fmts=bgra"), graph.add("split", "2")
    palette = graph.add("palettegen", "stats_mode=single:reserve_transparent=0")
    use, sink = graph.add("paletteuse", "new=1:dither=bayer:bayer_scale=4"), graph.add("buffersink")
    graph.link_nodes(source, rgb, split)
    split.link_to(use, 0, 0)
    split.link_to(palette, 1, 0)
    palette.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    return graph
