"""What a run does, on Ray's Prometheus endpoint: counted by the driver from the rows that come back, so that workers need nothing.

Labels take a handful of values each: phases, stages, outcomes. No name of a video, a person or a bucket is ever one. Ray puts `ray_`
before a name and `_total` behind a counter's; a driver's series stay on its node's metrics port after the driver has ended, so a
sum over series is the total since the cluster started.
"""

from __future__ import annotations

import time
from collections import Counter as Tally
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from ray.util import metrics as ray_metrics

from faceanon.flow import driver
from faceanon.flow.job import Context
from faceanon.flow.outcome import Row
from faceanon.flow.request import Work

Record = Callable[[str, float, dict[str, str]], None]  # (metric, value, labels)

_SECONDS = [1, 3, 10, 30, 100, 300, 1000, 3000]


@dataclass(frozen=True)
class Metric:
    """One of ours. `labels` names every label that a record of it carries."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    meaning: str
    labels: tuple[str, ...] = ()

    @property
    def exposed(self) -> str:
        """Its name on the endpoint; a histogram's has _bucket, _sum or _count behind it."""
        return f"ray_{self.name}" + ("_total" if self.kind == "counter" else "")


METRICS = (
    Metric("faceanon_runs", "counter", "Runs that ended", ("state",)),
    Metric("faceanon_run_ended_seconds", "gauge", "When the last run ended well, in seconds since 1970"),
    Metric("faceanon_units_left", "gauge", "Units of the phase in work that have not come back", ("phase",)),
    Metric("faceanon_videos", "counter", "Videos by what became of them; unchanged and quarantined are known when a run ends", ("outcome",)),
    Metric("faceanon_quarantined", "counter", "Videos in quarantine by the step that refused them, when a run ends", ("stage",)),
    Metric("faceanon_failures", "counter", "Units that failed; their videos go to quarantine, unless another run publishes them", ("phase",)),
    Metric("faceanon_video_seconds", "counter", "Length of published videos"),
    Metric("faceanon_segments", "counter", "Segments that came back", ("phase", "outcome")),
    Metric("faceanon_frames", "counter", "Frames that went through a phase", ("phase",)),
    Metric("faceanon_faces", "counter", "Tracks of faces in published videos"),
    Metric("faceanon_face_frames", "counter", "Faces in frames of published videos by how they were hidden", ("method",)),
    Metric("faceanon_repairs", "counter", "Renderings again after the auditor saw a face"),
    Metric("faceanon_bytes", "counter", "Bytes of sources that were read whole, and of published videos", ("direction",)),
    Metric("faceanon_cpu_seconds", "counter", "CPU time by stage", ("stage",)),
    Metric("faceanon_unit_cpu_seconds", "histogram", "CPU time of one unit of work", ("phase",)),
)


def run(context: Context, executor: driver.Executor, work: Work, progress: driver.Progress) -> dict[str, Any]:
    """`driver.run`, counted. Needs a Ray that is connected."""
    record = recorder()
    meter, state = Meter(progress, record), "failed"
    try:
        summary = driver.run(context, executor, work, meter)
        meter.settle(summary)
        state = "done"
    finally:
        record("faceanon_runs", 1, {"state": state})
    return summary


def recorder() -> Record:
    """Records into Ray's metrics of this process."""
    made = {metric.name: _make(metric) for metric in METRICS}

    def record(name: str, value: float, labels: dict[str, str]) -> None:
        made[name](value, labels)

    return record


def _make(metric: Metric) -> Callable[[float, dict[str, str]], None]:
    if metric.kind == "counter":
        return ray_metrics.Counter(metric.name, metric.meaning, metric.labels).inc
    if metric.kind == "gauge":
        return ray_metrics.Gauge(metric.name, metric.meaning, metric.labels).set
    return ray_metrics.Histogram(metric.name, metric.meaning, boundaries=_SECONDS, tag_keys=metric.labels).observe


class Meter:
    """A driver's progress that also counts. After `settle` the counts equal the run's summary."""

    def __init__(self, progress: driver.Progress, record: Record) -> None:
        self._progress, self._record = progress, record
        self._phase, self._left = "", 0
        self._length_s: dict[str, float] = {}  # of the videos in work, by output
        self._cpu_s: Tally[str] = Tally()

    def phase(self, name: str, total: int) -> None:
        if name == "probe":  # a new wave: what the last one left will not be published
            self._length_s.clear()
        self._phase, self._left = name, total
        self._record("faceanon_units_left", total, {"phase": name})
        self._progress.phase(name, total)

    def advance(self, row: Row) -> None:
        self._left -= 1
        self._record("faceanon_units_left", self._left, {"phase": self._phase})
        self._count_cpu(row.get("cpu", {}))
        if self._phase in ("analyze", "redact"):
            self._add("faceanon_segments", 1, phase=self._phase, outcome="copied" if row.get("copied") else row["kind"])
        if row["kind"] == "done":
            self._done(row)
        else:
            self._add("faceanon_failures", 1, phase=self._phase)
        self._progress.advance(row)

    def note(self, text: str) -> None:
        self._progress.note(text)

    def settle(self, summary: dict[str, Any]) -> None:
        """Adds what no single row decides: videos that needed no work, those in quarantine, and the driver's own CPU time."""
        self._add("faceanon_videos", summary["unchanged"], outcome="unchanged")
        self._add("faceanon_videos", len(summary["quarantined"]), outcome="quarantined")
        for stage, count in Tally(entry["stage"] for entry in summary["quarantined"]).items():
            self._add("faceanon_quarantined", count, stage=stage)
        for stage, seconds in summary["cpu_seconds"].items():
            self._add("faceanon_cpu_seconds", seconds - self._cpu_s[stage], stage=stage)
        self._record("faceanon_run_ended_seconds", time.time(), {})

    def _done(self, row: Row) -> None:
        self._add("faceanon_frames", row.get("frames", 0), phase=self._phase)
        if self._phase == "probe":
            self._length_s[row["output_id"]] = row["duration_s"]
            self._add("faceanon_bytes", row["source"]["size"], direction="read")
        if self._phase == "publish":
            self._publish(row)

    def _publish(self, row: Row) -> None:
        self._add("faceanon_videos", 1, outcome="published")
        self._add("faceanon_video_seconds", self._length_s.pop(row["output_id"]))
        self._add("faceanon_faces", row["tracks"])
        self._add("faceanon_face_frames", row["painted"], method="painted")
        self._add("faceanon_face_frames", row["obscured"], method="obscured")
        self._add("faceanon_repairs", row["repairs"])
        self._add("faceanon_bytes", row["bytes"], direction="written")

    def _count_cpu(self, cpu_s: dict[str, float]) -> None:
        for stage, seconds in cpu_s.items():
            self._cpu_s[stage] += seconds
            self._add("faceanon_cpu_seconds", seconds, stage=stage)
        if cpu_s:
            self._record("faceanon_unit_cpu_seconds", sum(cpu_s.values()), {"phase": self._phase})

    def _add(self, name: str, value: float, **labels: str) -> None:
        if value > 0:  # Ray refuses to add nothing
            self._record(name, value, labels)
