"""`faceanon sweep`: orphans go after an age; what a record names, and what a live run may still need, stays."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from support.fake_archive import fake_models, run_local, spec_of, write_archive

from faceanon.archive.store import open_store
from faceanon.cli import main
from faceanon.core.jsonable import to_json
from faceanon.core.settings import Settings
from faceanon.flow import layout, others
from faceanon.flow.host import this_process
from faceanon.flow.job import Context
from faceanon.flow.sweep import sweep

BLUR = Settings().with_values(render__engine="blur", plan__segment_seconds=0.8, detect__width_px=192)
DAY_S = 86400.0


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    return write_archive(tmp_path_factory.mktemp("archive"))


@pytest.fixture
def out(archive, tmp_path) -> Path:
    """A job's output; then what dead runs leave: a loser's object, half-made work, notes, an unfinished file. All of it is ten days old."""
    run_local([str(archive / "empty.mp4")], tmp_path / "out", tmp_path / "key.json", BLUR)
    store, work = open_store(str(tmp_path / "out")), open_store(str(tmp_path / "out/.work"))
    store.create("objects/ab/ab12-0011223344556677.mp4", b"a loser's bytes")
    work.create(layout.plan("cd34"), b"{}")
    work.create(layout.analysis("cd34", 0), b"sealed")
    work.create("gallery/people.sealed", b"known people")
    dead = json.dumps({**to_json(this_process()), "pid": 2**22 + 1}).encode()
    work.create(layout.driver_mark("run-dead"), dead)
    store.create(layout.out_mark("run-dead"), dead)
    work.create(layout.attempt("run-dead", "analyze", "u", 1), b"{}")
    (tmp_path / "out/objects/ab/.aside-1-2").write_bytes(b"half")
    age(tmp_path / "out", 10)
    return tmp_path / "out"


def age(top: Path, days: float) -> None:
    moment = time.time() - days * DAY_S
    for path in top.rglob("*"):
        os.utime(path, (moment, moment))


def left(out: Path) -> set[str]:
    return {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}


def test_orphans_go_and_what_is_named_stays(out, archive, tmp_path, capsys):
    """Everything that dead runs left goes, once it is old; published objects, records, views and the gallery stay, and a dry run only says so."""
    before = left(out)

    assert main(["sweep", str(out), "--older-than", "11d"]) == 0
    assert left(out) == before
    assert main(["sweep", str(out), "--dry-run", "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out.partition("\n")[2])
    assert left(out) == before
    assert main(["sweep", str(out)]) == 0
    gone = before - left(out)

    assert gone == {
        "objects/ab/ab12-0011223344556677.mp4", "objects/ab/.aside-1-2", ".work/videos/cd34/plan.json", ".work/videos/cd34/analysis/000000.sealed",
        ".work/attempts/run-dead/driver.json", ".work/attempts/run-dead/analyze/u.1", "runs/run-dead.driver",
    }  # fmt: skip
    assert sum(entry["size"] for entry in told["swept"]) == sum(len(data) for data in (b"a loser's bytes", b"half", b"{}", b"sealed", b"{}")) + 2 * mark_bytes()
    again = run_local([str(archive / "empty.mp4")], out, tmp_path / "key.json", BLUR)
    assert (again["unchanged"], again["quarantined"]) == (1, [])


def mark_bytes() -> int:
    return len(json.dumps({**to_json(this_process()), "pid": 2**22 + 1}).encode())


def test_a_live_run_keeps_its_work_and_its_objects(out, archive, tmp_path):
    """While a run is going on no half-made work goes, old as it may be, nor an object that its work could still publish; other orphans do."""
    spec, _ = spec_of(out, BLUR, tmp_path / "key.json", [str(archive / "empty.mp4")])
    store, work = open_store(str(out)), open_store(str(out / ".work"))
    store.create("objects/cd/cd34-8899aabbccddeeff.mp4", b"uploaded, and its record is about to be made")
    age(out, 10)
    with Context(spec, fake_models) as context:
        others.mark(context)

        gone = [entry.uri.removeprefix(f"{out}/") for entry in sweep(store, work, older_than_s=7 * DAY_S)]

        assert "objects/ab/ab12-0011223344556677.mp4" in gone
        assert ".work/videos/cd34" not in gone
        assert "objects/cd/cd34-8899aabbccddeeff.mp4" not in gone
        assert f"runs/{spec.run.run_id}.driver" not in gone
        others.unmark(context)
    assert {"objects/cd/cd34-8899aabbccddeeff.mp4", ".work/videos/cd34"} <= {e.uri.removeprefix(f"{out}/") for e in sweep(store, work, older_than_s=7 * DAY_S)}


def test_a_live_run_under_another_work_root_stops_the_sweep_of_objects(out, archive, tmp_path):
    """Where a run lives whose work cannot be seen, no object goes: it might be just about to be named."""
    store = open_store(str(out))
    store.create(layout.out_mark("run-elsewhere"), json.dumps({**to_json(this_process()), "host": "elsewhere"}).encode())

    gone = [entry.what for entry in sweep(store, open_store(str(tmp_path / "no-work")), older_than_s=7 * DAY_S)]

    assert "object without a record" not in gone
    assert "mark of a dead run" in gone


def test_superseded_objects_stay(archive, tmp_path):
    """A record that is no longer the newest still names its object."""
    sources, out = [str(archive / "empty.mp4")], tmp_path / "out"
    run_local(sources, out, tmp_path / "key.json", BLUR)
    run_local(sources, out, tmp_path / "key.json", BLUR.with_values(render__engine="pixelate"))
    age(out, 10)
    before = left(out)

    assert list(sweep(open_store(str(out)), open_store(str(out / ".work")), older_than_s=DAY_S)) == []
    assert left(out) == before
    assert len([name for name in before if name.startswith("objects/")]) == 2


@pytest.mark.store
def test_on_s3_ages_are_the_stores(s3_root, archive, tmp_path, monkeypatch):
    """In a bucket: a loser's object and an unfinished upload go by the store's clock, whatever this machine's says; what is published stays."""
    run_local([str(archive / "empty.mp4")], s3_root, tmp_path / "key.json", BLUR)
    store, work = open_store(s3_root), open_store(f"{s3_root}/.work")
    store.create("objects/ab/ab12-0011223344556677.mp4", b"x")
    begin_upload(s3_root)
    before = set(store.list(""))
    monkeypatch.setattr("time.time", lambda: 0.0)

    assert list(sweep(store, work, older_than_s=DAY_S)) == []
    gone = [(entry.what, entry.uri.removeprefix(f"{s3_root}/")) for entry in sweep(store, work, older_than_s=-5.0)]

    assert gone == [("unfinished file or upload", "objects/cd/half.mp4"), ("object without a record", "objects/ab/ab12-0011223344556677.mp4")]
    assert before - set(store.list("")) == {"objects/ab/ab12-0011223344556677.mp4"}
    assert store.unfinished(-3600) == []


def begin_upload(root: str) -> None:
    from faceanon.archive.objects import filesystem
    from faceanon.archive.uri import parse

    top = parse(root)
    filesystem().call_s3("create_multipart_upload", Bucket=top.bucket, Key=f"{top.path}/objects/cd/half.mp4")
