"""Large objects in a bucket: planned from their index, worked on segment by segment, read whole once, to be published."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from support.fake_archive import fake_models, frames, run_local, spec_of

from faceanon.archive import parts
from faceanon.archive.store import open_store, version_of
from faceanon.core.errors import SourceChanged
from faceanon.core.jsonable import to_json
from faceanon.core.records import SourceItem
from faceanon.core.settings import Settings
from faceanon.flow import analyze, probe
from faceanon.flow.job import Context
from faceanon.flow.outcome import guarded
from faceanon.ledger.query import query
from faceanon.media.clips import write_clip

pytestmark = pytest.mark.store
BLUR = Settings().with_values(render__engine="blur", plan__segment_seconds=4.0, detect__width_px=192)
SAMPLES = 1094  # of noise, to each frame
PARTS = BLUR.with_values(store__whole_mb=0.0)


def padded(path: Path, target: Path) -> Path:
    """The same video beside a track of noise, interleaved, so that each second takes 1.75 MB, as in a film of a high rate."""
    with av.open(str(path)) as given, av.open(str(target), "w") as made:
        stream = given.streams.video[0]
        video = made.add_stream_from_template(stream)
        noise = made.add_stream("pcm_f64le", rate=25 * SAMPLES, layout="7.1")
        packets = [p for p in given.demux(stream) if p.dts is not None]
        rng = np.random.default_rng(2)
        for number, packet in enumerate(packets):
            data = av.Packet(rng.bytes(SAMPLES * 8 * 8))
            data.stream, data.pts, data.dts, data.time_base = noise, number * SAMPLES, number * SAMPLES, Fraction(1, 25 * SAMPLES)
            packet.stream = video
            made.mux([packet, data])
    return target


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """12 s, three segments of 4 s, a person in the middle of it."""
    script = lambda n: [(20 + (n - 120), 70, 44, 0)] if 120 <= n < 180 else []  # noqa: E731
    return write_clip(tmp_path_factory.mktemp("clip") / "walk.mp4", frames(script, 300), gop=25)


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Path:
    """40 s, ten segments of 4 s."""
    script = lambda n: [(20 + (n - 400) / 2, 70, 44, 0)] if 400 <= n < 600 else []  # noqa: E731
    folder = tmp_path_factory.mktemp("large")
    return padded(write_clip(folder / "walk.mp4", frames(script, 1000), gop=25), folder / "walk.mov")


@pytest.fixture
def small_head(monkeypatch):
    """Less than the clip, so that its parts are fetched one by one."""
    monkeypatch.setattr("faceanon.media.partial.HEAD_BYTES", 1 << 14)
    monkeypatch.setattr("faceanon.archive.parts._BLOCK_BYTES", 1 << 12)
    monkeypatch.setattr("faceanon.archive.parts._GAP_BYTES", 0)


def probed(context: Context, uri: str) -> dict:
    unit = {"unit_id": "u", "name": "walk.mov", "item": to_json(SourceItem(uri, "walk.mov"))}
    return guarded(probe.run, "probe", context, unit)


def test_a_70_mb_film_is_planned_in_four_requests(faulty_root, fault_proxy, large, tmp_path):
    """Head, index and the first bytes of segments: few requests and few bytes; then one segment of ten reads its own share."""
    store = open_store(f"{faulty_root}/in")
    store.upload(large, "walk.mov")
    size = large.stat().st_size
    settings = BLUR.with_values(plan__segment_seconds=20.0)
    spec, _ = spec_of(tmp_path / "out", settings, tmp_path / "key.json", [f"{faulty_root}/in"])
    fault_proxy.clear()
    with Context(spec, fake_models) as context:
        assert probed(context, store.uri("walk.mov"))["segments"] == 2
        assert size >= 70_000_000
        assert fault_proxy.count("GET", "/in/walk.mov") <= 4
        assert fault_proxy.bytes_down("GET", "/in/walk.mov") < size * 0.15

    spec, _ = spec_of(tmp_path / "out", BLUR, tmp_path / "key.json", [f"{faulty_root}/in"])
    with Context(spec, fake_models) as context:
        row = probed(context, store.uri("walk.mov"))
        assert row["segments"] == 10
    with Context(spec, fake_models) as context:
        fault_proxy.clear()
        done = guarded(analyze.run, "analyze", context, {"unit_id": "s", "name": "walk.mov", "output_id": row["output_id"], "segment_no": 5})

        assert done["kind"] == "done"
        assert done["detected_frames"] > 0
        assert 0 < fault_proxy.bytes_down("GET", "/in/walk.mov") <= size * 0.25


def test_a_job_on_parts_gives_the_same_video(faulty_root, fault_proxy, clip, tmp_path):
    """Read in parts or whole, the same bytes are published; the ledger has the digest of the source; a second run finds it done without reading it."""
    source = f"{faulty_root}/in"
    open_store(source).upload(clip, "walk.mp4")

    in_parts = run_local([source], tmp_path / "parts", tmp_path / "key.json", PARTS)
    whole = run_local([source], tmp_path / "whole", tmp_path / "key.json", BLUR)
    fault_proxy.clear()
    again = run_local([source], tmp_path / "parts", tmp_path / "key.json", PARTS)

    assert (in_parts["published"], whole["published"], in_parts["quarantined"]) == (1, 1, [])
    assert (tmp_path / "parts/videos/walk.mp4").read_bytes() == (tmp_path / "whole/videos/walk.mp4").read_bytes()
    assert (again["published"], again["unchanged"]) == (0, 1)
    assert fault_proxy.count("GET", "/in/walk.mp4") == 0
    sha256 = hashlib.sha256(clip.read_bytes()).hexdigest()
    assert query(str(tmp_path / "parts"), "SELECT sha256 FROM videos").to_pylist() == [{"sha256": sha256}]
    other = run_local([source], tmp_path / "other", tmp_path / "key.json", PARTS)
    assert ids(tmp_path / "other") == ids(tmp_path / "parts")
    assert other["videos"][0]["sha256"] == in_parts["videos"][0]["sha256"]


def ids(out: Path) -> list[dict]:
    return query(str(out), "SELECT video_id, output_id FROM outputs").to_pylist()


@pytest.mark.parametrize("ignores", [False, True])
def test_a_source_that_changes_between_parts_is_refused(faulty_root, clip, tmp_path, monkeypatch, small_head, ignores):
    """Another version under the name, after the plan or between two ranges of one segment: SourceChanged, whether the store heeds conditions or not."""
    store = open_store(f"{faulty_root}/in")
    store.upload(clip, "walk.mov")
    spec, _ = spec_of(tmp_path / "out", PARTS, tmp_path / "key.json", [f"{faulty_root}/in"])
    with Context(spec, fake_models) as context:
        row = probed(context, store.uri("walk.mov"))
        plan = context.plan(row["output_id"])
        context.segment_source(plan, plan.segments[1])
        part = context._part[1]
        store.replace("walk.mov", clip.read_bytes()[:-1] + b"x")
        if ignores:
            ask, there = parts._ranged, version_of(store.uri("walk.mov"))[1]
            monkeypatch.setattr(parts, "_ranged", lambda fs, source, start, stop, version: ask(fs, source, start, stop, there))

        with pytest.raises(SourceChanged):
            part.fetch([(part.size // 2, part.size)])
        with pytest.raises(SourceChanged):
            context.segment_source(plan, plan.segments[2])
        with pytest.raises(SourceChanged):
            context.source(plan.source)


def test_parts_survive_faults(faulty_root, fault_proxy, clip, tmp_path, small_head):
    """Cuts, errors and lost connections while ranges are read change nothing; a source that stays away is a row with its reason."""
    source = f"{faulty_root}/in"
    open_store(source).upload(clip, "walk.mp4")
    for fault, after in (("503", 0), ("cut download", 1), ("drop", 3), ("500", 5)):
        fault_proxy.fault(fault, method="GET", key="/in/walk.mp4", after=after)

    summary = run_local([source], tmp_path / "out", tmp_path / "key.json", PARTS)

    assert (summary["published"], summary["quarantined"]) == (1, [])
    assert all(rule.used for rule in fault_proxy.rules)
