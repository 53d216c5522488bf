"""`faceanon bench --ledger ROWS`: how long each saved question takes on a ledger of so many rows of `tracks`, made for it on this disk.

Twenty tracks a video, five hundred videos a run, a day for each fifty thousand tracks; one of a hundred videos is in quarantine. Every question is asked
three times in a fresh connection, as the command does; the median counts, opening the tables included, and beside it the CPU time, which a busy machine
does not stretch. What the questions ask for is in there: a label of fifty videos, a model that every output was made with.
"""

from __future__ import annotations

import hashlib
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from faceanon.ledger.delta import append_missing, upsert
from faceanon.ledger.query import query
from faceanon.ledger.questions import QUESTIONS, parameters
from faceanon.ledger.tables import SCHEMA_VERSION, TABLES

TRACKS_A_VIDEO, TRACKS_A_DAY, VIDEOS_A_RUN, SEGMENTS_A_VIDEO = 20, 50_000, 500, 3
_FIRST_DAY = date(2026, 1, 1)
_MODEL = "d" * 64
_VIDEOS_A_LABEL = 50

Columns = dict[str, Any]


def run(rows: int) -> dict[str, Any]:
    """Seconds of each question, by name."""
    with tempfile.TemporaryDirectory(prefix="faceanon-bench-") as root:
        began = time.monotonic()
        _make(root, rows)
        made_s = time.monotonic() - began
        answers = {name: _ask(root, name) for name in QUESTIONS}
    return {"tracks": rows, "made_s": round(made_s, 1), "questions": answers}


def table(report: dict[str, Any]) -> str:
    lines = [f"{report['tracks']:,} rows of tracks, made in {report['made_s']} s"]
    lines += [f"  {name:<16} {said['seconds']:7.3f} s  (CPU {said['cpu_s']:.3f} s)  {said['rows']:,} rows" for name, said in report["questions"].items()]
    return "\n".join(lines)


def _ask(root: str, name: str) -> dict[str, float]:
    """Medians of three, and how many rows the answer has."""
    question = QUESTIONS[name]
    words = parameters(question, [f"{word}={'centerface' if word == 'model' else _label(7)}" for word, _ in question.words])
    seconds, cpu_s, rows = [], [], 0
    for _ in range(3):
        began, spent = time.monotonic(), time.process_time()
        rows = query(root, question.sql, words).num_rows
        seconds.append(time.monotonic() - began)
        cpu_s.append(time.process_time() - spent)
    return {"seconds": round(statistics.median(seconds), 3), "cpu_s": round(statistics.median(cpu_s), 3), "rows": rows}


def _make(root: str, rows: int) -> None:
    videos = rows // TRACKS_A_VIDEO
    a_day = TRACKS_A_DAY // TRACKS_A_VIDEO
    for number, first in enumerate(range(0, videos, a_day)):
        _write_day(root, np.arange(first, min(first + a_day, videos)), _FIRST_DAY + timedelta(number))
    run = {"actor": "bench", "host_class": "linux-x86_64-cpu", "state": "done", "ingest_date": _FIRST_DAY}
    upsert(root, "runs", [{"run_id": f"run-{n:08d}", **run} for n in range(-(-videos // VIDEOS_A_RUN))], on="run_id")
    upsert(root, "models", [{"model_id": _MODEL, "name": "centerface", "licence": "MIT", "ingest_date": _FIRST_DAY}], on="model_id")


def _write_day(root: str, numbers: np.ndarray, day: date) -> None:
    """All rows of the videos of one day."""
    moment = datetime.combine(day, datetime.min.time(), UTC)
    refused = numbers % 100 == 99
    ids = {
        "record_id": _each(numbers, lambda n: f"{_hex(n)}-000001"),
        "run_id": _each(numbers, lambda n: f"run-{n // VIDEOS_A_RUN:08d}"),
        "video_id": _each(numbers, lambda n: _hex(n + 1_000_000_000)),
        "output_id": _each(numbers, lambda n: _hex(n + 2_000_000_000)),
        "name": _each(numbers, lambda n: f"cam{n % 40:02d}/{day}/{n:08d}.mp4"),
    }
    on = {"ingest_date": day}
    same = {**on, "scope": "collection", "settings_digest": "5" * 64, "keystore_id": "ks-1", "size": 10**8}
    state = pa.array(np.where(refused, "quarantined", "published").astype(object), pa.string())
    reason = _each(numbers, lambda n: f"reason {n % 7}")
    _write(root, "videos", {**ids, **same, "state": state, "stage": "probe", "reason": reason, "collection": "cams", "ingested_at": moment}, len(numbers))
    mask = pa.array(~refused)
    kept = {name: column.filter(mask) for name, column in ids.items()}
    count = len(kept["name"])
    outputs = {
        **kept, **same, "state": "current", "engine": "swap", "frames": 1500, "people": 3, "model_ids": pa.array([[_MODEL]] * count),
        "committed_at": moment, "sha256": "9" * 64, "out_uri": _each(numbers[~refused], lambda n: f"/archive/out/objects/{_hex(n)}.mp4"),
    }  # fmt: skip
    _write(root, "outputs", outputs, count)
    repairs = pa.array((numbers[~refused] % 50 == 0).astype(np.int64))
    verdicts = {"verdict_id": kept["record_id"], "auditor": "centerface", "auditor_model_id": _MODEL, "decision": "pass", "repairs": repairs, "at": moment}
    _write(root, "verdicts", {**kept, **on, **verdicts}, count)
    _write(root, "segments", {**_repeat(kept, SEGMENTS_A_VIDEO), **on, "seconds": 60.0, "frames": 500, "state": "encoded"}, count * SEGMENTS_A_VIDEO)
    _write(root, "tracks", _tracks(kept, numbers[~refused], day), count * TRACKS_A_VIDEO)


def _tracks(kept: Columns, numbers: np.ndarray, day: date) -> Columns:
    count = len(numbers) * TRACKS_A_VIDEO
    noise = np.random.default_rng(int(numbers[0]))
    obscured = np.where(noise.random(count) < 0.05, 100, 0)
    person = np.repeat(numbers // _VIDEOS_A_LABEL, TRACKS_A_VIDEO) * TRACKS_A_VIDEO + np.tile(np.arange(TRACKS_A_VIDEO), len(numbers))
    labels, index = np.unique(person, return_inverse=True)
    return {
        **_repeat(kept, TRACKS_A_VIDEO),
        "ingest_date": day,
        "track_id": pa.array(np.tile(np.arange(TRACKS_A_VIDEO), len(numbers))),
        "label": _each(labels, _label).take(pa.array(index)),
        "method": pa.array(np.where(obscured > 0, "obscured", "swap").astype(object), pa.string()),
        "trusted": True,
        "first_frame": pa.array(noise.integers(0, 1000, count)),
        "stop_frame": pa.array(noise.integers(1000, 1500, count)),
        "n_det": pa.array(noise.integers(1, 200, count)),
        "n_repaired": pa.array(np.where(noise.random(count) < 0.002, 3, 0)),
        "frames_face": pa.array(200 - obscured),
        "frames_obscured": pa.array(obscured),
        "score_max": pa.array(noise.random(count)),
        "width_max": pa.array(noise.random(count) * 300),
    }


def _write(root: str, name: str, columns: Columns, rows: int) -> None:
    """Single values are repeated; columns that are not given are null."""
    columns = {"schema_version": SCHEMA_VERSION, **columns}
    arrays = [_column(columns.get(field.name), field.type, rows) for field in TABLES[name]]
    append_missing(root, name, pa.table(arrays, schema=TABLES[name]))


def _column(value: Any, kind: pa.DataType, rows: int) -> pa.Array:
    if isinstance(value, pa.Array | pa.ChunkedArray):
        return value.cast(kind)
    return pa.array(value, kind) if isinstance(value, list) else pa.repeat(pa.scalar(value, kind), rows)


def _repeat(columns: Columns, times: int) -> Columns:
    index = pa.array(np.repeat(np.arange(len(columns["name"])), times))
    return {name: column.take(index) for name, column in columns.items()}


def _each(numbers: np.ndarray, word: Callable[[int], str]) -> pa.Array:
    return pa.array([word(int(n)) for n in numbers], pa.string())


def _hex(number: int) -> str:
    return hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()


def _label(number: int) -> str:
    return f"person-{_hex(number)[:16]}"
