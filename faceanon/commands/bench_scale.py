"""`faceanon bench [CLIP...] --scale`: what a frame costs on an archive, on twice as much, four and eight times; in one process and on Ray.

The archive's videos are the clips (or a few sample clips), copied under other names, each with a few bytes of its own behind the last box, so that no two
are one content. Whole processes are counted, with all that they start: what a run costs before its first frame weighs on small archives, and the line
through the runs, least squares, tells it from what each frame adds.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from faceanon.commands.bench_process import measured
from faceanon.core.errors import UsageError
from faceanon.core.settings import Settings
from faceanon.evaluation.report import table
from faceanon.ledger.query import query
from faceanon.samples.archive import build_sample_archive

WAYS = {"local": ["--local"], "ray": []}


def run(clips: Sequence[Path], settings: Settings, settings_file: Path | None, times: Sequence[int]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="faceanon-bench-") as name:
        home = Path(name)
        clips = clips or _sample_clips(home / "samples")
        rows = [_row(home, clips, settings, settings_file, factor, way) for factor in times for way in WAYS]
    return {"engine": settings.render.engine, "runs": rows, **_lines(rows)}


def _sample_clips(folder: Path) -> list[Path]:
    build_sample_archive(folder, size="tiny")
    return sorted(folder.rglob("*.mp4"))


def _row(home: Path, clips: Sequence[Path], settings: Settings, settings_file: Path | None, factor: int, way: str) -> dict[str, Any]:
    source, out = home / f"x{factor}", home / f"x{factor}-{way}"
    if not source.exists():
        _copies(clips, source, factor)
    more = ["--settings", str(settings_file)] if settings_file else []
    job = [sys.executable, "-m", "faceanon", "anonymize", str(source), "--output", str(out), "--engine", settings.render.engine, "--no-progress"]
    cost = measured([*job, "--key-file", str(home / "keystore.json"), *more, *WAYS[way]])
    if cost.code:
        raise UsageError(f"it ended with {cost.code}: {cost.said[-500:]}", source=str(source))
    counts = query(str(out), "SELECT count(*) AS segments, sum(frames)::BIGINT AS frames, count(DISTINCT video_id) AS videos FROM segments").to_pylist()[0]
    shutil.rmtree(out)
    return {
        "times": factor,
        "way": way,
        "videos": int(counts["videos"]),
        "segments": int(counts["segments"]),
        "frames": int(counts["frames"]),
        "cpu_s": round(cost.cpu_s, 2),
        "cpu_ms_a_frame": round(cost.cpu_s * 1000 / counts["frames"], 3),
        "wall_s": round(cost.wall_s, 1),
        "peak_mb": round(cost.peak_bytes / 1e6),
    }


def _copies(clips: Sequence[Path], folder: Path, factor: int) -> None:
    folder.mkdir()
    for number in range(factor):
        for clip in clips:
            if clip.suffix.lower() not in (".mp4", ".mov"):
                raise UsageError("only mp4 and mov clips can be copied as different content", source=str(clip))
            mark = f"{number:08d}".encode()
            (folder / f"{number:04d}-{clip.name}").write_bytes(clip.read_bytes() + (8 + len(mark)).to_bytes(4, "big") + b"free" + mark)


def _lines(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What a frame adds and what a run costs besides, for each way; and what Ray adds to a segment."""
    found: dict[str, Any] = {}
    for way in WAYS:
        own = [row for row in rows if row["way"] == way]
        if len(own) > 1:
            slope, rest = np.polyfit([row["frames"] for row in own], [row["cpu_s"] for row in own], 1)
            found[way] = {"cpu_ms_per_further_frame": round(slope * 1000, 3), "start_cpu_s": round(rest, 2)}
    if len(found) == len(WAYS):
        last = rows[-1]
        apart = found["ray"]["cpu_ms_per_further_frame"] - found["local"]["cpu_ms_per_further_frame"]
        found["ray_over_local"] = round(rows[-1]["cpu_s"] / rows[-2]["cpu_s"], 3)
        found["ray_ms_a_segment"] = round(apart * last["frames"] / last["segments"], 1)
    return found


def text(report: dict[str, Any]) -> str:
    columns = ("times", "way", "videos", "segments", "frames", "cpu_s", "cpu_ms_a_frame", "wall_s", "peak_mb")
    lines = [f"engine {report['engine']}", table(columns, [[row[column] for column in columns] for row in report["runs"]])]
    lines += [
        f"{way}: {report[way]['cpu_ms_per_further_frame']:.2f} ms CPU for each further frame, {report[way]['start_cpu_s']:.1f} s a run" for way in WAYS if way in report
    ]
    if "ray_over_local" in report:
        lines.append(f"Ray over local, largest archive: {report['ray_over_local']:.2f} of its CPU; {report['ray_ms_a_segment']:.1f} ms CPU a segment")
    return "\n".join(lines)


def as_json(report: dict[str, Any]) -> str:
    return json.dumps(report, indent=2)
