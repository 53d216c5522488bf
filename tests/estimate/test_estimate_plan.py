"""What a plan says: sums, samples, arithmetic, rates."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from faceanon.archive.scratch import Scratch
from faceanon.archive.sources import Resolved, resolve
from faceanon.core.errors import SourceUnreadable, UsageError
from faceanon.core.records import SourceItem
from faceanon.core.settings import ENGINES, Settings
from faceanon.estimate import arithmetic, rates
from faceanon.estimate.survey import Workload, survey
from faceanon.ledger.known import nothing
from faceanon.media.glance import Glance

HOUR = Workload(videos=1, seconds=3600, frames=90_000, megapixels=90_000, segments=120, bytes=2e9, largest_bytes=2e9)


def by_name(lines):
    return {line.name: line for line in lines}


def costs(load=HOUR, table=None, engine="blur", faces=1.0, cpus=4):
    return by_name(arithmetic.lines(load, table or rates.load(), engine=engine, faces_share=faces, cpus=cpus))


@pytest.fixture
def many(tmp_path):
    """40 sources whose n-th byte count says how many minutes it lasts."""
    draw = random.Random(3)
    items = []
    for n in range(40):
        path = tmp_path / f"{n:02d}.mp4"
        path.write_bytes(b"x" * draw.randint(20, 60))
        items.append(SourceItem(str(path), path.name))
    return Resolved(tuple(items), ())


def minutes(path, plan):
    size = path.stat().st_size
    return Glance(60.0 * size, 1500 * size, 1280, 720, "h264")


def ask(resolved, tmp_path, limit, seed=0, look=minutes):
    with Scratch(tmp_path / "scratch", 10**9) as scratch:
        return survey(resolved, nothing(), Settings(), "", scratch, limit=limit, seed=seed, look=look)


def test_all_headers_give_exact_sums(many, tmp_path):
    """Up to the limit every video is looked at and nothing is uncertain."""
    found = ask(many, tmp_path, limit=40)

    sizes = [Path(item.uri).stat().st_size for item in many.items]
    assert (found.looked_at, found.is_sample, found.within) == (40, False, 0.0)
    assert (found.left.seconds, found.left.bytes, found.left.segments) == (60 * sum(sizes), sum(sizes), 2 * sum(sizes))


def test_a_sample_holds_the_truth_in_its_interval(many, tmp_path):
    """Of 40 seeded samples at least 34 hold the true hours (95 % of them should); a seed gives one answer."""
    truth = ask(many, tmp_path, limit=40).left.seconds

    samples = [ask(many, tmp_path, limit=12, seed=seed) for seed in range(40)]

    assert sum(abs(s.left.seconds - truth) <= s.within * s.left.seconds for s in samples) >= 34
    assert {s.looked_at for s in samples} == {12}
    assert samples[5] == ask(many, tmp_path, limit=12, seed=5)
    assert len({s.left.seconds for s in samples}) > 30


def test_what_cannot_be_read_is_counted(many, tmp_path):
    """Unreadable headers and missing files lower the sum and are named."""

    def look(path, plan):
        if path.name < "10":
            raise SourceUnreadable("no", source=str(path))
        return minutes(path, plan)

    found = ask(replace(many, items=(*many.items, SourceItem("/nothere.mp4", "n.mp4"))), tmp_path, limit=100, look=look)

    assert (found.unreadable, found.left.videos) == (11, 30)


def test_real_headers_are_read(tmp_path):
    """A written clip's header says what was written, and nothing stays in scratch."""
    from support.fake_archive import frames

    from faceanon.media.clips import write_clip
    from faceanon.media.glance import glance

    write_clip(tmp_path / "in.mp4", frames(lambda n: [], 50))

    found = ask(resolve([str(tmp_path / "in.mp4")], Settings()), tmp_path, limit=5, look=glance)

    assert (found.left.seconds, found.left.frames, found.left.segments) == (2.0, 50, 1)


@pytest.mark.store
def test_headers_of_objects_take_two_ranges(tmp_path, s3_root):
    """An object's header is read from its ends, in a file of its size, and the file goes."""
    from support.fake_archive import frames

    from faceanon.archive.peek import HEAD_BYTES, TAIL_BYTES
    from faceanon.archive.store import open_store
    from faceanon.media.clips import write_clip
    from faceanon.media.glance import glance

    clip = write_clip(tmp_path / "a.mp4", frames(lambda n: [], 50))
    padded = tmp_path / "big.mp4"
    padding = HEAD_BYTES + TAIL_BYTES
    padded.write_bytes((padding).to_bytes(4, "big") + b"free" + bytes(padding - 8) + clip.read_bytes())
    open_store(s3_root).upload(padded, "big.mp4")

    found = ask(resolve([f"{s3_root}/big.mp4"], Settings()), tmp_path, limit=5, look=glance)

    assert (found.unreadable, found.left.seconds, found.left.bytes) == (0, 2.0, padded.stat().st_size)
    assert not any((tmp_path / "scratch").rglob("*.mp4"))


def test_costs_follow_from_the_rates():
    """Twice the work costs twice as much; twice the CPUs take half the time; segments without faces cost less."""
    one, two = costs(), costs(HOUR.times(2))

    for name in ("CPU", "frames", "requests PUT", "ledger rows", "read", "written"):
        assert two[name].value == pytest.approx(2 * one[name].value)
    assert costs(cpus=8)["wall on 8 CPUs"].value == pytest.approx(one["wall on 4 CPUs"].value / 2)
    assert costs(faces=0.0)["CPU"].value < one["CPU"].value < costs(engine="swap")["CPU"].value
    assert one["CPU"].value == pytest.approx(90_000 * rates.load().cpu_ms_a_megapixel["blur"] / 3.6e6)
    assert two["scratch a worker"].value == one["scratch a worker"].value


def test_nothing_is_said_of_gpus_that_was_not_measured(tmp_path):
    """GPU hours are "not measured" until a rate is given."""
    given = tmp_path / "gpu.json"
    given.write_text(json.dumps({"gpu_frames_a_second": 100}))

    assert (costs()["GPU"].value, costs()["GPU"].basis) == (None, "not measured")
    line = costs(table=rates.load(given))["GPU"]
    assert (line.value, line.basis) == (pytest.approx(0.25), "measured")


BAD_RATES = ["{", "[]", '{"speed": 1}', '{"parallel_efficiency": 0}', '{"cpu_ms_a_megapixel": 3}', '{"row_bytes": {"videos": "many"}}', '{"source_reads": -1}']


@pytest.mark.parametrize("text", BAD_RATES)
def test_bad_rates_are_wrong_usage(tmp_path, text):
    """What is no table of rates is refused by name."""
    path = tmp_path / "rates.json"
    path.write_text(text)

    with pytest.raises(UsageError, match="rates"):
        rates.load(path)


def test_committed_rates_name_their_measurement():
    """Each measured rate has its command, and none is named that is not there."""
    table = rates.load()

    assert {"cpu_ms_a_megapixel", "requests_a_segment", "row_bytes"} <= table.measured.keys() <= vars(table).keys()
    assert all(table.cpu_ms_a_megapixel[engine] > 0 for engine in ENGINES)
