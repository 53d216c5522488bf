"""Pictures as they are seen: upright, in their own depth and colours, and samples of an output."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from media_support import FAST, PLAN, encoded, planned, scene, signature

from faceanon.core.errors import SourceTruncated, SourceUnreadable
from faceanon.media.clips import write_clip
from faceanon.media.decode import read_pictures
from faceanon.media.describe import MOST_SKIPPED, describe, sample_pictures
from faceanon.media.encode import can_write
from faceanon.media.planes import layout, painted_format
from faceanon.media.probe import probe
from faceanon.media.source import main_video, opened
from faceanon.media.staging import read_packets, read_times
from faceanon.media.stitch import stitch


def _marked(width: int, height: int, turn: int):
    """A picture that is red in its left upper corner once it is turned clockwise by `turn`."""
    upright = np.full((height, width, 3), 90, np.uint8)
    upright[: height // 4, : width // 4] = (0, 0, 255)
    return np.ascontiguousarray(np.rot90(upright, turn // 90))


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_pictures_are_upright_and_are_written_back_as_they_lay(turn, tmp_path):
    """However a camera was held the mark is left above; painting there shows there in the output, whose rotation is the source's."""
    path, out = tmp_path / "a.mp4", tmp_path / "b.mp4"
    write_clip(path, [_marked(96, 64, turn)] * 6, rotation=turn)
    facts, _, segments = planned(path)

    picture = next(read_pictures(path, facts, None))
    stitch(path, facts, segments, {0: encoded(path, facts, segments[0], tmp_path / "s")}, out, FAST)
    again = next(read_pictures(out, probe(out, PLAN)[0], None))

    assert (picture.width, picture.height) == (96, 64) == facts.upright_size
    red = picture.bgr()[4:12, 4:20].reshape(-1, 3).mean(0)
    assert red[2] > 180
    assert red[0] < 80
    assert picture.bgr()[40:, 60:].reshape(-1, 3).std(0).max() < 4
    assert abs(float(again.planes[0][4:12, 4:20].mean()) - 128) < 3
    assert abs(float(again.planes[0][40:, 60:].mean()) - float(picture.planes[0][40:, 60:].mean())) < 3
    assert describe(out).rotation == turn == facts.rotation


@pytest.mark.parametrize(
    ("pix_fmt", "depth", "chroma"),
    [("yuv420p", 8, (2, 2)), ("yuv422p", 8, (2, 1)), ("yuv444p", 8, (1, 1)), ("yuvj420p", 8, (2, 2)), ("yuv420p10le", 10, (2, 2)), ("yuv422p10le", 10, (2, 1))],
)
def test_depth_and_chroma_are_the_source_s(pix_fmt, depth, chroma, tmp_path):
    """Planes come in the source's own samples, and a turned 4:2:2 swaps its steps."""
    for turn in (0, 90):
        path = write_clip(tmp_path / f"{pix_fmt}{turn}.mp4", scene(3), pix_fmt=pix_fmt, rotation=turn)

        facts, _ = probe(path, PLAN)
        picture = next(read_pictures(path, facts, None))

        assert facts.bit_depth == picture.format.depth == depth
        assert picture.format.chroma == (chroma if turn == 0 else chroma[::-1])
        assert picture.format.full_range == (pix_fmt == "yuvj420p")
        assert picture.planes[0].dtype == (np.uint8 if depth == 8 else np.uint16)
        assert picture.planes[0].shape == facts.upright_size[::-1]
        assert picture.planes[1].shape == (picture.height // picture.format.chroma[1], picture.width // picture.format.chroma[0])


def test_other_formats_become_444(tmp_path):
    """Palettes, RGB and alpha are converted to 4:4:4 once, in colours that stay."""
    path = write_clip(tmp_path / "a.gif", [_marked(96, 64, 0)] * 3, codec="gif", rate=10)

    facts, _ = probe(path, PLAN)
    picture = next(read_pictures(path, facts, None))

    assert [painted_format(f) for f in ("bgra", "pal8", "gbrp", "nv12", "yuv420p16le")] == ["yuv444p", "yuv444p", "yuv444p", "yuv420p", "yuv444p"]
    assert layout("yuva420p") is None
    assert picture.format.chroma == (1, 1)
    assert picture.bgr()[8, 10, 2] > 180
    assert picture.bgr()[8, 10, 0] < 90


def test_a_staged_segment_keeps_exact_times_and_starts_at_a_keyframe(tmp_path):
    """Packets lie in order of decoding with the pictures' own pts."""
    path = write_clip(tmp_path / "a.mp4", scene(30), pts=[n * n + 7 * n for n in range(30)], time_base=Fraction(1, 600))
    facts, index, segments = planned(path)

    staged = encoded(path, facts, segments[0], tmp_path / "s")
    packets = list(read_packets(staged))

    assert sorted(read_times(staged)) == list(index.pts[: segments[0].num_frames])
    assert packets[0].is_keyframe
    assert packets[0].pts == facts.first_pts


def test_samples_are_the_first_the_last_and_evenly_between(tmp_path):
    """Frames come at least the wanted time apart, numbered as displayed."""
    path = write_clip(tmp_path / "a.mp4", scene(31), codec="mpeg4")

    samples = list(sample_pictures(path, None, 0.4))

    assert [p.index for p in samples] == [0, 10, 20, 30]
    assert [p.index for p in sample_pictures(path, None, 0.36)] == [0, 9, 18, 27, 30]
    facts, _ = probe(path, PLAN)
    whole = signature(read_pictures(path, facts, None))
    assert [whole[n] for n in (0, 10, 20, 30)] == signature(samples)


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_samples_may_leave_out_frames_that_no_other_needs(tmp_path, codec):
    """With B-frames a sample may come some frames late, under its own number; the first and one near the end are there, and none is far from the next."""
    path = write_clip(tmp_path / "a.mp4", scene(61), codec=codec, gop=30, bframes=3)
    facts, _ = probe(path, PLAN)
    whole = signature(read_pictures(path, facts, None))

    samples = list(sample_pictures(path, None, 0.4))

    numbers = [p.index for p in samples]
    assert [whole[n] for n in numbers] == signature(samples)
    assert numbers[0] == 0
    assert numbers[-1] >= 60 - MOST_SKIPPED
    assert all(10 <= b - a <= 10 + MOST_SKIPPED for a, b in pairwise(numbers[:-1]))
    assert 60 // 27 < len(numbers) <= 8


@pytest.mark.parametrize(("gop", "bframes"), [(5, 0), (10, 2), (15, 3), (25, 3)])
def test_gops_without_a_sample_are_not_decoded(tmp_path, gop, bframes):
    """Samples lie as far apart as wanted, whatever the length of GOPs; those of short GOPs are keyframes, and hold the picture that playing shows."""
    path = write_clip(tmp_path / "a.mp4", scene(101), gop=gop, bframes=bframes)
    facts, index = probe(path, PLAN)
    whole = signature(read_pictures(path, facts, None))

    samples = list(sample_pictures(path, None, 0.4))

    numbers = [p.index for p in samples]
    assert [whole[n] for n in numbers] == signature(samples)
    assert numbers[0] == 0
    assert numbers[-1] >= 100 - MOST_SKIPPED
    assert all(10 <= b - a <= 10 + max(gop if gop < 10 else 0, MOST_SKIPPED) for a, b in pairwise(numbers[:-1]))
    if gop <= 10:
        assert index.is_keyframe[numbers[:-1]].all()


def test_a_file_whose_end_does_not_decode_is_not_sampled_as_if_it_were_whole(tmp_path):
    """Packets are there by number, but the last ones hold nothing that a decoder could read."""
    path = write_clip(tmp_path / "a.mp4", scene(61), gop=1, bframes=0)
    facts, _ = probe(path, PLAN)
    data = bytearray(path.read_bytes())
    with opened(path) as container:
        places = [(p.pos, p.size) for p in container.demux(main_video(container, path)) if p.size]
    for place, size in places[20:]:
        data[place + 4 : place + size] = bytes(size - 4)
    path.write_bytes(data)

    with pytest.raises((SourceTruncated, SourceUnreadable)):
        list(sample_pictures(path, facts, 0.4))


def test_an_8k_video_and_a_strip_can_be_written(tmp_path):
    """Neither very large nor very small videos are refused by the encoders."""
    for codec in ("h264", "hevc"):
        path = write_clip(tmp_path / f"{codec}.mp4", scene(1, 7680, 4320), codec=codec)
        facts, _ = probe(path, PLAN)

        can_write(facts)
    narrow, _ = probe(write_clip(tmp_path / "narrow.mp4", scene(2, 16, 64), codec="hevc"), PLAN)
    can_write(narrow)

    assert (facts.width, facts.height) == (7680, 4320)
