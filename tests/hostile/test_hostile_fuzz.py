"""Damaged files of every container and codec: each ends as a plan or as one of our errors, in time, and leaves nothing behind."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
from fuzzing import KINDS, NUM_FILES, Damaged, Fuzz
from support.processes import parsers

from faceanon.core.errors import FaceanonError, SourceError
from faceanon.core.settings import EncodeSettings, PlanSettings, RunSettings
from faceanon.media import guarded, partial
from faceanon.media.guard import HOUSE
from faceanon.media.mixing import choose_copies
from faceanon.media.segments import plan_segments

PLAN = PlanSettings(segment_seconds=0.1)
STALL_S = 20.0
IN_EVERY_RUN = 100
SLICE = 100
# Seeds whose files once ended otherwise than they should; the files are made anew from them.
FOUND = {
    424: "pictures of no size",
    508: "pictures of no size",
    844: "pictures of no size",
    3919: "a Segment's mark with nothing behind it",
    6809: "a stream that appears on the way",
}


@pytest.fixture(scope="module")
def fuzz(tmp_path_factory):
    return Fuzz(tmp_path_factory.mktemp("fuzz"))


@pytest.fixture(autouse=True)
def _limits():
    guarded.configure(RunSettings(media_stall_s=STALL_S, media_cpu_s=60, media_memory_gb=1.0))
    yield
    guarded.configure(RunSettings())


def fate(damaged: Damaged, folder: Path) -> str:
    """What became of a file on its way through everything that reads it: "done", or the error that ended it."""
    path = folder / f"damaged{damaged.suffix}"
    path.write_bytes(damaged.data)
    try:
        facts, index = guarded.probe(path, PLAN)
        segments = plan_segments("video", facts, index, PLAN)
        for segment in (None, segments[-1]):
            reader = guarded.read_pictures(path, facts, segment, writable=False)
            if sum(1 for _ in reader) != (segment.num_frames if segment else facts.num_frames_from_content):
                return "frames are missing"
        sum(1 for _ in guarded.sample_pictures(path, facts, 0.1))
        for segment in segments[:3]:
            guarded.copied_digest(path, facts, segment)
        wanted = range(len(segments))
        if not any(choose_copies(facts, segments, wanted).values()):
            guarded.stitch(path, facts, segments, {}, folder / f"out{damaged.suffix}", EncodeSettings())
            guarded.describe(folder / f"out{damaged.suffix}")
            sum(1 for _ in guarded.sample_pictures(folder / f"out{damaged.suffix}", None, 0.1))
    except FaceanonError as error:
        return f"{type(error).__name__}: {error.reason}"
    finally:
        for left in folder.iterdir():
            left.unlink()
    return "done"


def look(damaged: Damaged, folder: Path) -> str:
    """The same of what only looks at a file's header, and of what takes it for a large object of which all is here."""
    path = folder / f"damaged{damaged.suffix}"
    path.write_bytes(damaged.data)
    held = [(0, len(damaged.data))]
    try:
        with suppress(SourceError):
            guarded.glance(path, PLAN)
        if not (partial.index_look(path, held).whole or guarded.opening_look(path, held, PLAN).whole):
            found = guarded.probe_part(path, PLAN, held)
            if found.facts is not None and found.index is not None:
                for segment in plan_segments("video", found.facts, found.index, PLAN):
                    guarded.segment_ranges(path, found.facts, segment, 4)
    except FaceanonError as error:
        return f"{type(error).__name__}: {error.reason}"
    finally:
        path.unlink()
    return "done"


def _run(fuzz: Fuzz, seeds: range, folder: Path) -> dict[str, list[int]]:
    """Fates that should not be, with their seeds."""
    wrong: dict[str, list[int]] = {}
    for seed in seeds:
        try:
            words = f"{fate(fuzz.file(seed), folder)}; {look(fuzz.file(seed), folder)}"
        except (ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError) as error:
            words = f"escaped: {type(error).__name__}: {error}"
        if any(word in words for word in ("escaped", "run.media_stall_s", "run.media_cpu_s", "frames are missing", "cannot be taken apart", "crashed", "nonsense")):
            wrong.setdefault(words[:160], []).append(seed)
    return wrong


@pytest.fixture
def quiet(tmp_path, monkeypatch):
    """Empty folders to run in: a place to work in, and one each for temporary files and for whatever is written where the job stands."""
    folders = [tmp_path / name for name in ("work", "temporary", "here")]
    for folder in folders:
        folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folders[1]))
    monkeypatch.chdir(folders[2])
    HOUSE.stop()  # the next keeper starts here, and with this environment
    yield folders
    HOUSE.stop()


def _assert_harmless(fuzz: Fuzz, seeds: range, folders: list[Path]) -> None:
    for kind in KINDS:
        fuzz.whole(kind)
    named, handles = _named_memory(), len(os.listdir("/proc/self/fd"))

    assert _run(fuzz, seeds, folders[0]) == {}
    assert [list(folder.iterdir()) for folder in folders] == [[], [], []]
    assert _named_memory() == named
    assert parsers(os.getpid()) == []
    assert len(os.listdir("/proc/self/fd")) <= handles + 1


def _named_memory() -> list[str]:
    return sorted(name for name in os.listdir("/dev/shm") if "faceanon" in name)


def test_the_files_are_whole_before_they_are_damaged(fuzz, tmp_path):
    """Undamaged, every kind is looked at, read to its end, and written again where its container is, so that what is tested is the damage."""
    fates = {kind: fate(Damaged(kind, KINDS[kind][0], fuzz.whole(kind)), tmp_path) for kind in KINDS}

    assert {look(Damaged(kind, KINDS[kind][0], fuzz.whole(kind)), tmp_path) for kind in KINDS} == {"done"}
    only_read = {"mpg mpeg1": "mpeg", "mxf mpeg2": "mxf", "ogg vp8": "ogg"}
    assert fates == {kind: f"SourceUnsupported: the container {only_read[kind]} cannot be written" if kind in only_read else "done" for kind in KINDS}


def test_the_same_seed_is_the_same_file(tmp_path):
    """Seeds are enough to keep, since files are made from them alone."""
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one, two = Fuzz(tmp_path / "one"), Fuzz(tmp_path / "two")

    assert [one.file(seed) for seed in range(0, 60, 7)] == [two.file(seed) for seed in range(0, 60, 7)]


def test_damaged_files_do_no_harm(fuzz, quiet):
    """A plan or one of our errors for each; no crash, no hang, nothing left."""
    _assert_harmless(fuzz, range(IN_EVERY_RUN), quiet)


@pytest.mark.long
@pytest.mark.parametrize("first", range(IN_EVERY_RUN, NUM_FILES, SLICE))
def test_many_damaged_files_do_no_harm(fuzz, first, quiet):
    """The rest of the two thousand."""
    _assert_harmless(fuzz, range(first, first + SLICE), quiet)


def test_what_once_did_harm_does_none(fuzz, quiet):
    """Each of these was a fault of ours."""
    wrong = {seed: _run(fuzz, range(seed, seed + 1), quiet[0]) for seed in FOUND}

    assert {seed: fates for seed, fates in wrong.items() if fates} == {}
