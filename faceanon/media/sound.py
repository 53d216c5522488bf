"""A film made from a source's pictures gets the source's sound, packet by packet, at its own times."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av

from faceanon.media import faults
from faceanon.media.source import opened

_BITEXACT: Any = av.container.Flags.bitexact.value


def add_sound(source: Path, film: Path, out: Path, first_pts_s: float) -> list[str]:
    """Writes `out`: the film's video, and every sound track of the source that the container of `out` can hold; the codecs of those that it cannot.

    first_pts_s: the source's time that is the film's 0. Raises SourceError where the source does not read.
    """
    refused = []
    with opened(source) as heard, opened(film) as seen, av.open(f"file:{out}", "w", container_options={"fflags": "+bitexact"}) as made:
        made.flags |= _BITEXACT
        streams = {-1: made.add_stream_from_template(seen.streams.video[0], opaque=True)}
        for stream in heard.streams.audio:
            try:
                streams[stream.index] = made.add_stream_from_template(stream, opaque=True)
                streams[stream.index].time_base = stream.time_base
            except ValueError:
                refused.append(stream.codec_context.name if stream.codec_context else "unknown")
        made.start_encoding()
        sounds = [stream for stream in heard.streams.audio if stream.index in streams]
        waiting = _sound(heard, sounds, first_pts_s, source) if sounds else iter(())
        sound = next(waiting, None)
        for packet in seen.demux(seen.streams.video[0]):
            if not packet.size:
                continue
            while sound is not None and sound.dts * sound.time_base <= packet.dts * packet.time_base:
                _mux(made, sound, streams[sound.stream_index])
                sound = next(waiting, None)
            _mux(made, packet, streams[-1])
        while sound is not None:
            _mux(made, sound, streams[sound.stream_index])
            sound = next(waiting, None)
    return refused


def _sound(container, streams, first_pts_s: float, source: Path) -> Iterator[Any]:
    try:
        for packet in container.demux(streams):
            if packet.size and packet.pts is not None:
                shift = round(first_pts_s / packet.time_base)
                packet.pts -= shift
                packet.dts = packet.pts if packet.dts is None else packet.dts - shift
                yield packet
    except faults.MediaFault as error:
        raise faults.reading(error, source, "the sound") from error


def _mux(container, packet, stream) -> None:
    packet.stream = stream
    container.mux(packet)
