"""Small files that promise or unfold into something huge meet a limit of the settings, by its name, before much is spent."""

from __future__ import annotations

import struct
import time
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from faceanon.core.errors import LimitExceeded, SourceError
from faceanon.core.settings import PlanSettings
from faceanon.media import decode, guarded, probe
from faceanon.media.clips import write_clip

PLAN = PlanSettings()
READERS = [probe.probe, guarded.probe]
both = pytest.mark.parametrize("reader", READERS, ids=["in process", "guarded"])


def _frames(count: int, width: int = 64, height: int = 48):
    return (np.full((height, width, 3), n % 250, np.uint8) for n in range(count))


def _patched(source: Path, path: Path, mark: bytes, skip: int, data: bytes, count: int = 1) -> Path:
    """A copy of `source` with `data` at `skip` bytes after each of the first `count` occurrences of `mark`."""
    content, at = bytearray(source.read_bytes()), 0
    for _ in range(count):
        at = content.index(mark, at) + len(mark)
        content[at + skip : at + skip + len(data)] = data
    path.write_bytes(content)
    return path


@both
def test_a_header_of_huge_dimensions_is_refused(reader, tmp_path):
    """65535 x 65535 px in the header end as a limit or as unreadable, in no time and without the memory for one such picture."""
    avi = write_clip(tmp_path / "a.avi", _frames(5), codec="mjpeg")
    gif = write_clip(tmp_path / "a.gif", _frames(5), codec="gif", rate=10)
    bombs = [
        _patched(gif, tmp_path / "bomb.gif", b"GIF89a", 0, b"\xff\xff\xff\xff"),
        _patched(avi, tmp_path / "bomb.avi", b"\xff\xc0", 3, b"\xff\xff\xff\xff", count=5),  # in each JPEG's own header
    ]

    for bomb in bombs:
        began = time.process_time()
        with pytest.raises(SourceError) as caught:
            reader(bomb, PLAN)
        assert caught.value.source == str(bomb)
        assert time.process_time() - began < 2


@both
def test_dimensions_are_held_against_the_limit_before_decoding(reader, tmp_path, monkeypatch):
    """The header's size is judged before the first frame is decoded, with both numbers."""
    clip = write_clip(tmp_path / "a.mp4", _frames(5))
    monkeypatch.setattr(probe, "frames", lambda *_: pytest.fail("decoded"))

    with pytest.raises(LimitExceeded, match=r"64 x 48 px, more than plan.max_width_px = 32"):
        reader(clip, replace(PLAN, max_width_px=32))


def _many_tracks(path: Path, clip: Path, count: int) -> Path:
    """An mp4 with its one track's box repeated."""
    data = clip.read_bytes()
    at = data.index(b"trak") - 4
    size = struct.unpack_from(">I", data, at)[0]
    moov = data.index(b"moov") - 4
    grown = struct.unpack_from(">I", data, moov)[0] + size * (count - 1)
    path.write_bytes(data[:moov] + struct.pack(">I", grown) + data[moov + 4 : at] + data[at : at + size] * count + data[at + size :])
    return path


@both
@pytest.mark.parametrize("count", [65, 900, 5000])
def test_too_many_streams_are_refused(reader, count, tmp_path):
    """More streams than plan.max_streams, also more than FFmpeg itself would take, are a limit that is named."""
    clip = write_clip(tmp_path / "a.mp4", _frames(5))

    with pytest.raises(LimitExceeded, match="streams"):
        reader(_many_tracks(tmp_path / "bomb.mp4", clip, count), PLAN)


@both
def test_endless_duration_is_refused(reader, tmp_path):
    """A header or time stamps that claim years are a limit, or less content than promised."""
    mkv = write_clip(tmp_path / "a.mkv", _frames(5))
    claimed = _patched(mkv, tmp_path / "claimed.mkv", b"\x44\x89\x88", 0, struct.pack(">d", 1e13))
    late = write_clip(tmp_path / "late.mkv", _frames(3), pts=[0, 1, 700_000_000], rate=1000)

    for path in (claimed, late):
        with pytest.raises(LimitExceeded, match=r"plan\.max_duration_s"):
            reader(path, PLAN)


@both
def test_packets_are_counted_and_weighed(reader, tmp_path):
    """More packets, or larger ones, than the settings allow end the pass at once."""
    clip = write_clip(tmp_path / "a.mp4", (np.random.default_rng(n).integers(0, 255, (48, 64, 3), np.uint8) for n in range(50)))

    with pytest.raises(LimitExceeded, match=r"more packets than plan.max_packets = 20"):
        reader(clip, replace(PLAN, max_packets=20))
    with pytest.raises(LimitExceeded, match=r"plan.max_packet_bytes = 100"):
        reader(clip, replace(PLAN, max_packet_bytes=100))
    assert reader(clip, replace(PLAN, max_packets=60))[0].num_frames_from_content == 50


def _changing_size(folder: Path) -> Path:
    """A transport stream whose pictures grow sixtyfold on their way, as no header says."""
    small = write_clip(folder / "small.ts", _frames(10), bframes=0)
    large = write_clip(folder / "large.ts", _frames(10, 2560, 1920), bframes=0)
    path = folder / "grows.ts"
    with av.open(str(path), "w", format="mpegts") as out:
        stream = None
        for number, part in enumerate((small, large)):
            with av.open(str(part)) as container:
                source = container.streams.video[0]
                stream = stream or out.add_stream_from_template(source)
                for packet in container.demux(source):
                    if packet.size:
                        packet.pts += number * 90000
                        packet.dts += number * 90000
                        packet.stream = stream
                        out.mux(packet)
    return path


def test_pictures_that_grow_on_their_way_come_out_in_the_planned_size(tmp_path):
    """A frame whose real size differs from the header's takes no more room than planned, in both readers alike."""
    path = _changing_size(tmp_path)
    facts, _ = guarded.probe(path, PLAN)

    plain = [[plane.tobytes() for plane in p.planes] for p in decode.read_pictures(path, facts, None)]
    ours = [[plane.tobytes() for plane in p.planes] for p in guarded.read_pictures(path, facts, None)]
    assert len(plain) == 20
    assert {len(planes[0]) for planes in plain} == {64 * 48}
    assert ours == plain


def test_pictures_that_outgrow_the_memory_end_reading(tmp_path):
    """The same stream under a small limit of memory is refused by the limit's name."""
    path = _changing_size(tmp_path)
    facts, _ = guarded.probe(path, PLAN)
    guarded.configure(guarded.RunSettings(media_memory_gb=0.12))

    try:
        with pytest.raises(SourceError):
            list(guarded.read_pictures(path, facts, None))
    finally:
        guarded.configure(guarded.RunSettings())
