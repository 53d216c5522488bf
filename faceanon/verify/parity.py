"""Is the output the same video as its source, but for the faces? Two summaries in, sentences about what differs out.

Time is compared exactly. A common shift of all frames is allowed, since players show a file from its first frame on; how far sound and
picture are apart is compared on its own. Only where the output's time base cannot express a source time (Matroska and WebM count
milliseconds, AVI frames, GIF hundredths) a frame may be off, by half a tick of that time base and no more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import lcm
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from faceanon.core.records import ColourTags
from faceanon.core.settings import Settings

_SOUND_SLACK_S = Fraction(1, 20)  # one or two packets of sound; below what lips show
_DURATION_SLACK_S = 0.1  # the last frame's length is a guess in many containers; frame times are compared on their own, exactly
_NEAREST = {"msmpeg4v1": "mpeg4", "msmpeg4v2": "mpeg4", "msmpeg4v3": "mpeg4", "h263": "mpeg4"}  # codecs without an encoder, by the family that stands in
_UNSPECIFIED = {"colour_range": 0, "matrix": 2, "primaries": 2, "transfer": 2}
_NAMES = {"colour_range": "colour range", "matrix": "colour matrix", "primaries": "colour primaries", "transfer": "colour transfer"}
_PRIVATE = (
    "location", "gps", "xyz", "coordinates", "make", "model", "device", "serial", "artist", "author", "performer", "owner", "comment", "description", "creation_time",
)  # fmt: skip


class Stream(Protocol):
    """One stream of a summary. Times count from the same zero as frames; None where it has no packet."""

    kind: str
    codec: str
    attached_picture: bool
    start_s: Fraction | None
    stop_s: Fraction | None
    num_packets: int


class Summary(Protocol):
    """A media file as a player sees it; media.describe makes these. Frames are in order of display."""

    frame_pts: NDArray[np.int64]  # (F,)
    time_base: Fraction
    duration_s: float  # of the video
    container: str
    codec: str
    width: int
    height: int
    rotation: int
    sar: Fraction
    colour: ColourTags
    metadata_keys: Sequence[str]
    chapters: Sequence[tuple[Fraction, Fraction, str]]

    @property
    def streams(self) -> Sequence[Stream]: ...


def compare(source: Summary, output: Summary, settings: Settings) -> tuple[str, ...]:
    """Everything in which `output` is not what `source` and the settings ask for, each a sentence for a person; empty where all is well."""
    return (
        *_frames(source, output),
        *_picture(source, output),
        *_colour(source.colour, output.colour),
        *_video_alone(output),
        *_carried(source, output, "audio", settings.encode.audio == "copy"),
        *_carried(source, output, "subtitle", settings.encode.subtitles == "copy"),
        *(_sound(source, output) if settings.encode.audio == "copy" else ()),
        *_chapters(source, output),
        *_duration(source, output),
    )


def _frames(source: Summary, output: Summary) -> Iterator[str]:
    if len(source.frame_pts) != len(output.frame_pts):
        yield f"the output has {len(output.frame_pts)} frames, the source {len(source.frame_pts)}"
        return
    if not len(source.frame_pts):
        return
    ticks = lcm(source.time_base.denominator, output.time_base.denominator)
    wanted, got = _in_ticks(source, ticks), _in_ticks(output, ticks)
    step = output.time_base.numerator * (ticks // output.time_base.denominator)
    exact = not np.any((wanted - wanted[0]) % step)
    off = (got - got[0]) - (wanted - wanted[0])
    spread = int(off.max() - off.min())
    if spread > (0 if exact else step):  # all within half a tick of one common shift
        frame = int(np.argmax(abs(off)))
        rounding = "" if exact else f", more than the container's rounding to {float(output.time_base):g} s explains"
        yield (
            f"frame {frame} is shown {float(Fraction(int(got[frame] - got[0]), ticks)):.6f} s after the first frame, "
            f"in the source {float(Fraction(int(wanted[frame] - wanted[0]), ticks)):.6f} s{rounding}"
        )


def _in_ticks(summary: Summary, ticks: int) -> NDArray:
    """Times as whole numbers of 1/ticks s; Python's own integers where 64 bits do not hold them."""
    factor = summary.time_base.numerator * (ticks // summary.time_base.denominator)
    pts = np.asarray(summary.frame_pts, np.int64)
    large = int(abs(pts).max()) * factor >= 1 << 62
    return (pts.astype(object) if large else pts) * factor


def _picture(source: Summary, output: Summary) -> Iterator[str]:
    if (_NEAREST.get(source.codec, source.codec), source.container) != (_NEAREST.get(output.codec, output.codec), output.container):
        yield f"the output is {output.codec} in {output.container}, the source {source.codec} in {source.container}"
    if (source.width, source.height) != (output.width, output.height):
        yield f"the output is {output.width}x{output.height}, the source {source.width}x{source.height}"
    if source.rotation != output.rotation:
        yield f"the output is rotated by {output.rotation} degrees, the source by {source.rotation}"
    if (source.sar or 1) != (output.sar or 1):
        yield f"the output's pixels have the shape {output.sar or 1}, the source's {source.sar or 1}"


def _colour(source: ColourTags, output: ColourTags) -> Iterator[str]:
    """A tag must be kept. Where the source has none the output has none; limited range alone may be said, since it is what none means."""
    for tag, unspecified in _UNSPECIFIED.items():
        was, now = getattr(source, tag), getattr(output, tag)
        harmless = tag == "colour_range" and {was, now} == {0, 1}
        if was != now and not harmless:
            said = [("none" if value == unspecified else str(value)) for value in (now, was)]
            yield f"the {_NAMES[tag]} of the output is {said[0]}, of the source {said[1]}"


def _video_alone(output: Summary) -> Iterator[str]:
    """One video stream, sound and subtitles, and nothing else: data, attachments, cover pictures and tags may show or name a person."""
    videos = [s for s in output.streams if s.kind == "video"]
    if len(videos) != 1:
        yield f"the output has {len(videos)} video streams"
    for stream in output.streams:
        if stream.attached_picture or not (stream.kind in ("video", "audio", "subtitle") or _holds_chapters(stream, output)):
            yield f"the output has {'an attached picture' if stream.attached_picture else f'a stream of kind {stream.kind}'}"
    for key in output.metadata_keys:
        if any(word in key.lower() for word in _PRIVATE):
            yield f"the output has the tag {key}"


def _holds_chapters(stream: Stream, output: Summary) -> bool:
    """MP4 and MOV tell chapters by a text track too; FFmpeg calls it data and keeps its packets, one a title, to itself."""
    return output.container in ("mp4", "mov") and stream.kind == "data" and bool(output.chapters) and stream.num_packets <= len(output.chapters)


def _carried(source: Summary, output: Summary, kind: str, copied: bool) -> Iterator[str]:
    """Streams of sound or subtitles, by policy. Those that are empty, or in no codec that has a name, may be missing: no muxer takes them."""
    was, now = ([s.codec for s in summary.streams if s.kind == kind and s.num_packets and s.codec] for summary in (source, output))
    if copied and was != now:
        yield f"the output has the {kind} streams {', '.join(now) or 'none'}, the source {', '.join(was) or 'none'}"
    if not copied and now:
        yield f"the output has {len(now)} {kind} streams, which should be left out"


def _sound(source: Summary, output: Summary) -> Iterator[str]:
    """Each copied sound track begins and ends as far from the first frame as in the source."""
    pairs = zip(*([s for s in summary.streams if s.kind == "audio" and s.num_packets and s.codec] for summary in (source, output)), strict=False)
    for number, (was, now) in enumerate(pairs):
        for what in ("start", "stop"):
            wanted, got = (_after_first_frame(s, getattr(stream, f"{what}_s")) for s, stream in ((source, was), (output, now)))
            if wanted is not None and got is not None and abs(wanted - got) > _SOUND_SLACK_S:
                yield f"sound track {number} {what}s {float(got):.3f} s after the first frame, in the source {float(wanted):.3f} s"


def _after_first_frame(summary: Summary, moment_s: Fraction | None) -> Fraction | None:
    if moment_s is None or not len(summary.frame_pts):
        return None
    return moment_s - int(summary.frame_pts[0]) * summary.time_base


def _chapters(source: Summary, output: Summary) -> Iterator[str]:
    if [title for *_, title in source.chapters] != [title for *_, title in output.chapters]:
        yield f"the output has {len(output.chapters)} chapters, the source {len(source.chapters)}, or other titles"


def _duration(source: Summary, output: Summary) -> Iterator[str]:
    if abs(output.duration_s - source.duration_s) > _DURATION_SLACK_S + 2 * _longest_frame_s(source):
        yield f"the output lasts {output.duration_s:.3f} s, the source {source.duration_s:.3f} s"


def _longest_frame_s(summary: Summary) -> float:
    return float(int(np.diff(summary.frame_pts).max()) * summary.time_base) if len(summary.frame_pts) > 1 else 0.0
