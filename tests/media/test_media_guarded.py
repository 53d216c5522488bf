"""Reading in a confined process: the same answers as without one, and nothing shared that should not be."""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import threading

import numpy as np
import pytest
from media_support import FAST, PLAN, encoded, planned, scene, signature, tone
from support.processes import eventually, parsers

from faceanon.core.errors import SourceTruncated, SourceUnreadable
from faceanon.core.jsonable import to_json
from faceanon.media import decode, guard, guarded, joined, probe, stitch
from faceanon.media import describe as described
from faceanon.media.clips import write_clip
from faceanon.media.mixing import choose_copies

CLIPS = [
    ("a.mp4", {"audio": tone(2), "rotation": 90}),
    ("b.mkv", {"codec": "hevc", "pix_fmt": "yuv420p10le"}),
    ("c.webm", {"codec": "vp9", "rotation": 180}),
    ("d.avi", {"codec": "mjpeg"}),
    ("e.gif", {"codec": "gif", "rate": 10}),
    ("f.ts", {"open_gop": True}),
    ("g.mov", {"codec": "prores_ks", "rotation": 270}),
    ("h.mkv", {"codec": "ffv1", "pix_fmt": "gray"}),
    ("i.mp4", {"codec": "mpeg4"}),
]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guarded")

    def make(name="plain.mp4", count=50, size=(98, 66), **options):
        path = folder / name
        return path if path.exists() else write_clip(path, scene(count, *size), **options)

    return make


@pytest.mark.parametrize(("name", "options"), CLIPS, ids=[name for name, _ in CLIPS])
def test_answers_are_the_same(clip, name, options, tmp_path):
    """Every function gives, to the last sample and byte, what it gives without a process of its own."""
    path = clip(name, **options)
    facts, index, segments = planned(path)
    middle = segments[len(segments) // 2]

    seen, listed = guarded.probe(path, PLAN)
    assert seen == facts
    assert all(np.array_equal(getattr(listed, f.name), getattr(index, f.name)) for f in dataclasses.fields(index))
    for segment, lookahead in ((None, 0), (middle, 7), (segments[0], 0)):
        for writable in (True, False):
            plain = decode.read_pictures(path, facts, segment, lookahead=lookahead, writable=writable)
            ours = guarded.read_pictures(path, facts, segment, lookahead=lookahead, writable=writable)
            assert signature(ours) == signature(plain)
            assert ours.decode_errors == plain.decode_errors
    assert signature(guarded.sample_pictures(path, facts, 0.3)) == signature(described.sample_pictures(path, facts, 0.3))
    assert signature(guarded.sample_pictures(path, None, 0.3)) == signature(described.sample_pictures(path, None, 0.3))
    assert guarded.copied_digest(path, facts, middle) == joined.copied_digest(path, facts, middle)
    staged = _staged(path, facts, segments, tmp_path)
    ours, theirs = tmp_path / f"ours{path.suffix}", tmp_path / f"theirs{path.suffix}"
    assert guarded.stitch(path, facts, segments, staged, ours, FAST) == stitch.stitch(path, facts, segments, staged, theirs, FAST)
    assert ours.read_bytes() == theirs.read_bytes()
    assert to_json({**vars(guarded.describe(ours)), "frame_pts": None}) == to_json({**vars(described.describe(theirs)), "frame_pts": None})
    assert np.array_equal(guarded.describe(ours).frame_pts, described.describe(theirs).frame_pts)
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_dir()) == []


def _staged(path, facts, segments, folder):
    reasons = choose_copies(facts, segments, [s.segment_no for s in segments[1:]])
    return {s.segment_no: encoded(path, facts, s, folder / f"staged.{s.segment_no}") for s in segments if reasons[s.segment_no]}


def test_errors_are_the_same(clip, tmp_path):
    """What is wrong with a file is said in the same words, and names the file as it was given."""
    whole = clip()
    facts, _, segments = planned(whole)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[:-3000])
    text = tmp_path / "text.mp4"
    text.write_bytes(b"dear diary\n" * 90)
    relative = os.path.relpath(text)
    other = tmp_path / "short.mp4"
    write_clip(other, scene(30, 98, 66))

    for path in (cut, text, tmp_path / "missing.mp4", tmp_path, type(text)(relative)):
        with pytest.raises((SourceUnreadable, SourceTruncated)) as plain:
            probe.probe(path, PLAN)
        with pytest.raises(type(plain.value)) as ours:
            guarded.probe(path, PLAN)
        assert str(ours.value) == str(plain.value)
    with pytest.raises(SourceTruncated) as plain:
        list(decode.read_pictures(other, facts, None))
    pictures = []
    with pytest.raises(SourceTruncated) as ours:
        pictures.extend(guarded.read_pictures(other, facts, None))
    assert str(ours.value) == str(plain.value)
    assert len(pictures) in (0, 30)  # extend keeps what came before the error, on some versions of Python
    with pytest.raises(SourceTruncated, match="planned"):
        guarded.stitch(other, facts, segments, {}, tmp_path / "out.mp4", FAST)
    assert not (tmp_path / "out.mp4").exists()


def test_pictures_may_be_kept_and_painted(clip):
    """However many pictures are held, none is overwritten, painting one changes no other, and read-only ones are."""
    path = clip("long.mp4", count=150, size=(64, 48))
    facts, _, _ = planned(path)
    expected = signature(decode.read_pictures(path, facts, None))

    held = list(guarded.read_pictures(path, facts, None))
    assert signature(held) == expected
    held[3].planes[0][:] = 7
    assert signature(held[:3] + held[4:]) == expected[:3] + expected[4:]
    kept = [p for p in guarded.read_pictures(path, facts, None, writable=False) if p.index % 40 == 0]
    assert signature(kept) == expected[::40]
    assert not kept[0].planes[0].flags.writeable


def test_painting_in_passing_does_not_reach_later_pictures(clip):
    """The decoder does not predict from what was painted."""
    path = clip()
    facts, _, _ = planned(path)
    expected = signature(decode.read_pictures(path, facts, None))

    seen = []
    for picture in guarded.read_pictures(path, facts, None):
        seen += signature([picture])
        for plane in picture.planes:
            plane[:] = 0
    assert seen == expected


def test_a_reader_closed_or_dropped_frees_its_process(clip):
    """Whoever stops reading leaves no process and no memory behind."""
    path = clip("long.mp4", count=150, size=(64, 48))
    facts, _, _ = planned(path)
    handles = len(os.listdir("/proc/self/fd"))

    first = guarded.read_pictures(path, facts, None)
    second = guarded.read_pictures(path, facts, None)
    next(first)
    next(second)
    assert len(parsers(os.getpid())) == 2
    first.close()
    assert len(parsers(os.getpid())) == 1
    del second
    gc.collect()
    assert eventually(lambda: not parsers(os.getpid()))
    assert len(os.listdir("/proc/self/fd")) <= handles + 1  # the keeper's socket, if this was the first


def test_many_readers_at_once(clip, tmp_path):
    """Threads read and stitch at the same time, each its own."""
    path = clip("long.mp4", count=150, size=(64, 48))
    facts, _, segments = planned(path)
    expected, plain = signature(decode.read_pictures(path, facts, None)), tmp_path / "plain.mp4"
    stitch.stitch(path, facts, segments, {}, plain, FAST)
    wrong = []

    def read(number):
        out = tmp_path / f"{number}.mp4"
        guarded.stitch(path, facts, segments, {}, out, FAST)
        if signature(guarded.read_pictures(path, facts, None)) != expected or out.read_bytes() != plain.read_bytes():
            wrong.append(number)

    threads = [threading.Thread(target=read, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_cpu_time_of_readers_is_counted(clip):
    """What dead and living readers spent is in one sum that never falls."""
    path = clip("long.mp4", count=150, size=(64, 48))
    facts, _, _ = planned(path)

    before = guarded.child_cpu_s()
    reader = guarded.read_pictures(path, facts, None)
    next(reader)
    alive = guarded.child_cpu_s()
    list(reader)
    dead = guarded.child_cpu_s()
    assert before < alive <= dead < before + 60


def test_results_travel_as_json(clip):
    """What a record holds survives the way through JSON, so that nothing needs pickling."""
    facts, _, segments = planned(clip())

    assert json.loads(json.dumps(to_json(facts))) == to_json(facts)
    assert json.loads(json.dumps(to_json(list(segments)))) == to_json(list(segments))


def test_a_call_may_end_while_its_time_is_asked():
    """The garbage collector may drop a reader, and so end its call, in the middle of counting; that ended videos in quarantine."""
    house = guard._House()

    class Dropped:
        def __init__(self, other: int) -> None:
            self.other = other

        def cpu_s(self) -> float:
            house.ended(self.other, 1.0)
            return 1.0

    house._alive = {0: Dropped(1), 1: Dropped(0)}

    assert house.cpu_s() == 2.0
    assert house.cpu_s() == 2.0
