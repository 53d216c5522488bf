"""The simulation runs the real planner and ledger, and its cost per segment does not grow."""

from __future__ import annotations

import subprocess
import sys

import pytest

from faceanon.estimate.simulate import in_own_process, peak_bytes, simulate
from faceanon.ledger.query import query

PER_VIDEO = 20  # segments of a made-up video


def test_a_small_simulation_leaves_a_whole_ledger(tmp_path):
    """A thousand segments give a thousand rows each of segments, shots and tracks, one record a video, and the requests that these took."""
    found = simulate(1000, tmp_path)

    rows = query(str(tmp_path / "out"), "SELECT count(*) AS n, count(DISTINCT out_sha256) AS files FROM segments").to_pylist()[0]
    assert (found["segments"], found["videos"], rows) == (1000, 1000 // PER_VIDEO, {"n": 1000, "files": 1000})
    assert query(str(tmp_path / "out"), "SELECT count(*) FROM tracks").column(0)[0].as_py() == 1000
    assert query(str(tmp_path / "out"), "SELECT state, count(*) AS n FROM videos GROUP BY state").to_pylist() == [{"state": "published", "n": 50}]
    twice = simulate(2000, tmp_path / "twice")
    for kind in ("PUT", "GET"):  # a record a video, and a few for the run
        assert twice["requests"][kind] - found["requests"][kind] == pytest.approx(50, abs=2)
        assert found["requests"][kind] < 70


def test_ten_thousand_segments_are_cheap():
    """In a process of its own: below half a GB, and well below a millisecond of the driver's CPU a segment."""
    found = in_own_process(10_000)

    assert found["segments"] == 10_000
    assert found["peak_mb"] < 512
    assert (found["plan_cpu_s"] + found["fold_cpu_s"]) / found["segments"] < 0.0005


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a program's own peak")
def test_a_peak_is_the_programs_own():
    """A small program started by one that has held 600 MB reports its own peak, though the kernel hands the parent's ru_maxrss on to it."""
    own = "import resource; from faceanon.estimate.simulate import peak_bytes; print(peak_bytes(), 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    large = f"import subprocess, sys; held = bytearray(b'x') * 600_000_000; print(subprocess.run([sys.executable, '-c', {own!r}], capture_output=True, text=True).stdout)"
    found = subprocess.run([sys.executable, "-c", large], capture_output=True, text=True, check=True).stdout
    peak, handed_on = map(int, found.split())

    assert handed_on >= 600_000_000
    assert peak < 500_000_000


def test_a_peak_without_proc_is_ru_maxrss(tmp_path):
    """Where there is no such file, what the system counts is told."""
    assert peak_bytes(tmp_path / "status") >= peak_bytes() // 2 > 0


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_million_segments_cost_as_little_each():
    """1e6 segments are planned in a minute of CPU and below 1 GB, at the same cost a segment as 1e4."""
    small, large = in_own_process(10_000), in_own_process(1_000_000)

    assert large["segments"] == 1_000_000
    assert large["plan_cpu_s"] < 60
    assert large["peak_mb"] < 1000
    for part in ("plan_cpu_s", "fold_cpu_s", "records_cpu_s"):
        assert large[part] / large["segments"] < 1.5 * small[part] / small["segments"]
