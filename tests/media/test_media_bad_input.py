"""Sources that are not what they seem: each ends in an error that names the file and says why in words, or is read as what it is."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import av
import pytest
from media_support import FAST, PLAN, planned, scene, tone

from faceanon.core.errors import LimitExceeded, SourceError, SourceTruncated, SourceUnreadable, SourceUnsupported
from faceanon.core.settings import PlanSettings
from faceanon.media.clips import write_clip
from faceanon.media.decode import read_pictures
from faceanon.media.encode import SegmentWriter, can_write
from faceanon.media.probe import probe
from faceanon.media.stitch import stitch


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")

    def make(name, **options):
        path = folder / name
        return path if path.exists() else write_clip(path, scene(options.pop("count", 100)), **options)

    return make


def _audio_only(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone(0.5)[0][None, :1024], format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_missing_empty_and_foreign_files_are_named(tmp_path):
    """What is no video is unreadable, and the reason says which kind of no."""
    cases = {
        "missing.mp4": (None, "does not exist"),
        "empty.mp4": (b"", "zero bytes"),
        "text.mp4": (b"dear diary, today nothing was filmed\n" * 50, "not a video"),
        "list.mp4": (b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n", "not a video"),
        "concat.mp4": (b"ffconcat version 1.0\nfile other.mp4\n", "not a video"),
    }

    for name, (data, words) in cases.items():
        path = tmp_path / name
        if data is not None:
            path.write_bytes(data)
        with pytest.raises(SourceUnreadable, match=words) as caught:
            probe(path, PLAN)
        assert caught.value.source == str(path)
    with pytest.raises(SourceUnreadable, match="folder"):
        probe(tmp_path, PLAN)
    with pytest.raises(SourceUnreadable, match="only audio"):
        probe(_audio_only(tmp_path / "sound.mp4"), PLAN)


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    """No permission is said as such, also where root may read everything."""
    path = write_clip(tmp_path / "private.mp4", scene(3))
    monkeypatch.setattr(os, "access", lambda *_: False)

    with pytest.raises(SourceUnreadable, match="permission denied"):
        probe(path, PLAN)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp4", {}),
        ("fast.mp4", {"metadata": {"title": "t"}}),
        ("b.mkv", {}),
        ("c.webm", {"codec": "vp9"}),
        ("d.avi", {"codec": "mjpeg"}),
        ("e.gif", {"codec": "gif", "rate": 10, "count": 20}),
        ("f.ts", {}),
        ("g.mov", {"codec": "hevc", "audio": tone(4)}),
    ],
)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.97])
def test_a_file_cut_short_never_passes_as_whole(clip, name, options, share, tmp_path):
    """Wherever a copy breaks off, probing says that it is cut short."""
    whole = clip(name, **options)
    cut = tmp_path / name
    data = whole.read_bytes()
    cut.write_bytes(data[: int(len(data) * share) // 188 * 188 + 100])

    assert probe(whole, PLAN)[0].num_frames_from_content == options.get("count", 100)
    with pytest.raises(SourceTruncated):
        probe(cut, PLAN)


def test_an_index_that_points_beyond_the_end_is_cut_short(clip, tmp_path):
    """A file with its index in front and half its media missing opens, and is refused all the same."""
    source = clip("a.mp4")
    facts, _, segments = planned(source)
    fast = tmp_path / "front.mp4"
    stitch(source, facts, segments, {}, fast, FAST)
    data = fast.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: len(data) * 6 // 10])

    assert data.index(b"moov") < data.index(b"mdat")
    with pytest.raises(SourceTruncated, match="claims"):
        probe(cut, PLAN)


def test_a_header_that_promises_more_is_cut_short(clip, tmp_path):
    """A Matroska file that was closed neatly but holds half of what its header says is refused."""
    data = bytearray(clip("b.mkv").read_bytes())
    at = data.index(b"\x44\x89\x88")
    data[at + 3 : at + 11] = struct.pack(">d", 60_000.0)
    path = tmp_path / "long.mkv"
    path.write_bytes(data)

    with pytest.raises(SourceTruncated, match="promises 60"):
        probe(path, PLAN)


def test_damage_in_the_middle_is_noticed(clip, tmp_path):
    """Frames that do not decode are an error or are counted as damaged, never passed over."""
    source = clip("a.mp4")
    data = bytearray(source.read_bytes())
    middle = data.index(b"mdat") + 20000
    data[middle : middle + 8000] = b"\xa5" * 8000
    path = tmp_path / "damaged.mp4"
    path.write_bytes(data)

    facts, _, _ = planned(path)
    reader = read_pictures(path, facts, None)
    try:
        noticed = [picture.index for picture in reader] == list(range(100)) and reader.decode_errors > 0
    except SourceTruncated as error:
        noticed = str(path) == error.source

    assert noticed


def test_limits_are_kept(clip):
    """What is larger than the settings allow is refused with the number."""
    path = clip("a.mp4")

    for limits, words in ((PlanSettings(max_width_px=64), "96 x 64"), (PlanSettings(max_streams=0), "1 streams"), (PlanSettings(max_duration_s=1.0), "4 s")):
        with pytest.raises(LimitExceeded, match=words):
            probe(path, limits)


def test_the_content_counts_not_the_name(clip, tmp_path):
    """A video under a wrong ending is read as what it is."""
    path = tmp_path / "really_webm.mp4"
    path.write_bytes(clip("c.webm", codec="vp9").read_bytes())

    assert probe(path, PLAN)[0].container == "webm"


def test_a_codec_without_encoder_is_refused_before_work(tmp_path):
    """What cannot be written back is said by can_write, with the codec's name."""
    path = write_clip(tmp_path / "odd.avi", scene(3), codec="huffyuv", pix_fmt="yuv422p")
    facts, _ = probe(path, PLAN)

    with pytest.raises(SourceUnsupported, match="huffyuv"):
        can_write(facts)


def test_a_failed_segment_leaves_no_file(clip, tmp_path):
    """Leaving the writer by an exception deletes what was begun."""
    path, staged = clip("a.mp4"), tmp_path / "staged"
    facts, _, segments = planned(path)

    def fail():
        with SegmentWriter(staged, facts, FAST) as writer:
            writer.write(next(read_pictures(path, facts, segments[0])))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    assert not staged.exists()


def test_errors_quarantine():
    """All of these end the one video, not the run."""
    assert {e.fate for e in (SourceUnreadable, SourceTruncated, SourceUnsupported, LimitExceeded, SourceError)} == {"quarantine"}
