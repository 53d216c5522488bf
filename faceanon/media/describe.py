"""What a finished file is, in the terms in which it is compared with its source, and sampled pictures of it for whoever looks for leaks."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from faceanon.core.errors import SourceTruncated
from faceanon.core.picture import Picture
from faceanon.core.records import ColourTags, PacketIndex, VideoFacts
from faceanon.core.settings import PlanSettings
from faceanon.media import faults, planes
from faceanon.media.decode import PictureReader
from faceanon.media.packets import list_packets, to_index
from faceanon.media.probe import probe, probed
from faceanon.media.source import main_video, opened, prepare_decoder

MOST_SKIPPED = 16  # frames in a row that no other refers to: what H.264 and HEVC allow
_WITH_SPARE_FRAMES = ("h264", "hevc")


@dataclass(frozen=True)
class StreamSummary:
    """One stream. start and stop: of its first and after its last packet, in seconds; None where it has no packet."""

    kind: str
    codec: str
    language: str
    title: str
    attached_picture: bool
    start_s: Fraction | None
    stop_s: Fraction | None
    num_packets: int


@dataclass(frozen=True)
class MediaSummary:
    """A file as a player sees it. `frame_pts` in units of `time_base`; all times count from the same zero."""

    frame_pts: NDArray[np.int64]  # (F,) of displayed frames, rising; of an AVI, which stores none, counted from its first frame
    time_base: Fraction
    duration_s: float  # of the video: from its first frame to the end of its last
    streams: tuple[StreamSummary, ...]
    container: str
    codec: str
    width: int
    height: int
    rotation: int
    sar: Fraction
    colour: ColourTags
    pix_fmt: str
    metadata_keys: tuple[str, ...]  # of the file and, after "stream:", of its streams
    chapters: tuple[tuple[Fraction, Fraction, str], ...]
    facts: VideoFacts

    @property
    def frame_times_s(self) -> tuple[Fraction, ...]:
        """Exact times of all frames."""
        return tuple(int(pts) * self.time_base for pts in self.frame_pts)


def describe(path: Path) -> MediaSummary:
    """Raises as `probe` does: an output that is cut short does not pass as whole."""
    no_limits = PlanSettings(max_width_px=1 << 30, max_streams=1 << 30, max_duration_s=float("inf"))
    with probed(path, no_limits) as (facts, index, listing, container):
        chapters = tuple((_seconds(c["start"], c["time_base"]), _seconds(c["end"], c["time_base"]), c["metadata"].get("title", "")) for c in container.chapters())
        keys = sorted(container.metadata) + sorted(f"stream:{key}" for stream in container.streams for key in stream.metadata)
        streams = tuple(
            StreamSummary(s.kind, s.codec, s.language, s.title, s.attached_picture, *listing.spans.get(s.index, (None, None, 0))) for s in facts.streams
        )
    return MediaSummary(
        frame_pts=index.pts - index.pts[0] if facts.container == "avi" else index.pts,
        time_base=facts.time_base,
        duration_s=facts.duration_s,
        streams=streams,
        container=facts.container,
        codec=facts.codec,
        width=facts.width,
        height=facts.height,
        rotation=facts.rotation,
        sar=facts.sar,
        colour=facts.colour,
        pix_fmt=facts.pix_fmt,
        metadata_keys=tuple(dict.fromkeys(keys)),
        chapters=chapters,
        facts=facts,
    )


def _seconds(moment: int, time_base: Fraction | None) -> Fraction:
    return moment * (time_base or Fraction(1))


def sample_pictures(path: Path, facts: VideoFacts | None, every_s: float) -> Iterator[Picture]:
    """The first frame, every frame at least `every_s` after the one sampled before, and the last; `index` is the number of the displayed frame.

    Of H.264 and HEVC only frames that others refer to are decoded, and of a GOP nothing beyond its last sample where that is its keyframe: a sample,
    the last one too, may then be up to MOST_SKIPPED frames from where it would be.
    """
    if facts is None:
        facts, _ = probe(path, PlanSettings())
    yield from sampled_reader(path, facts, every_s)


@dataclass
class _Schedule:
    """Which frames are sampled: the first, each that is shown `step` after the one sampled before, and the last."""

    step: Fraction  # units of the time base
    last_frame: int
    newest_pts: int | None = None  # of the frames that were sampled

    def is_due(self, pts: int) -> bool:
        return self.newest_pts is None or pts >= self.newest_pts + self.step

    def takes(self, frame: int, pts: int) -> bool:
        if not self.is_due(pts) and frame != self.last_frame:
            return False
        self.newest_pts = pts
        return True


class SampledReader(Iterator[Picture]):
    """What `sample_pictures` goes through, where frames that no sample needs are left out. decode_errors: as of a PictureReader."""

    def __init__(self, path: Path, facts: VideoFacts, index: PacketIndex, schedule: _Schedule) -> None:
        self.decode_errors = 0
        self._pictures = self._read(path, facts, index, schedule)

    def __next__(self) -> Picture:
        return next(self._pictures)

    def close(self) -> None:
        """Lets go of the file before the end."""
        self._pictures.close()

    def _read(self, path: Path, facts: VideoFacts, index: PacketIndex, schedule: _Schedule) -> Generator[Picture, None, None]:
        form, last_frame = planes.plane_format(facts), schedule.last_frame
        number, newest = -1, None
        with opened(path) as container:
            stream = main_video(container, path)
            prepare_decoder(stream)
            stream.codec_context.skip_frame = "NONREF"
            for frame in _of_sampled_gops(container, stream, path, index, schedule):
                found = int(np.searchsorted(index.pts, frame.pts)) if frame.pts is not None else len(index.pts)
                if found > last_frame or index.pts[found] != frame.pts:
                    continue  # cut off by an edit list
                number = found
                self.decode_errors += frame.is_corrupt
                newest = (number, frame)
                if schedule.takes(number, frame.pts):
                    yield Picture(number, frame.pts, planes.from_frame(frame, facts, writable=False), form)
                    newest = None
        if number < last_frame - MOST_SKIPPED:
            raise SourceTruncated(f"frames {number + 1} to {last_frame} of {last_frame + 1} do not decode", source=str(path))
        if newest is not None:
            number, frame = newest
            yield Picture(number, frame.pts, planes.from_frame(frame, facts, writable=False), form)


def _of_sampled_gops(container: Any, stream: Any, path: Path, index: PacketIndex, schedule: _Schedule) -> Iterator[av.VideoFrame]:
    """Frames in order, without GOPs, and parts of one behind its keyframe, of which nothing is due.

    At each clean keyframe the decoder is emptied, so that it is known what is.
    """
    starts = index.pts[index.is_clean_start].tolist()
    stops = dict(pairwise(starts))
    decoder, skips, count = stream.codec_context, False, 0
    try:
        for packet in container.demux(stream):
            if packet.is_keyframe and packet.pts in stops:  # the last GOP, which holds the last sample, is not left out
                for frame in decoder.decode(None):
                    count += 1
                    yield frame
                decoder.flush_buffers()
                stop = stops[packet.pts]
                skips = not schedule.is_due(stop - 1)
                if not skips and schedule.is_due(packet.pts):
                    skips = packet.pts + schedule.step > stop - 1
                elif skips:
                    continue
            elif packet.is_keyframe and starts and packet.pts == starts[-1]:
                skips = False
            elif skips and packet.size:
                continue
            if not packet.size and packet.dts is not None:
                continue
            for frame in decoder.decode(packet):
                count += 1
                yield frame
    except faults.MediaFault as error:
        raise faults.reading(error, path, f"decoded frame {count}") from error


def sampled_reader(path: Path, facts: VideoFacts, every_s: float) -> PictureReader | SampledReader:
    """What `sample_pictures` goes through."""
    schedule = _Schedule(Fraction(every_s).limit_denominator(1_000_000) / facts.time_base, facts.num_frames_from_content - 1)
    index = _exact_index(path, facts) if facts.codec in _WITH_SPARE_FRAMES else None
    if index is None:
        return PictureReader(path, facts, None, 0, writable=False, wanted=schedule.takes)
    return SampledReader(path, facts, index, schedule)


def _exact_index(path: Path, facts: VideoFacts) -> PacketIndex | None:
    """Where packets alone say which frame has which number."""
    if facts.container == "avi":
        return None
    with opened(path) as container:
        index = to_index(list_packets(container, main_video(container, path), path))
    return index if index.trustworthy and len(index.pts) == facts.num_frames_from_content else None
