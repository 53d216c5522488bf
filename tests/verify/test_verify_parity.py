"""Parity: the output is the same video as its source, told exactly."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceanon.core.records import ColourTags
from faceanon.core.settings import Settings
from faceanon.verify.parity import compare


@dataclass(frozen=True)
class Media:
    pts: np.ndarray = field(default_factory=lambda: np.arange(50) * 512)
    time_base: Fraction = Fraction(1, 12800)
    duration_s: float = 2.0
    streams: tuple = (("video", "h264"), ("audio", "aac"), ("subtitle", "mov_text"))
    width: int = 640
    height: int = 360
    rotation: int = 90
    sar: Fraction = Fraction(4, 3)
    colour: ColourTags = field(default_factory=lambda: ColourTags(1, 1, 1, 1))


SOURCE = Media()


def test_the_same_video_has_no_problems():
    """Equal summaries agree."""
    assert compare(SOURCE, Media(), Settings()) == ()


def test_another_time_base_and_a_common_shift_are_the_same_video():
    """25 frames a second stay so in 1/90000 s and 1.4 s later, as MPEG-TS writes them."""
    assert compare(SOURCE, Media(pts=np.arange(50) * 3600 + 126000, time_base=Fraction(1, 90000)), Settings()) == ()


@pytest.mark.parametrize(
    ("output", "says"),
    [
        (Media(pts=np.arange(49) * 512), "the output has 49 frames, the source 50"),
        (Media(pts=np.arange(50) * 512 + (np.arange(50) == 7)), "frame 7 is shown 0.280078 s after the first frame, in the source 0.280000 s"),
        (Media(width=638), "the output is 638x360, the source 640x360"),
        (Media(rotation=0), "rotated by 0 degrees, the source by 90"),
        (Media(sar=Fraction(1)), "shape 1, the source's 4/3"),
        (Media(colour=ColourTags(1, 6, 1, 1)), "the colour matrix of the output is 6, of the source 1"),
        (Media(colour=ColourTags(1, 2, 1, 1)), "the colour matrix of the output is none, of the source 1"),
        (Media(colour=ColourTags(2, 1, 1, 1)), "the colour range of the output is 2, of the source 1"),
        (Media(streams=(*SOURCE.streams, ("video", "mjpeg"))), "2 video streams"),
        (Media(streams=(*SOURCE.streams, ("data", "bin_data"))), "1 data streams"),
        (Media(streams=(*SOURCE.streams, ("attachment", "ttf"))), "1 attachment streams"),
        (Media(streams=SOURCE.streams[::2]), "the audio streams none, the source aac"),
        (Media(streams=SOURCE.streams[:2]), "the subtitle streams none, the source mov_text"),
        (Media(duration_s=2.5), "lasts 2.500 s, the source 2.000 s"),
        (Media(duration_s=1.5), "lasts 1.500 s, the source 2.000 s"),
    ],
)
def test_each_difference_is_said(output, says):
    """Whatever differs is one sentence that names both values."""
    problems = compare(SOURCE, output, Settings())

    assert len(problems) == 1
    assert says in problems[0]


def test_policies_take_streams_out():
    """Muted audio and dropped subtitles are as asked, and a longer sound track may be gone with them."""
    policy = Settings().with_values(encode__audio="mute", encode__subtitles="drop")
    silent = Media(streams=(("video", "h264"),), duration_s=1.2)

    assert compare(SOURCE, silent, policy) == ()
    assert "should be dropped" in compare(SOURCE, SOURCE, policy)[0]


def test_limited_range_may_be_said_aloud():
    """No range tag means limited, so saying it changes nothing; saying full would."""
    source = replace(SOURCE, colour=ColourTags(0, 1, 1, 1))

    assert compare(source, replace(SOURCE, colour=ColourTags(1, 1, 1, 1)), Settings()) == ()
    assert len(compare(source, replace(SOURCE, colour=ColourTags(2, 1, 1, 1)), Settings())) == 1


NTSC = Media(pts=np.arange(50) * 1001, time_base=Fraction(1, 30000))


def test_matroska_may_round_to_its_millisecond_and_no_further():
    """30000/1001 frames a second in milliseconds: rounding passes, one frame two milliseconds off does not."""
    rounded = np.array([round(Fraction(int(p), 30000) * 1000) for p in NTSC.pts])
    late = rounded + 2 * (np.arange(50) == 20)

    assert compare(NTSC, replace(NTSC, pts=rounded, time_base=Fraction(1, 1000)), Settings()) == ()
    assert "rounding to 0.001 s" in compare(NTSC, replace(NTSC, pts=late, time_base=Fraction(1, 1000)), Settings())[0]


def test_milliseconds_copied_as_milliseconds_must_be_exact():
    """Where the output can say the time, no rounding is allowed, not even in Matroska."""
    pts = np.array([0, 33, 67, 100])
    source = replace(SOURCE, pts=pts, time_base=Fraction(1, 1000))

    assert len(compare(source, replace(source, pts=pts + (np.arange(4) == 1)), Settings())) == 1


def test_one_frame_and_none():
    """The shortest videos compare, too."""
    one, none = (replace(SOURCE, pts=np.arange(n) * 512) for n in (1, 0))

    assert compare(one, one, Settings()) == compare(none, none, Settings()) == ()


def test_huge_times_do_not_overflow():
    """Times beyond 64 bits of common ticks compare exactly."""
    pts = np.array([0, 2**50, 2**51])
    source = replace(SOURCE, pts=pts, time_base=Fraction(1, 999_983), duration_s=0.0)
    output = replace(SOURCE, pts=pts, time_base=Fraction(1, 999_979), duration_s=0.0)

    assert compare(source, source, Settings()) == ()
    assert len(compare(source, output, Settings())) == 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 5000), min_size=1, max_size=30), st.integers(0, 10**6), st.sampled_from([1, 2, 3, 7]))
def test_finer_ticks_and_shifts_never_matter(gaps, shift, factor):
    """Any variable rate, in any finer time base and from any start, is the same video."""
    pts = np.cumsum(gaps)
    source = replace(SOURCE, pts=pts, time_base=Fraction(1, 1000))
    output = replace(SOURCE, pts=pts * factor + shift, time_base=Fraction(1, 1000 * factor))

    assert compare(source, output, Settings()) == ()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(2, 5000), min_size=2, max_size=30), st.data())
def test_any_moved_frame_is_noticed(gaps, data):
    """One frame one tick off is a problem, wherever it is."""
    pts = np.cumsum(gaps)
    frame = data.draw(st.integers(0, len(pts) - 1))
    source = replace(SOURCE, pts=pts, time_base=Fraction(1, 1000))

    assert len(compare(source, replace(source, pts=pts + (np.arange(len(pts)) == frame)), Settings())) == 1
