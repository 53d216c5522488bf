"""What a workload costs at given rates. Pure: numbers in, lines out; each line says what it rests on."""

from __future__ import annotations

import math
from dataclasses import dataclass

from faceanon.estimate.rates import Rates
from faceanon.estimate.survey import Workload

GB = 1e9
_BODIES = ("GET", "PUT")  # mostly pieces of sources and outputs, whose number follows from assumed sizes


@dataclass(frozen=True)
class Line:
    """value is None where nothing is known; basis: "counted", "measured", "assumed" or "not measured"."""

    name: str
    value: float | None
    unit: str
    basis: str


def lines(load: Workload, rates: Rates, *, engine: str, faces_share: float, cpus: int) -> list[Line]:
    """The cost of a run. faces_share: part of the segments that hold faces and so are decoded, painted and encoded."""
    cpu_hours = cpu_ms(load, rates, engine, faces_share) / 3.6e6
    gpu = rates.gpu_frames_a_second
    counts = requests(load, rates)
    rows = provenance_rows(load, rates)
    read, written = load.bytes * rates.source_reads, load.bytes * (rates.staged_share * faces_share + 2 * rates.output_share)
    return [
        Line("videos", load.videos, "", "counted"),
        Line("video", load.seconds / 3600, "h", "counted"),
        Line("frames", load.frames, "", "counted"),
        Line("segments", load.segments, "", "counted"),
        Line("source", load.bytes / GB, "GB", "counted"),
        Line("CPU", cpu_hours, "h", rates.basis("cpu_ms_a_megapixel")),
        Line("GPU", load.frames / gpu / 3600 if gpu else None, "h", rates.basis("gpu_frames_a_second") if gpu else "not measured"),
        Line(f"wall on {cpus} CPUs", cpu_hours / cpus / rates.parallel_efficiency, "h", rates.basis("parallel_efficiency")),
        *(Line(f"requests {kind}", count, "", "assumed" if kind in _BODIES else rates.basis("requests_a_segment")) for kind, count in sorted(counts.items())),
        Line("read", read / GB, "GB", rates.basis("source_reads")),
        Line("written", written / GB, "GB", rates.basis("output_share")),
        Line("kept", load.bytes * 2 * rates.output_share / GB, "GB", rates.basis("output_share")),
        Line("scratch a worker", load.largest_bytes * rates.scratch_videos / GB, "GB", rates.basis("scratch_videos")),
        Line("ledger rows", sum(rows.values()), "", rates.basis("tracks_an_hour")),
        Line("ledger tables", sum(count * rates.row_bytes[name] for name, count in rows.items()) / GB, "GB", rates.basis("row_bytes")),
        Line("ledger records", _record_bytes(load, rows, rates) / GB, "GB", rates.basis("record_bytes_a_row")),
    ]


def cpu_ms(load: Workload, rates: Rates, engine: str, faces_share: float) -> float:
    return faces_share * load.megapixels * rates.cpu_ms_a_megapixel[engine] + (1 - faces_share) * load.frames * rates.cpu_ms_a_frame_copied


def requests(load: Workload, rates: Rates) -> dict[str, float]:
    """By kind. Bodies larger than one GET or one part brings add to what a video and a segment cost."""
    kinds = sorted(rates.requests_a_video.keys() | rates.requests_a_segment.keys())
    counts = {k: load.videos * rates.requests_a_video.get(k, 0) + load.segments * rates.requests_a_segment.get(k, 0) for k in kinds}
    counts["GET"] = counts.get("GET", 0) + load.bytes * rates.source_reads / rates.bytes_a_get
    counts["PUT"] = counts.get("PUT", 0) + load.bytes * (rates.output_share + rates.staged_share) / rates.bytes_a_part
    return counts


def provenance_rows(load: Workload, rates: Rates) -> dict[str, float]:
    """Rows by table; a video has one of each kind, whatever it holds."""
    hours = load.seconds / 3600
    whole = dict.fromkeys(("videos", "outputs", "verdicts", "commits"), load.videos)
    return {**whole, "segments": load.segments, "shots": load.videos + hours * rates.shots_an_hour, "tracks": hours * rates.tracks_an_hour}


def _record_bytes(load: Workload, rows: dict[str, float], rates: Rates) -> float:
    return load.videos * rates.record_bytes_a_video + (rows["segments"] + rows["shots"] + rows["tracks"]) * rates.record_bytes_a_row


def shown(line: Line) -> str:
    """A value as a person reads it: three digits, thousands apart."""
    if line.value is None:
        return "-"
    if line.value >= 1000 or line.value == int(line.value):
        return f"{line.value:,.0f}"
    digits = 2 - math.floor(math.log10(line.value)) if line.value > 0 else 0
    return f"{line.value:.{min(max(digits, 0), 6)}f}"
