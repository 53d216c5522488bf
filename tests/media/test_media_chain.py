"""Every codec and container through the whole chain: probe, divide, decode, encode or copy, stitch, describe."""

from __future__ import annotations

from fractions import Fraction

import av
import pytest
from media_support import PLAN, painted, planned, remake, scene, signature, strict_complaints, tone

from faceanon.core.settings import PlanSettings
from faceanon.media.clips import write_clip
from faceanon.media.decode import read_pictures
from faceanon.media.describe import describe
from faceanon.media.joined import copied_digest
from faceanon.media.probe import probe
from faceanon.media.segments import plan_segments

_VFR = [0, 7, 11, 30, 41, 66, 70, 99, 120, 144, 150, 180, 199, 240, 241, 260, 300, 330, 344, 360, 400, 444, 450, 480, 500, 520, 540, 580, 600, 640]
CASES = {
    "h264.mp4": {"audio": tone(2), "rotation": 90},
    "h264_open_gop.mp4": {"open_gop": True, "bframes": 3},
    "h264_vfr.mp4": {"pts": _VFR, "time_base": Fraction(1, 600), "gop": 5},
    "h264_10bit.mp4": {"pix_fmt": "yuv420p10le", "rotation": 270},
    "h264_444.mp4": {"pix_fmt": "yuv444p"},
    "h264_late.mp4": {"start_delay_s": 0.4, "audio": tone(2)},
    "h264.mov": {"audio": tone(2), "extra_audio": [(tone(1.5), "fra")], "rotation": 180},
    "h264.mkv": {"sar": Fraction(4, 3), "audio": tone(2), "subtitles": [(0.2, 1, "one"), (1.2, 1.5, "two")], "chapters": [(0, 1, "a"), (1, 2, "b")]},
    "h264.ts": {"audio": tone(2)},
    "h264_interlaced.ts": {"interlaced": True, "bframes": 0},
    "h264.avi": {"bframes": 0},
    "hevc.mp4": {"codec": "hevc", "audio": tone(2)},
    "hevc_open_gop.mkv": {"codec": "hevc", "open_gop": True},
    "hevc_10bit.mov": {"codec": "hevc", "pix_fmt": "yuv420p10le", "bframes": 0},
    "vp8.webm": {"codec": "vp8", "audio": tone(2)},
    "vp9.webm": {"codec": "vp9", "audio": tone(2), "subtitles": [(0.2, 1, "one")]},
    "vp9_odd.webm": {"codec": "vp9", "size": (71, 45)},
    "vp9.mp4": {"codec": "vp9"},
    "av1.mkv": {"codec": "av1"},
    "av1.mp4": {"codec": "av1"},
    "mpeg4.avi": {"codec": "mpeg4", "bframes": 0, "audio": tone(2)},
    "mpeg4.mp4": {"codec": "mpeg4", "bframes": 2},
    "mjpeg.avi": {"codec": "mjpeg"},
    "mjpeg_odd.mov": {"codec": "mjpeg", "size": (71, 45)},
    "mpeg2.ts": {"codec": "mpeg2video", "bframes": 0},
    "mpeg2_interlaced.ts": {"codec": "mpeg2video", "interlaced": True, "audio": tone(2)},
    "picture.gif": {"codec": "gif", "rate": 10, "count": 12},
    "tiny.mp4": {"size": (16, 16)},
    "one_frame.mp4": {"count": 1},
    "one_frame.gif": {"codec": "gif", "count": 1, "rate": 10},
}
MIXED = {"h264.mp4", "h264_vfr.mp4", "h264_10bit.mp4", "h264_late.mp4", "h264.mov", "h264.mkv", "h264.ts", "h264_interlaced.ts", "hevc.mp4", "hevc_10bit.mov"}
MIXED |= {"vp8.webm", "vp9.webm", "vp9_odd.webm", "vp9.mp4", "mjpeg.avi", "mjpeg_odd.mov", "mpeg2.ts", "tiny.mp4"}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Makes each clip once."""
    folder = tmp_path_factory.mktemp("clips")
    made = {}

    def clip(name):
        if name not in made:
            options = dict(CASES[name])
            count, size = options.pop("count", 50), options.pop("size", (96, 64))
            made[name] = write_clip(folder / name, scene(count, *size), **options)
        return made[name]

    return clip


@pytest.mark.parametrize("name", CASES)
def test_segments_own_each_frame_once(clips, name):
    """Joined, the pictures of all segments are those of the whole video, sample for sample and number for number."""
    path = clips(name)

    facts, index, segments = planned(path)
    whole = signature(read_pictures(path, facts, None))

    assert [pts for _, pts, _ in whole] == list(index.pts)
    assert whole == [entry for segment in segments for entry in signature(read_pictures(path, facts, segment))]


@pytest.mark.parametrize("name", CASES)
def test_output_agrees_with_its_source(clips, name, tmp_path):
    """Frame count, exact times, streams, shape and colours of the output are the source's, and a strict ffmpeg has nothing to say."""
    path, out = clips(name), tmp_path / name

    _, _, segments = planned(path)
    remake(path, out, {s.segment_no for s in segments if s.segment_no % 2})
    before, after = describe(path), describe(out)

    assert before.frame_times_s == after.frame_times_s
    assert abs(before.duration_s - after.duration_s) < 0.001
    for field in ("container", "codec", "width", "height", "rotation", "sar", "colour", "pix_fmt", "chapters"):
        assert getattr(before, field) == getattr(after, field), field
    sounds = [[(s.kind, s.codec, s.language, s.num_packets, s.start_s) for s in d.streams if s.kind == "audio"] for d in (before, after)]
    assert sounds[0] == sounds[1]
    assert [s.kind for s in before.streams if s.kind == "subtitle"] == [s.kind for s in after.streams if s.kind == "subtitle"]
    assert strict_complaints(out) == ""


@pytest.mark.parametrize("name", CASES)
def test_copied_frames_are_the_same_and_painted_frames_differ(clips, name, tmp_path):
    """Copied segments decode to the very same samples between encoded ones; what was painted is painted in the output."""
    path, out = clips(name), tmp_path / name

    facts, _, segments = planned(path)
    result, reasons = remake(path, out, {s.segment_no for s in segments if s.segment_no % 2})
    before, after = signature(read_pictures(path, facts, None)), signature(read_pictures(out, probe(out, PLAN)[0], None))

    assert (result.copied_segments > 0) == (name in MIXED)
    for segment in segments:
        own = slice(segment.first_frame, segment.stop_frame)
        same = [a[2] == b[2] for a, b in zip(before[own], after[own], strict=True)]
        assert all(same) if not reasons[segment.segment_no] else not any(same)


@pytest.mark.parametrize("name", sorted(MIXED))
def test_a_mixed_output_can_be_entered_anywhere(clips, name, tmp_path):
    """From whatever keyframe one starts, copied or encoded, the frames are those of playing from the start."""
    path, out = clips(name), tmp_path / name
    remake(path, out, {1})

    facts, index = probe(out, PlanSettings(segment_seconds=0.01))
    segments = plan_segments("video", facts, index, PlanSettings(segment_seconds=0.01))
    whole = signature(read_pictures(out, facts, None))

    assert len(segments) > 2
    assert whole == [entry for segment in segments for entry in signature(read_pictures(out, facts, segment))]


@pytest.mark.parametrize("name", CASES)
def test_a_video_without_painting_is_copied_whole(clips, name, tmp_path):
    """Where nothing is painted every codec is copied, and decodes to the same samples."""
    path, out = clips(name), tmp_path / name

    facts, _, segments = planned(path)
    result, _ = remake(path, out, {s.segment_no for s in segments})

    assert (result.copied_segments, result.encoded_segments) == (len(segments), 0)
    same = [a[2] == b[2] for a, b in zip(signature(read_pictures(path, facts, None)), signature(read_pictures(out, probe(out, PLAN)[0], None)), strict=True)]
    assert all(same)


@pytest.mark.parametrize("name", ["h264.mp4", "hevc.mp4", "vp9.webm", "av1.mkv", "mpeg4.avi", "picture.gif", "h264.ts"])
def test_same_input_same_bytes(clips, name, tmp_path):
    """Two runs give one file."""
    path = clips(name)

    first, _ = remake(path, tmp_path / name, {1})
    second, _ = remake(path, tmp_path / f"again_{name}", {1})

    assert first.sha256 == second.sha256


@pytest.mark.parametrize("name", ["h264.mp4", "h264.mkv", "h264.ts", "vp8.webm", "mjpeg.avi"])
def test_the_digests_of_copied_segments_cover_the_stream(clips, name):
    """Each segment's payloads are found wherever it lies, and together they are all payloads of the video."""
    path = clips(name)

    facts, _, segments = planned(path)
    digests = [copied_digest(path, facts, segment) for segment in segments]

    with av.open(str(path)) as container:
        assert sum(size for _, size in digests) == sum(p.size for p in container.demux(video=0))
    assert len({sha256 for sha256, _ in digests}) == len(segments)


def test_painting_stays_in_its_frame(clips):
    """Painting a picture changes no later one, although the decoder predicts from it."""
    path = clips("h264.mp4")

    facts, _, _ = planned(path)
    clean = signature(read_pictures(path, facts, None))
    seen = []
    for picture in read_pictures(path, facts, None):
        seen.append(signature([picture])[0])
        painted(picture)

    assert clean == seen


def test_lookahead_continues_into_the_next_segment(clips):
    """Pictures beyond the span follow, as many as asked for or as there are."""
    path = clips("h264.mp4")

    facts, _, segments = planned(path)
    whole = signature(read_pictures(path, facts, None))
    looked = signature(read_pictures(path, facts, segments[1], lookahead=10))
    last = signature(read_pictures(path, facts, segments[-1], lookahead=10))

    assert whole[segments[1].first_frame : segments[1].stop_frame + 10] == looked
    assert whole[segments[-1].first_frame :] == last
