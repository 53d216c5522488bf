"""Measured rates: one committed table, `rates.json`, with the commands that measured it; a file of the same form overrides any of it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any

from faceanon.core.errors import UsageError


@dataclass(frozen=True)
class Rates:
    """What a unit costs. `measured`: how each number was found, by its name; what is not named there is an assumption."""

    cpu_ms_a_megapixel: dict[str, float]  # by engine: all steps of the job, on frames of segments that are painted
    cpu_ms_a_frame_copied: float  # on frames of segments that are copied: most of it is looking, at a picture of one size
    gpu_frames_a_second: float | None  # on one GPU; None: not measured
    parallel_efficiency: float  # speed-up by N CPUs, divided by N
    source_reads: float  # times that a source is read over a whole run
    bytes_a_get: float
    bytes_a_part: float  # of a multipart upload
    staged_share: float  # bytes of staged segments, as a share of the source's
    output_share: float  # bytes of an output, as a share of its source's
    scratch_videos: float  # scratch of one worker, in sizes of the largest video
    requests_a_video: dict[str, float]
    requests_a_segment: dict[str, float]
    shots_an_hour: float
    tracks_an_hour: float
    row_bytes: dict[str, float]  # by table
    record_bytes_a_video: float
    record_bytes_a_row: float  # segments, shots and tracks
    measured: dict[str, str]

    def basis(self, name: str) -> str:
        return "measured" if name in self.measured else "assumed"


def load(path: Path | None = None) -> Rates:
    """The committed rates, with those of a JSON file in their place. Raises UsageError naming what is wrong."""
    table = json.loads(resources.files("faceanon.estimate").joinpath("rates.json").read_text(encoding="utf-8"))
    if path is not None:
        given = _given(path)
        table = {**table, **given, "measured": {k: v for k, v in table["measured"].items() if k not in given} | given.get("measured", dict.fromkeys(given, str(path)))}
    return Rates(**table)


def _given(path: Path) -> dict[str, Any]:
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", source=str(path)) from error
    except ValueError as error:
        raise UsageError(f"is not JSON: {error}", source=str(path)) from error
    names = {f.name for f in fields(Rates)}
    if not isinstance(given, dict) or not given.keys() <= names:
        raise UsageError(f"must be an object with some of {', '.join(sorted(names))}", source=str(path))
    for name, value in given.items():
        if name != "measured":
            _check(name, value, path)
    return given


def _check(name: str, value: Any, path: Path) -> None:
    parts = value.values() if isinstance(value, dict) else [value]
    if name.startswith(("cpu_ms_a_megapixel", "requests", "row_bytes")) and not isinstance(value, dict):
        raise UsageError(f"{name} must be an object of numbers: got {value!r}", source=str(path))
    if any(isinstance(part, bool) or not isinstance(part, int | float) or not 0 <= part < math.inf for part in parts):
        raise UsageError(f"{name} must hold finite numbers of 0 or more: got {value!r}", source=str(path))
    if name in ("gpu_frames_a_second", "parallel_efficiency", "bytes_a_get", "bytes_a_part") and value <= 0:
        raise UsageError(f"{name} must be above 0: got {value!r}", source=str(path))
