"""`faceanon plan` as a user meets it."""

from __future__ import annotations

import json
import shlex

import pytest
from support.fake_archive import frames, run_local

from faceanon.archive.sources import resolve
from faceanon.cli import main
from faceanon.core.settings import Settings
from faceanon.media.clips import write_clip

BLUR = Settings().with_values(render__engine="blur", detect__width_px=192)


@pytest.fixture
def archive(tmp_path):
    (tmp_path / "in").mkdir()
    for n in range(3):
        write_clip(tmp_path / f"in/{n}.mp4", frames(lambda f: [], 50, seed=n), gop=25)
    return tmp_path


def plan(capsys, *arguments) -> dict:
    assert main(["plan", *(str(a) for a in arguments), "--format", "json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_what_is_done_is_taken_off(archive, capsys):
    """Before the run everything is left; after it nothing; with other settings everything again. A plan writes nothing into OUT."""
    settings = archive / "s.toml"
    settings.write_text('[detect]\nwidth_px = 192\n[render]\nengine = "blur"\n')
    common = (archive / "in", "--output", archive / "out", "--settings", settings, "--key-file", archive / "key.json")

    before = plan(capsys, *common)
    untouched = not (archive / "out").exists()
    run_local([str(archive / "in")], archive / "out", archive / "key.json", BLUR)
    after, other = plan(capsys, *common), plan(capsys, *common, "--engine", "fill")

    assert untouched
    assert [(p["done"], p["left"]["videos"], p["left"]["seconds"]) for p in (before, after, other)] == [(0, 3, 6.0), (3, 0, 0.0), (0, 3, 6.0)]


def test_a_sample_says_how_sure_it_is(archive, capsys):
    """With more videos than the limit, the table says how many headers were looked at and the interval."""
    assert main(["plan", str(archive / "in"), "--sample", "2"]) == 0

    said = capsys.readouterr().out
    assert "2 headers looked at" in said
    assert "95 %" in said
    assert "not measured" in said


def test_shards_are_written_with_their_jobs(archive, capsys):
    """N manifests that together are the archive, and a line for each that `ray job submit` takes, with the options of this plan."""
    code = main(["plan", str(archive / "in"), "--shards", "2", "--write", str(archive / "jobs"), "--output", str(archive / "out"), "--engine", "blur"])

    lines = [shlex.split(line, comments=True) for line in capsys.readouterr().out.splitlines()]
    items = [resolve([line[line.index("jobs/anonymize.py") + 1]], Settings()).items for line in lines]
    assert code == 0
    assert sorted(item.name for part in items for item in part) == ["0.mp4", "1.mp4", "2.mp4"]
    assert all(line[:3] == ["ray", "job", "submit"] and line[-2:] == ["--engine", "blur"] for line in lines)


def test_a_simulation_prints_its_measure(capsys):
    """Size, seconds, memory, and what is not in it."""
    assert main(["plan", "--simulate", "1000"]) == 0

    said = capsys.readouterr().out
    assert "ms/segment" in said
    assert "1,000" in said
    assert "Not in it" in said


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ([], "give SRC"),
        (["in", "--simulate", "5"], "give SRC"),
        (["in", "--shards", "2"], "belong together"),
        (["in", "--faces", "2"], "--faces"),
        (["in", "--shards", "2", "--write", "d", "--scope", "archive"], "cannot be sharded"),
        (["nothere.mp4"], "does not exist"),
    ],
)
def test_wrong_usage(archive, capsys, monkeypatch, options, part):
    """Exit 2 and the reason."""
    monkeypatch.chdir(archive)

    assert main(["plan", *options]) == 2
    assert part in capsys.readouterr().err


def test_a_job_refuses_a_shard_of_the_archive_scope(archive, capsys):
    """anonymize --shard with scope archive exits 2 before anything is written."""
    code = main(["anonymize", str(archive / "in"), "--output", str(archive / "out"), "--scope", "archive", "--shard", "1/2", "--local"])

    assert code == 2
    assert "cannot be sharded" in capsys.readouterr().err
    assert not (archive / "out").exists()
