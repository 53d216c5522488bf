"""What a source says of people, places and devices does not reach the output."""

from __future__ import annotations

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from media_support import FAST, PLAN, planned, remake, scene, signature, strict_complaints, tone

from faceanon.core.settings import EncodeSettings
from faceanon.media import jpeg, nal, tags
from faceanon.media.clips import write_clip
from faceanon.media.decode import read_pictures
from faceanon.media.describe import describe
from faceanon.media.probe import probe
from faceanon.media.stitch import stitch

_SECRET = b"Filmed by Jane Doe at 48.8584N 2.2945E"
_TAGS = {
    "title": "Jane's birthday",
    "artist": "Jane Doe",
    "location": "+48.8584+002.2945/",
    "com.apple.quicktime.make": "Pear",
    "comment": "secret",
    "creation_time": "2020-01-02T03:04:05.000000Z",
}


@pytest.fixture
def talkative(tmp_path):
    """A clip with tags, a sound and, in every packet, a user-data SEI."""
    plain = write_clip(tmp_path / "plain.mp4", scene(50), audio=tone(2), metadata=_TAGS, chapters=[(0, 1, "a"), (1, 2, "b")])
    sei = b"\x06\x05" + bytes([16 + len(_SECRET)]) + bytes(range(16)) + _SECRET + b"\x80"
    path = tmp_path / "talkative.mp4"
    with av.open(str(plain)) as source, av.open(str(path), "w", container_options={"movflags": "use_metadata_tags"}) as target:
        target.metadata.update(_TAGS)
        streams = {s.index: target.add_stream_from_template(s, opaque=True) for s in source.streams if s.type != "data"}
        for packet in source.demux(*(source.streams[n] for n in streams)):
            if packet.dts is None:
                continue
            copy = packet
            if packet.stream_index == 0:
                copy = av.Packet(len(sei).to_bytes(4, "big") + sei + bytes(packet))
                copy.pts, copy.dts, copy.duration, copy.time_base, copy.is_keyframe = packet.pts, packet.dts, packet.duration, packet.time_base, packet.is_keyframe
            copy.stream = streams[packet.stream_index]
            target.mux(copy)
    return path


@pytest.mark.parametrize("plain", [{0, 1, 2}, {1}, set()])
def test_tags_and_user_data_are_gone(talkative, plain, tmp_path):
    """Copied or encoded: no tag and no user data of the source is in the output, what was taken is named, and frames stay exact."""
    out = tmp_path / "out.mp4"
    assert talkative.read_bytes().count(_SECRET) == 50
    assert b"Jane" in talkative.read_bytes()

    facts, _, segments = planned(talkative)
    result, reasons = remake(talkative, out, plain)

    data = out.read_bytes()
    for trace in (_SECRET, b"Jane", b"48.8584", b"Pear", b"secret", b"x264 - core"):
        assert trace not in data, trace
    assert {"location", "device", "date", "person", "text"} <= set(result.stripped)
    before, after = signature(read_pictures(talkative, facts, None)), signature(read_pictures(out, probe(out, PLAN)[0], None))
    for segment in segments:
        if not reasons[segment.segment_no]:
            own = slice(segment.first_frame, segment.stop_frame)
            assert before[own] == after[own]
    assert strict_complaints(out) == ""


def test_a_cover_is_dropped_and_named(tmp_path):
    """An attached picture could show a face: it is not in the output."""
    cover = cv2.imencode(".png", np.full((16, 16, 3), 99, np.uint8))[1].tobytes()
    path, out = write_clip(tmp_path / "a.mp4", scene(50), audio=tone(2), cover=cover), tmp_path / "out.mp4"
    assert b"\x89PNG" in path.read_bytes()

    result, _ = remake(path, out, {1})

    assert b"\x89PNG" not in out.read_bytes()
    assert result.dropped_streams == ("2: video png (attached picture)",)


def test_no_time_of_creation_is_written(talkative, tmp_path):
    """The output's own boxes hold no date."""
    out = tmp_path / "out.mp4"

    remake(talkative, out, set())

    with av.open(str(out)) as container:
        assert "creation_time" not in container.metadata
        assert not any("creation_time" in stream.metadata for stream in container.streams)


def test_further_videos_and_data_are_dropped_and_named(tmp_path):
    """A second video could show a face and a data track a place: neither passes."""
    path, out = tmp_path / "two.mkv", tmp_path / "out.mkv"
    first, second = write_clip(tmp_path / "a.mkv", scene(50)), write_clip(tmp_path / "b.mkv", scene(50, 64, 48), codec="vp9")
    with av.open(str(first)) as a, av.open(str(second)) as b, av.open(str(path), "w") as target:
        streams = [target.add_stream_from_template(s.streams.video[0], opaque=True) for s in (a, b)]
        target.add_attachment("me.jpg", "image/jpeg", b"\xff\xd8JANE\xff\xd9")
        target.add_attachment("me.txt", "text/plain", b"JANE")
        for packet, stream in [(p, s) for source, s in zip((a, b), streams, strict=True) for p in source.demux()]:
            if packet.size:
                packet.stream = stream
                target.mux(packet)

    result, _ = remake(path, out, {1})

    assert [s.kind for s in describe(out).streams] == ["video"]
    assert describe(out).codec == "h264"
    assert [entry.split(" ")[1] for entry in result.dropped_streams] == ["video", "video", "attachment"]
    assert b"JANE" not in out.read_bytes()


def test_sound_and_subtitles_go_where_settings_say(tmp_path):
    """Muted and dropped streams are absent and named; languages stay on those that are copied."""
    path = write_clip(tmp_path / "a.mkv", scene(50), audio=tone(2), extra_audio=[(tone(2), "fra")], subtitles=[(0.1, 0.9, "hello")])

    copied, _ = remake(path, tmp_path / "copied.mkv", {1})
    quiet, _ = remake(path, tmp_path / "quiet.mkv", {1}, EncodeSettings(preset="ultrafast", audio="mute", subtitles="drop"))

    assert (copied.audio_action, copied.subtitle_action, quiet.audio_action, quiet.subtitle_action) == ("copied", "copied", "muted", "dropped")
    assert [(s.kind, s.language) for s in describe(tmp_path / "copied.mkv").streams] == [("video", ""), ("audio", ""), ("audio", "fra"), ("subtitle", "eng")]
    assert [s.kind for s in describe(tmp_path / "quiet.mkv").streams] == ["video"]
    assert len(quiet.dropped_streams) == 3


def test_a_camera_s_notes_leave_each_jpeg(tmp_path):
    """EXIF goes from copied MJPEG frames, and the picture stays the same."""
    path, noted = write_clip(tmp_path / "a.avi", scene(10), codec="mjpeg"), tmp_path / "noted.avi"
    exif = b"\xff\xe1" + (2 + len(_SECRET)).to_bytes(2, "big") + _SECRET
    with av.open(str(path)) as source, av.open(str(noted), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0], opaque=True)
        for packet in source.demux():
            if packet.size:
                copy = av.Packet(bytes(packet)[:2] + exif + bytes(packet)[2:])
                copy.pts, copy.dts, copy.time_base, copy.stream, copy.is_keyframe = packet.pts, packet.dts, packet.time_base, stream, True
                target.mux(copy)
    assert noted.read_bytes().count(_SECRET) == 10

    facts, _, segments = planned(noted)
    stitch(noted, facts, segments, {}, tmp_path / "out.avi", FAST)

    assert _SECRET not in (tmp_path / "out.avi").read_bytes()
    assert [s[2] for s in signature(read_pictures(noted, facts, None))] == [s[2] for s in signature(read_pictures(tmp_path / "out.avi", facts, None))]


def test_only_messages_that_help_decoding_stay():
    """Of an SEI unit the recovery point stays, user data goes, captions go or stay as asked, and x264's version stays for FFmpeg's sake."""
    recovery, captions = b"\x06\x01\x84", b"\xb5\x00\x31GA94\x03\x41\xff"
    user = b"\x05" + bytes([16 + 4]) + bytes(16) + b"Jane"
    unit = b"\x06" + recovery + user + b"\x04" + bytes([len(captions)]) + captions + b"\x80"
    version = b"\x06\x05" + bytes([16 + 28]) + b"U" * 16 + b"x264 - core 148 r1 bla bla b" + b"\x80"

    assert nal.without_user_data("h264", unit, captions=False) == b"\x06" + recovery + b"\x80"
    assert nal.without_user_data("h264", unit, captions=True) == b"\x06" + recovery + b"\x04" + bytes([len(captions)]) + captions + b"\x80"
    assert nal.without_user_data("h264", b"\x06" + user + b"\x80", captions=True) is None
    assert nal.without_user_data("h264", b"\x65abc", captions=True) == b"\x65abc"
    assert nal.without_user_data("h264", version, captions=True) == b"\x06\x05\x20" + b"U" * 16 + b"x264 - core 148\x00\x80"


def test_unit_lengths_and_start_codes_say_the_same():
    """A packet splits alike whichever way its units are marked."""
    units = [b"\x67\x42\x00\x1e", b"\x68\xce", b"\x65\x88\x84\x00\x01"]

    prefixed = b"".join(len(u).to_bytes(2, "big") + u for u in units)

    assert nal.split(prefixed, 2) == nal.split(nal.join(units), 0) == units


def test_a_jpeg_keeps_what_decoders_use():
    """JFIF, Adobe and tables stay; other notes go; the scan is untouched."""
    parts = {marker: bytes([0xFF, marker, 0, 6]) + bytes([marker]) * 4 for marker in (0xE0, 0xE1, 0xED, 0xEE, 0xFE, 0xDB)}
    scan = b"\xff\xda\x00\x04ab\xff\xe1scan\xff\xd9"

    cleaned = jpeg.without_user_data(b"\xff\xd8" + b"".join(parts.values()) + scan)

    assert cleaned == b"\xff\xd8" + parts[0xE0] + parts[0xEE] + parts[0xDB] + scan


def test_removed_tags_are_named_by_kind():
    """Words for people and places, none for technical fields."""
    keys = ["com.apple.quicktime.location.ISO6709", "Artist", "creation_time", "major_brand", "handler_name", "com.android.version", "foo"]

    assert tags.removed_words(keys) == {"location", "person", "date", "device", "other tags"}
    assert tags.kept({"language": "eng", "title": "Director", "handler_name": "x"}) == {"language": "eng", "title": "Director"}


def test_late_video_keeps_its_place_beside_the_sound(tmp_path):
    """A video that starts after its sound starts as late in the output."""
    for name in ("late.mp4", "late.mkv", "late.ts"):
        path = write_clip(tmp_path / name, scene(50), start_delay_s=0.4, audio=tone(2))

        remake(path, tmp_path / f"out_{name}", {1})
        starts = [[s.start_s for s in describe(p).streams] for p in (path, tmp_path / f"out_{name}")]

        assert starts[0] == starts[1]
        assert starts[1][0] - starts[1][1] > Fraction(3, 10)
