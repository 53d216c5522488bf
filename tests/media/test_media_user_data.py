"""What is written between the pictures of GIF, MPEG and AV1 does not reach a copy, and the pictures stay the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import pytest
from media_support import FAST, planned, scene, signature, strict_complaints

from faceanon.core.records import OutputFacts
from faceanon.media import boxes, gifs, mpeg, obus
from faceanon.media.clips import write_clip
from faceanon.media.decode import read_pictures
from faceanon.media.describe import describe
from faceanon.media.stitch import stitch

_NAME = b"Jane Doe"
_COMMENT = b"\x21\xfe" + bytes([len(_NAME)]) + _NAME + b"\x00"
_XMP = b"\x21\xff\x0bXMP DataXMP<x>" + _NAME + b"</x>\x01" + bytes(range(255, -1, -1)) + b"\x00"
_PLAIN_TEXT = b"\x21\x01\x0c" + bytes(12) + bytes([len(_NAME)]) + _NAME + b"\x00"
_USER_DATA = b"\x00\x00\x01\xb2" + _NAME
_CAPTIONS = b"\x00\x00\x01\xb2GA94\x03\x41\xff" + _NAME


def _obu(kind: int, body: bytes) -> bytes:
    return bytes([kind << 3 | 2, len(body)]) + body


_T35 = _obu(5, b"\x04\xb5\x00\x31" + _NAME + b"\x80")
_LIGHT = _obu(5, b"\x01\x03\xe8\x01\x90\x80")


def _injected(path: Path, out: Path, change: Callable[[bytes], bytes]) -> Path:
    """The clip with changed packets and, where the container keeps one, a changed header."""
    with av.open(str(path)) as source, av.open(str(out), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0], opaque=True)
        for packet in source.demux():
            if packet.size:
                copy = av.Packet(change(bytes(packet)))
                copy.pts, copy.dts, copy.duration, copy.time_base = packet.pts, packet.dts, packet.duration, packet.time_base
                copy.is_keyframe, copy.stream = packet.is_keyframe, stream
                target.mux(copy)
    return out


def _copied(path: Path, out: Path) -> OutputFacts:
    facts, _, segments = planned(path)
    return stitch(path, facts, segments, {}, out, FAST)


def _shown(path: Path) -> tuple[list, int]:
    """All pictures with their times, and the end of the last."""
    facts, _, _ = planned(path)
    return signature(read_pictures(path, facts, None)), facts.stop_pts


def _palette_end(data: bytes) -> int:
    return 13 + (3 << (data[10] & 7) + 1)


@pytest.fixture
def talkative_gif(tmp_path):
    """A GIF with text of each kind before the first image, between two and after the last, XMP first."""
    data = write_clip(tmp_path / "plain.gif", scene(6, 64, 48), codec="gif", rate=10, pts=[0, 10, 20, 45, 50, 60], time_base="1/100").read_bytes()
    with av.open(str(tmp_path / "plain.gif")) as container:
        packets = [bytes(p) for p in container.demux() if p.size]
    text, head, second = _XMP + _COMMENT + _PLAIN_TEXT, _palette_end(data), len(packets[0])
    path = tmp_path / "talkative.gif"
    path.write_bytes(data[:head] + text + data[head:second] + text + data[second:-1] + text + data[-1:])
    return path


def test_a_gif_s_text_is_gone(talkative_gif, tmp_path):
    """Comments, XMP and plain text go from a copy, with no tag in their place; pixels, times and looping stay."""
    out = tmp_path / "out.gif"
    assert talkative_gif.read_bytes().count(_NAME) == 9
    assert "comment" in describe(talkative_gif).metadata_keys

    result = _copied(talkative_gif, out)

    assert result.copied_segments
    assert "text" in result.stripped
    assert _NAME not in out.read_bytes()
    assert b"XMP" not in out.read_bytes()
    assert describe(out).metadata_keys == ()
    assert _shown(out) == _shown(talkative_gif)
    assert len(_shown(out)[0]) == 6
    assert boxes.loop_count(out) == boxes.loop_count(talkative_gif) == 0
    assert out.read_bytes() == (tmp_path / "plain.gif").read_bytes()
    assert strict_complaints(out) == ""


def test_a_gif_loops_as_often_whoever_says_so(tmp_path):
    """ANIMEXTS counts as NETSCAPE does, and its further sub-blocks do not pass."""
    data = write_clip(tmp_path / "a.gif", scene(3, 64, 48), codec="gif", rate=10).read_bytes()
    at = data.index(b"\x21\xff\x0bNETSCAPE2.0")
    path = tmp_path / "loops.gif"
    path.write_bytes(data[:at] + _COMMENT + b"\x21\xff\x0bANIMEXTS1.0\x03\x01\x07\x00\x08" + _NAME + b"\x00" + data[at + 19 :])

    _copied(path, tmp_path / "out.gif")

    assert boxes.loop_count(tmp_path / "out.gif") == 7
    assert _NAME not in (tmp_path / "out.gif").read_bytes()
    assert _shown(tmp_path / "out.gif") == _shown(path)


def test_a_gif_s_image_is_not_taken_for_text():
    """Bytes of palettes, images and graphic controls that look like a comment stay; odd controls and all behind the end mark go."""
    control = b"\x21\xf9\x04\x05\x21\xfe\x01\x00"
    image = b"\x2c" + bytes(8) + b"\x80" + _COMMENT[:6] + b"\x08\x03\x21\xfe\x01\x02\x21\xfe\x00"
    odd = b"\x21\xf9\x08" + _NAME + b"\x00"

    cleaned = gifs.without_user_data(_COMMENT + control + odd + image + b"\x3b" + _NAME)

    assert cleaned == control + image
    assert gifs.has_image(cleaned)
    assert not gifs.has_image(_COMMENT + b"\x3b" + image)


@pytest.mark.parametrize(
    ("codec", "name"),
    [("mpeg1video", "a.mkv"), ("mpeg2video", "a.ts"), ("mpeg2video", "a.mkv"), ("mpeg2video", "a.mp4"), ("mpeg4", "a.mp4"), ("mpeg4", "a.avi")],
)
def test_mpeg_user_data_is_gone(codec, name, tmp_path):
    """User data and captions go from copied packets, and pictures and times stay."""
    plain = write_clip(tmp_path / f"plain_{name}", scene(30), codec=codec, bframes=0 if name.endswith("avi") else 2)
    place = b"\x00\x00\x01\xb6" if codec == "mpeg4" else b"\x00\x00\x01\x01"  # a picture, its first slice
    tail = b"" if name.endswith("ts") else _USER_DATA  # there it would belong to the next packet
    path = _injected(plain, tmp_path / name, lambda data: data.replace(place, _USER_DATA + _CAPTIONS + place, 1) + tail)
    assert path.read_bytes().count(_NAME) >= 30

    result = _copied(path, tmp_path / f"out_{name}")

    assert result.copied_segments
    assert _NAME not in (tmp_path / f"out_{name}").read_bytes()
    assert b"GA94" not in (tmp_path / f"out_{name}").read_bytes()
    assert _shown(tmp_path / f"out_{name}") == _shown(path)
    assert len(_shown(path)[0]) == 30
    assert strict_complaints(tmp_path / f"out_{name}") == ""


def test_mpeg_user_data_leaves_the_container_s_header(tmp_path):
    """What the container keeps aside for the decoder holds no text either."""
    plain, path, out = write_clip(tmp_path / "plain.mp4", scene(30), codec="mpeg4"), tmp_path / "a.mkv", tmp_path / "out.mkv"
    with av.open(str(plain)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0], opaque=True)
        stream.codec_context.extradata = bytes(stream.codec_context.extradata) + _USER_DATA
        for packet in source.demux():
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    assert path.read_bytes().count(_NAME) == 1

    _copied(path, out)

    assert _NAME not in out.read_bytes()
    assert _shown(out) == _shown(path)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (b"DivX503b1393p by Jane", b"DivX503b1393p"),
        (b"DivX501Build830 Jane", b"DivX501Build830"),
        (b"XviD0046 Jane", b"XviD0046"),
        (b"Lavc62.28.102 Jane", b"Lavc62.28.102"),
        (b"FFmpeg0.4.8b4680", b"FFmpegb4680"),
        (b"FFmpeg v0.4.8 / libavcodec build: 4680", b"FFmpegb4680"),
        (b"ffmpeg", b"ffmpeg"),
        (b"XviD06641234567", b""),
        (b"Jane", b""),
    ],
)
def test_an_encoder_keeps_its_number(written, kept):
    """Decoders choose their arithmetic by it; the rest of the text goes, and so does a number that is too long for a version."""
    user = b"\x00\x00\x01\xb2"
    before, after = b"\x00\x00\x01\x20abc", b"\x00\x00\x01\xb6xyz"

    cleaned = mpeg.without_user_data(before + user + written + after, "mpeg4")

    assert cleaned == before + (user + kept if kept else b"") + after


def test_xvid_decodes_as_before(tmp_path):
    """A clip that names XviD is decoded with XviD's transform, and so is its copy."""
    plain = write_clip(tmp_path / "plain.avi", scene(10), codec="mpeg4", bframes=0)
    path = _injected(plain, tmp_path / "a.avi", lambda d: d.replace(b"\x00\x00\x01\xb6", b"\x00\x00\x01\xb2XviD0046 " + _NAME + b"\x00\x00\x01\xb6"))
    assert _shown(plain) != _shown(path)

    _copied(path, tmp_path / "out.avi")

    assert _NAME not in (tmp_path / "out.avi").read_bytes()
    assert _shown(tmp_path / "out.avi") == _shown(path)


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_av1_messages_are_gone(name, tmp_path):
    """T.35 messages and padding go, light levels stay, and pictures and times stay."""
    plain = write_clip(tmp_path / f"plain_{name}", scene(30), codec="av1")
    path = _injected(plain, tmp_path / name, lambda data: data[:2] + _T35 + _LIGHT + _obu(15, _NAME) + data[2:] if data[:2] == b"\x12\x00" else _T35 + _LIGHT + data)
    assert path.read_bytes().count(_NAME) >= 30

    _copied(path, tmp_path / f"out_{name}")

    data = (tmp_path / f"out_{name}").read_bytes()
    assert _NAME not in data
    assert data.count(_LIGHT) >= 30
    assert _shown(tmp_path / f"out_{name}") == _shown(path)
    assert len(_shown(path)[0]) == 30


def test_av1_units_are_told_apart():
    """Sizes, extensions and a last unit without a size are read; timecodes and private messages go too."""
    frame = bytes([6 << 3 | 4 | 2, 0x20, 0x83, 0x01]) + bytes(131)
    last = bytes([6 << 3]) + _NAME
    private, timecode = _obu(5, b"\x06" + _NAME), _obu(5, b"\x05abc")

    assert obus.without_user_data(frame + _T35 + private + timecode + _LIGHT + last) == frame + _LIGHT + last
    assert obus.header_without_user_data(b"\x81\x00\x0c\x00" + _T35 + _LIGHT) == b"\x81\x00\x0c\x00" + _LIGHT
