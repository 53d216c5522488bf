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
class Track:
    kind: str
    codec: str
    attached_picture: bool = False
    start_s: Fraction | None = Fraction(0)
    stop_s: Fraction | None = Fraction(2)
    num_packets: int = 90


STREAMS = (Track("video", "h264"), Track("audio", "aac"), Track("subtitle", "mov_text"))


def sound(**changes) -> tuple:
    return (STREAMS[0], replace(STREAMS[1], **changes), STREAMS[2])


@dataclass(frozen=True)
class Media:
    frame_pts: np.ndarray = field(default_factory=lambda: np.arange(50) * 512)
    time_base: Fraction = Fraction(1, 12800)
    duration_s: float = 2.0
    streams: tuple = STREAMS
    container: str = "mp4"
    codec: str = "h264"
    metadata_keys: tuple = ("stream:language",)
    chapters: tuple = ((Fraction(0), Fraction(1), "one"),)
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
    streams = tuple(replace(s, start_s=s.start_s + Fraction(7, 5), stop_s=s.stop_s + Fraction(7, 5)) for s in STREAMS)
    later = Media(frame_pts=np.arange(50) * 3600 + 126000, time_base=Fraction(1, 90000), streams=streams)

    assert compare(SOURCE, later, Settings()) == ()


@pytest.mark.parametrize(
    ("output", "says"),
    [
        (Media(frame_pts=np.arange(49) * 512), "the output has 49 frames, the source 50"),
        (Media(frame_pts=np.arange(50) * 512 + (np.arange(50) == 7)), "frame 7 is shown 0.280078 s after the first frame, in the source 0.280000 s"),
        (Media(width=638), "the output is 638x360, the source 640x360"),
        (Media(rotation=0), "rotated by 0 degrees, the source by 90"),
        (Media(sar=Fraction(1)), "shape 1, the source's 4/3"),
        (Media(colour=ColourTags(1, 6, 1, 1)), "the colour matrix of the output is 6, of the source 1"),
        (Media(colour=ColourTags(1, 2, 1, 1)), "the colour matrix of the output is none, of the source 1"),
        (Media(colour=ColourTags(2, 1, 1, 1)), "the colour range of the output is 2, of the source 1"),
        (Media(codec="hevc"), "the output is hevc in mp4, the source h264 in mp4"),
        (Media(container="mov"), "the output is h264 in mov, the source h264 in mp4"),
        (Media(streams=(*STREAMS, Track("video", "h264"))), "2 video streams"),
        (Media(streams=(*STREAMS, Track("data", "bin_data"))), "a stream of kind data"),
        (Media(streams=(*STREAMS, Track("attachment", "ttf"))), "a stream of kind attachment"),
        (Media(streams=STREAMS[::2]), "the audio streams none, the source aac"),
        (Media(streams=STREAMS[:2]), "the subtitle streams none, the source mov_text"),
        (Media(streams=sound(start_s=Fraction(1, 10))), "sound track 0 starts 0.100 s after the first frame, in the source 0.000 s"),
        (Media(streams=sound(stop_s=Fraction(1))), "sound track 0 stops 1.000 s after the first frame, in the source 2.000 s"),
        (Media(metadata_keys=("location-eng",)), "the tag location-eng"),
        (Media(metadata_keys=("stream:com.apple.quicktime.make",)), "the tag stream:com.apple.quicktime.make"),
        (Media(chapters=()), "0 chapters, the source 1"),
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
    """Muted audio and dropped subtitles are as asked; where they stay, that is said."""
    policy = Settings().with_values(encode__audio="mute", encode__subtitles="drop")

    assert compare(SOURCE, Media(streams=STREAMS[:1]), policy) == ()
    assert [p.split(",")[0] for p in compare(SOURCE, SOURCE, policy)] == ["the output has 1 audio streams", "the output has 1 subtitle streams"]


def test_a_cover_picture_is_never_passed_through():
    """A picture attached to the source may show a face and must be gone."""
    cover = Media(streams=(*STREAMS, Track("video", "mjpeg", attached_picture=True)))

    assert compare(cover, Media(), Settings()) == ()
    assert "the output has an attached picture" in compare(cover, cover, Settings())


def test_the_track_of_chapter_titles_is_not_a_stranger():
    """MP4 writes chapters as a track of their own; one packet more than chapters is something else."""
    titles, more = Track("data", "unknown", num_packets=0), Track("data", "bin_data", num_packets=2)

    assert compare(SOURCE, Media(streams=(*STREAMS, titles)), Settings()) == ()
    assert len(compare(SOURCE, Media(streams=(*STREAMS, more)), Settings())) == 1


def test_streams_that_no_muxer_takes_may_be_missing():
    """An empty stream and one in a nameless codec are no loss."""
    source = Media(streams=(*STREAMS, Track("audio", ""), Track("subtitle", "mov_text", num_packets=0)))

    assert compare(source, Media(), Settings()) == ()


def test_a_codec_without_an_encoder_has_a_family():
    """MS-MPEG-4 comes out as MPEG-4."""
    assert compare(Media(codec="msmpeg4v3", container="avi"), Media(codec="mpeg4", container="avi"), Settings()) == ()


def test_limited_range_may_be_said_aloud():
    """No range tag means limited, so saying it changes nothing; saying full would."""
    source = replace(SOURCE, colour=ColourTags(0, 1, 1, 1))

    assert compare(source, replace(SOURCE, colour=ColourTags(1, 1, 1, 1)), Settings()) == ()
    assert len(compare(source, replace(SOURCE, colour=ColourTags(2, 1, 1, 1)), Settings())) == 1


NTSC = Media(frame_pts=np.arange(50) * 1001, time_base=Fraction(1, 30000))


def test_matroska_may_round_to_its_millisecond_and_no_further():
    """30000/1001 frames a second in milliseconds: rounding passes, one frame two milliseconds off does not."""
    rounded = np.array([round(Fraction(int(p), 30000) * 1000) for p in NTSC.frame_pts])
    late = rounded + 2 * (np.arange(50) == 20)

    assert compare(NTSC, replace(NTSC, frame_pts=rounded, time_base=Fraction(1, 1000)), Settings()) == ()
    assert "rounding to 0.001 s" in compare(NTSC, replace(NTSC, frame_pts=late, time_base=Fraction(1, 1000)), Settings())[0]


def test_milliseconds_copied_as_milliseconds_must_be_exact():
    """Where the output can say the time, no rounding is allowed, not even in Matroska."""
    pts = np.array([0, 33, 67, 100])
    source = replace(SOURCE, frame_pts=pts, time_base=Fraction(1, 1000))

    assert len(compare(source, replace(source, frame_pts=pts + (np.arange(4) == 1)), Settings())) == 1


def test_one_frame_and_none():
    """The shortest videos compare, too."""
    one, none = (replace(SOURCE, frame_pts=np.arange(n) * 512) for n in (1, 0))

    assert compare(one, one, Settings()) == compare(none, none, Settings()) == ()


def test_huge_times_do_not_overflow():
    """Times beyond 64 bits of common ticks compare exactly."""
    pts = np.array([0, 2**50, 2**51])
    source = replace(SOURCE, frame_pts=pts, time_base=Fraction(1, 999_983), duration_s=0.0)
    output = replace(SOURCE, frame_pts=pts, time_base=Fraction(1, 999_979), duration_s=0.0)

    assert compare(source, source, Settings()) == ()
    assert len(compare(source, output, Settings())) == 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 5000), min_size=1, max_size=30), st.integers(0, 10**6), st.sampled_from([1, 2, 3, 7]))
def test_finer_ticks_and_shifts_never_matter(gaps, shift, factor):
    """Any variable rate, in any finer time base and from any start, is the same video."""
    pts = np.cumsum(gaps)
    silent = replace(SOURCE, streams=STREAMS[:1])
    source = replace(silent, frame_pts=pts, time_base=Fraction(1, 1000))
    output = replace(silent, frame_pts=pts * factor + shift, time_base=Fraction(1, 1000 * factor))

    assert compare(source, output, Settings()) == ()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(2, 5000), min_size=2, max_size=30), st.data())
def test_any_moved_frame_is_noticed(gaps, data):
    """One frame one tick off is a problem, wherever it is."""
    pts = np.cumsum(gaps)
    frame = data.draw(st.integers(0, len(pts) - 1))
    source = replace(SOURCE, frame_pts=pts, time_base=Fraction(1, 1000))

    assert len(compare(source, replace(source, frame_pts=pts + (np.arange(len(pts)) == frame)), Settings())) == 1
