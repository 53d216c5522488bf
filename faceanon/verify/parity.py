"""Is the output the same video as its source, but for the faces? Two summaries in, sentences about what differs out.

Time is compared exactly. A common shift of all frames is allowed, since players show a file from its first frame on; what audio and
video have between them is compared on its own. Only where the output's time base cannot express a source time (Matroska and WebM count
milliseconds, AVI frames, GIF hundredths) a frame may be off, by half a tick of that time base and no more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import lcm
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from faceanon.core.records import ColourTags
from faceanon.core.settings import Settings

_DURATION_SLACK_S = 0.1  # containers round, and some estimate; frame times are compared on their own, exactly
_UNSPECIFIED = {"colour_range": 0, "matrix": 2, "primaries": 2, "transfer": 2}
_NAMES = {"colour_range": "colour range", "matrix": "colour matrix", "primaries": "colour primaries", "transfer": "colour transfer"}


class Summary(Protocol):
    """A media file as its demuxer shows it; media.describe makes these. Frames are in order of display."""

    @property
    def pts(self) -> NDArray[np.int64]: ...  # (F,) of the video stream

    @property
    def time_base(self) -> Fraction: ...

    @property
    def duration_s(self) -> float: ...

    @property
    def streams(self) -> Sequence[tuple[str, str]]: ...  # (kind, codec)

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    @property
    def rotation(self) -> int: ...

    @property
    def sar(self) -> Fraction: ...

    @property
    def colour(self) -> ColourTags: ...


def compare(source: Summary, output: Summary, settings: Settings) -> tuple[str, ...]:
    """Everything in which `output` is not what `source` and the settings ask for, each a sentence for a person; empty where all is well."""
    return (
        *_frames(source, output),
        *_picture(source, output),
        *_colour(source.colour, output.colour),
        *_streams(source, output, settings),
        *_duration(source, output, settings),
    )


def _frames(source: Summary, output: Summary) -> Iterator[str]:
    if len(source.pts) != len(output.pts):
        yield f"the output has {len(output.pts)} frames, the source {len(source.pts)}"
        return
    if not len(source.pts):
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
    pts = np.asarray(summary.pts, np.int64)
    large = int(abs(pts).max()) * factor >= 1 << 62
    return (pts.astype(object) if large else pts) * factor


def _picture(source: Summary, output: Summary) -> Iterator[str]:
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


def _streams(source: Summary, output: Summary, settings: Settings) -> Iterator[str]:
    """One video stream, audio and subtitles by policy, and nothing else: data, attachments and pictures may show or name a person."""
    kinds = Counter(kind for kind, _ in output.streams)
    if kinds["video"] != 1:
        yield f"the output has {kinds['video']} video streams"
    for kind in sorted(kinds.keys() - {"video", "audio", "subtitle"}):
        yield f"the output has {kinds[kind]} {kind} streams"
    for kind, kept in (("audio", settings.encode.audio == "copy"), ("subtitle", settings.encode.subtitles == "copy")):
        was, now = ([codec for k, codec in s.streams if k == kind] for s in (source, output))
        if kept and was != now:
            yield f"the output has the {kind} streams {', '.join(now) or 'none'}, the source {', '.join(was) or 'none'}"
        if not kept and kind == "subtitle" and now:
            yield f"the output has {len(now)} subtitle streams, which should be dropped"
        if not kept and len(now) > len(was):
            yield f"the output has {len(now)} {kind} streams, the source {len(was)}"


def _duration(source: Summary, output: Summary, settings: Settings) -> Iterator[str]:
    """A stream that was taken out may have been the longest, so then the output may be shorter; never longer."""
    slack_s = _DURATION_SLACK_S + 2 * _longest_frame_s(source)
    dropped = len(output.streams) < len(source.streams)
    difference_s = output.duration_s - source.duration_s
    if difference_s > slack_s or (difference_s < -slack_s and not dropped):
        yield f"the output lasts {output.duration_s:.3f} s, the source {source.duration_s:.3f} s"


def _longest_frame_s(summary: Summary) -> float:
    return float(int(np.diff(summary.pts).max()) * summary.time_base) if len(summary.pts) > 1 else 0.0
