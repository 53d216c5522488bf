"""Large objects are planned and decoded from parts of them, with the same result as from the whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from faceanon.archive.parts import PartFile, joined
from faceanon.archive.scratch import Scratch
from faceanon.core.errors import LimitExceeded
from faceanon.core.settings import Settings
from faceanon.flow import parts
from faceanon.media.clips import write_clip
from faceanon.media.decode import read_pictures
from faceanon.media.joined import copied_digest
from faceanon.media.probe import probe
from faceanon.media.segments import plan_segments

PLAN = Settings().with_values(plan__segment_seconds=2.0).plan
SOUND = (np.sin(np.arange(48000 * 12) / 20).astype(np.float32) / 4, 48000)


def images(count: int, size=(192, 144)):
    rng = np.random.default_rng(5)
    base = rng.integers(0, 255, (size[1], size[0] * 2, 3), np.uint8)
    for number in range(count):
        yield np.ascontiguousarray(np.roll(base, number * 3, axis=1)[:, : size[0]])


def remuxed(source: Path, target: Path, flags: str) -> Path:
    """The same packets under other movflags."""
    with av.open(str(source)) as given, av.open(str(target), "w", container_options={"movflags": flags}) as made:
        streams = {s.index: made.add_stream_from_template(s) for s in given.streams}
        for packet in given.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream_index]
                made.mux(packet)
    return target


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("clips")
    made = {}
    for codec in ("h264", "hevc", "av1", "vp9"):
        made[codec] = write_clip(folder / f"{codec}.mp4", images(300), codec=codec, gop=25, audio=SOUND)
    made["open gop"] = write_clip(folder / "open.mp4", images(300), gop=20, audio=SOUND, open_gop=True)
    made["all intra"] = write_clip(folder / "intra.mov", images(120), gop=1, bframes=0)
    made["moov first"] = remuxed(made["h264"], folder / "first.mp4", "faststart")
    made["fragmented"] = remuxed(made["h264"], folder / "fragmented.mp4", "frag_keyframe+empty_moov")
    made["matroska"] = write_clip(folder / "x.mkv", images(60), gop=25)
    return made


@pytest.fixture
def small_blocks(monkeypatch):
    """Parts as small against these clips as the real ones are against films."""
    monkeypatch.setattr("faceanon.archive.parts._BLOCK_BYTES", 4096)
    monkeypatch.setattr("faceanon.archive.parts._GAP_BYTES", 8192)
    monkeypatch.setattr("faceanon.media.partial.HEAD_BYTES", 4096)


def local_part(path: Path, scratch: Scratch) -> PartFile:
    """A PartFile whose bytes come from a file."""
    part = PartFile(f"s3://bucket/{path.name}", path.stat().st_size, "v1", scratch)
    part.read_bytes = 0

    def get(start, stop):
        part.read_bytes += stop - start
        with path.open("rb") as file:
            file.seek(start)
            return file.read(stop - start)

    part._get = get
    return part


PARTIAL = ("h264", "hevc", "av1", "open gop", "all intra", "moov first")


@pytest.mark.parametrize("kind", PARTIAL)
def test_a_plan_made_of_parts_is_the_plan(clips, tmp_path, small_blocks, kind):
    """Facts, segments, clean starts and which segments may be copied are those of the whole file, of which a good part was not read."""
    path = clips[kind]
    facts, index = probe(path, PLAN)
    with Scratch(tmp_path, 1 << 30) as scratch:
        part = local_part(path, scratch)
        fingerprint = parts.opened(part, PLAN)
        found, partial_index = parts.probed(part, PLAN)

        assert fingerprint
        assert found == facts
        seen, whole = plan_segments("v", found, partial_index, PLAN), plan_segments("v", facts, index, PLAN)
        assert [replace(s, cuts=(), stops=()) for s in seen] == [replace(s, cuts=(), stops=()) for s in whole]
        assert all(set(one.cuts) <= set(other.cuts) for one, other in zip(seen, whole, strict=True))  # of frames inside a segment nothing was read
        assert len(whole) > 1
        assert np.array_equal(partial_index.pts, index.pts)
        assert part.read_bytes < part.size


@pytest.mark.parametrize("kind", PARTIAL)
def test_segments_decode_from_their_own_bytes(clips, tmp_path, small_blocks, kind):
    """Every segment's pictures, those of the lookahead too, and its packets are those of the whole file."""
    path = clips[kind]
    facts, index = probe(path, PLAN)
    with Scratch(tmp_path, 1 << 30) as scratch:
        for segment in plan_segments("v", facts, index, PLAN):
            part = local_part(path, scratch)
            parts.opened(part, PLAN)
            parts.fetch_segment(part, facts, segment, 24)

            pairs = zip(*(read_pictures(p, facts, segment, lookahead=24) for p in (path, part.path)), strict=True)
            assert all(a.index == b.index and all(np.array_equal(x, y) for x, y in zip(a.planes, b.planes, strict=True)) for a, b in pairs)
            assert copied_digest(part.path, facts, segment) == copied_digest(path, facts, segment)


@pytest.mark.parametrize("kind", ["vp9", "fragmented", "matroska"])
def test_what_cannot_be_read_in_parts_says_so(clips, tmp_path, kind):
    """Codecs whose packets must all be seen, and containers without one index, are left to be read whole."""
    with Scratch(tmp_path, 1 << 30) as scratch:
        assert parts.opened(local_part(clips[kind], scratch), PLAN) == ""


def test_damaged_heads_are_left_to_the_whole_file(clips, tmp_path):
    """Cut short, or junk between boxes: nothing is guessed from a part."""
    data = clips["h264"].read_bytes()
    with Scratch(tmp_path / "scratch", 1 << 30) as scratch:
        for number, damaged in enumerate((data[: len(data) * 6 // 10], data[:40] + b"\xff" * 4000 + data[40:], b"\0" * 5000)):
            path = tmp_path / f"{number}.mp4"
            path.write_bytes(damaged)
            assert parts.opened(local_part(path, scratch), PLAN) == ""


def test_scratch_counts_what_is_there(tmp_path, clips):
    """A sparse file counts with the bytes that were fetched, and a range that cannot fit is refused before it is fetched."""
    with Scratch(tmp_path, 3_000_000) as scratch:
        part = PartFile("s3://bucket/x.mp4", 10**12, "v1", scratch)
        part._get = lambda start, stop: b"x" * (stop - start)
        part.fetch([(5 * 10**11, 5 * 10**11 + 10)])

        assert 10 <= scratch.used_bytes() <= 1 << 17
        with pytest.raises(LimitExceeded):
            part.fetch([(0, 4_000_000)])


def test_ranges_are_joined():
    """Neighbours and what overlaps become one; what is far apart stays apart."""
    assert joined([(10, 20), (0, 5), (18, 30), (100, 110)], 5) == [(0, 30), (100, 110)]
    assert joined([(0, 5), (6, 7)], 0) == [(0, 5), (6, 7)]
