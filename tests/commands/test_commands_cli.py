"""The command line as a user meets it: what it says and how it exits, before and after work."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.fake_archive import run_local, write_archive

from faceanon.cli import JOBS, main
from faceanon.core.settings import Settings
from faceanon.ledger.questions import QUESTIONS
from faceanon.media.clips import write_clip

ROOT = Path(__file__).parent.parent.parent
OPTIONS = ("--local", "--no-progress")


def anonymize(*arguments: object) -> int:
    return main(["anonymize", *(str(a) for a in arguments), *OPTIONS])


def wall(count: int = 10) -> list[np.ndarray]:
    """Frames without a face."""
    return [np.full((72, 96, 3), 90 + n, np.uint8) for n in range(count)]


@pytest.mark.parametrize(
    ("sources", "options", "part"),
    [
        (["nothere.mp4"], [], "does not exist"),
        (["*.mov"], [], "matches nothing"),
        (["http://example.com/a.mp4"], [], "http"),
        (["here.mp4"], ["--settings", "nosuch.toml"], "nosuch.toml"),
        (["here.mp4", "other/here.mp4"], [], "here.mp4"),
        (["here.mp4"], ["--detector", "eyes"], "detect.detector"),
        (["here.mp4"], ["--detector", "yunet+centerface+mtcnn"], "left to audit"),
        (["here.mp4"], ["--segment-seconds", "inf"], "segment_seconds"),
    ],
)
def test_wrong_usage_is_said_before_work_starts(tmp_path, monkeypatch, capsys, sources, options, part):
    """Exit 2, the reason on stderr, and no OUT."""
    monkeypatch.chdir(tmp_path)
    for name in ("here.mp4", "other/here.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")

    code = anonymize(*sources, "--output", "out", "--key-file", "key.json", *options)

    assert code == 2
    assert part in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_unknown_option_is_wrong_usage(capsys):
    """Argument errors exit 2, too."""
    with pytest.raises(SystemExit) as stop:
        main(["anonymize", "a.mp4", "--output", "out", "--engine", "magic"])

    assert stop.value.code == 2
    assert "magic" in capsys.readouterr().err


def test_commercial_licences_refuse_swap_and_name_what_stays(tmp_path, capsys):
    """With licences = "commercial" the swap engine is refused before work starts, and the message names engines that are allowed."""
    (tmp_path / "s.toml").write_text('[models]\nlicences = "commercial"\n')
    (tmp_path / "a.mp4").write_bytes(b"x")

    code = anonymize(tmp_path / "a.mp4", "--output", tmp_path / "out", "--settings", tmp_path / "s.toml", "--key-file", tmp_path / "k.json")

    assert code == 2
    assert "blur" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.models
def test_one_video_from_the_command_line(tmp_path, capsys):
    """Published with exit 0, then nothing to do with exit 0, then a bad neighbour with exit 3; the summary lies in OUT/runs."""
    (tmp_path / "in").mkdir()
    clip = write_clip(tmp_path / "in" / "wall.mp4", wall())
    common = ("--output", tmp_path / "out", "--key-file", tmp_path / "key.json", "--engine", "blur")

    first = anonymize(clip, *common)
    said_first = capsys.readouterr().out
    second = anonymize(clip, *common)
    said_second = capsys.readouterr().out
    (tmp_path / "in" / "bad.mp4").write_text("not a video")
    third = anonymize(tmp_path / "in", *common)
    said_third = capsys.readouterr().err
    fourth = anonymize(tmp_path / "in", *common)

    assert (first, second, third, fourth) == (0, 0, 3, 3)
    assert "x real time" in said_first
    assert "nothing to do" in said_second
    assert "bad.mp4" in said_third
    assert (tmp_path / "out/videos/wall.mp4").exists()
    assert (tmp_path / "key.json").stat().st_mode & 0o777 == 0o600
    summaries = [json.loads(p.read_text()) for p in (tmp_path / "out/runs").glob("*.json")]
    assert len(summaries) == 4
    assert all(s["balances"] for s in summaries)


def test_local_needs_no_ray():
    """`--local` works where Ray cannot be imported."""
    code = "import sys; sys.modules['ray'] = None\nfrom faceanon.cli import main\nsys.exit(main(['anonymize', 'nothere.mp4', '--output', 'x', '--local']))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ})

    assert done.returncode == 2, done.stderr
    assert "does not exist" in done.stderr


def test_jobs_and_commands_are_the_same():
    """Every job has its file under jobs/, and no file there has no job."""
    assert {p.stem for p in (ROOT / "jobs").glob("*.py")} == set(JOBS)


def test_settings_and_models_are_listed(capsys):
    """`faceanon settings` and `faceanon models list` print everything that is used."""
    assert main(["settings"]) == 0
    assert "[encode]" in capsys.readouterr().out
    assert main(["models", "list", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {"yunet", "centerface", "face_mesh"} <= {row["name"] for row in rows}
    assert all(row["licence"] and len(row["sha256"]) == 64 for row in rows)


def test_the_readme_s_questions_can_be_asked(tmp_path, capsys):
    """Each query that README.md shows runs on a real OUT."""
    out = tmp_path / "out"
    settings = Settings().with_values(render__engine="blur", detect__width_px=192)
    run_local([str(write_archive(tmp_path / "in") / "cam")], out, tmp_path / "key.json", settings)
    questions = re.findall(r'^faceanon query OUT "(.+?)"(?: --format (\w+))?$', (ROOT / "README.md").read_text(), re.MULTILINE)

    for sql, fmt in questions:
        assert main(["query", str(out), sql, "--format", fmt or "table"]) == 0, sql

    assert len(questions) >= 4
    for name, word in re.findall(r"^faceanon query OUT ([a-z][a-z0-9-]+)(?: --with (\S+))?", (ROOT / "README.md").read_text(), re.MULTILINE):
        assert main(["query", str(out), name, *(["--with", word] if word else [])]) == 0, name
    assert "walk.mp4" in capsys.readouterr().out


def test_a_bad_question_is_wrong_usage(tmp_path, capsys):
    """Bad SQL exits 2 with DuckDB's own words."""
    without_ledger = main(["query", str(tmp_path), "SELECT 1"])
    said_without = capsys.readouterr().err
    (tmp_path / "ledger").mkdir()
    (tmp_path / "ledger" / "x").write_text("")
    code = main(["query", str(tmp_path), "SELEKT 1"])

    assert (without_ledger, code) == (2, 2)
    assert "no ledger" in said_without
    assert "SELEKT" in capsys.readouterr().err


def test_a_folder_without_videos_says_what_it_left_out(tmp_path, capsys):
    """Nothing to do, exit 0, and the files that are not called like videos are counted."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "clip.video").write_bytes(b"x")

    code = anonymize(tmp_path / "in", "--output", tmp_path / "out", "--key-file", tmp_path / "k.json")

    said = capsys.readouterr()
    assert code == 0
    assert "no videos were found" in said.out
    assert "1 files" in said.err


def test_the_readme_names_what_exists():
    """Files, commands and options that README.md shows are there."""
    text = (ROOT / "README.md").read_text()
    makefile = (ROOT / "Makefile").read_text()

    for target in re.findall(r"^make (\w[\w-]*)", text, re.MULTILINE):
        assert f"\n{target}:" in makefile, target
    commands = "\n".join(re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    for job in re.findall(r"^faceanon (\w+)", commands, re.MULTILINE):
        assert job in JOBS, job
    for picture in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text):
        assert (ROOT / picture).exists(), picture


def test_coverage_tells_painted_from_coded(tmp_path, capsys):
    """A face that was obscured counts as covered, one that was only encoded again as a leak; exit 1 where there is one."""
    rng = np.random.default_rng(5)
    face = np.kron(rng.integers(40, 220, (12, 12), np.uint8), np.ones((4, 4), np.uint8))
    shown, hidden = np.full((96, 128, 3), 120, np.uint8), np.full((96, 128, 3), 120, np.uint8)
    shown[20:68, 40:88] = face[..., None]
    hidden[20:68, 40:88] = int(face.mean())
    truth = pa.table({"clip": ["a.mp4"] * 4, "frame": range(4), "x1": [40.0] * 4, "y1": [20.0] * 4, "x2": [88.0] * 4, "y2": [68.0] * 4})
    for folder in ("in", "good/videos", "bad/videos"):
        (tmp_path / folder).mkdir(parents=True)
    pq.write_table(truth, tmp_path / "in/truth.parquet")
    write_clip(tmp_path / "in/a.mp4", [shown] * 4)
    write_clip(tmp_path / "good/videos/a.mp4", [hidden] * 4)
    write_clip(tmp_path / "bad/videos/a.mp4", [shown] * 4, options={"crf": "30"})

    good, bad = (main(["evaluate", "coverage", str(tmp_path / "in"), str(tmp_path / out)]) for out in ("good", "bad"))

    assert (good, bad) == (0, 1)
    assert "all        4      4" in capsys.readouterr().out


def test_the_ledger_s_questions_can_be_timed(capsys):
    """`faceanon bench --ledger ROWS` makes a ledger and prints a time for each saved question, each of which finds something."""
    assert main(["bench", "--ledger", "4000", "--format", "json"]) == 0
    report = json.loads(capsys.readouterr().out)

    assert set(report["questions"]) == set(QUESTIONS)
    assert all(said["rows"] > 0 and said["seconds"] > 0 for said in report["questions"].values())
    assert main(["bench"]) == 2
