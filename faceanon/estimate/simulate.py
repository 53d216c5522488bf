"""The real planner, driver and ledger on made-up videos: what a plan of N segments costs in time and memory. No pixel is made.

Real: the manifest is read and resolved, sources are looked at, outcomes compared, videos divided into segments, waves and units made, rows
tallied, records checked, committed and folded into Delta tables on disk. Made up: what workers find out (facts, digests, tracks) and the store
below the records, which is one local file that counts requests. Not in it: Ray's own cost a unit, and whatever workers read and write beside the record.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from faceanon.archive.sources import resolve
from faceanon.core.errors import FaceanonError
from faceanon.core.ids import digest, output_id, video_id
from faceanon.core.jsonable import from_json, to_json
from faceanon.core.records import (
    ColourTags,
    Identity,
    OutputFacts,
    PacketIndex,
    RegionTable,
    SourceItem,
    SourceVersion,
    StagedSegment,
    StreamFacts,
    Track,
    VideoAnalysis,
    VideoFacts,
    VideoPlan,
    VideoRegions,
)
from faceanon.core.records import Detections as NoDetections
from faceanon.core.records import FaceSamples as NoSamples
from faceanon.core.settings import Settings
from faceanon.estimate.counting import CountingStore
from faceanon.flow import driver
from faceanon.flow.job import Context, JobSpec, new_run, open_keystore
from faceanon.flow.outcome import Row
from faceanon.flow.request import work_to_do
from faceanon.identity.keystore import scope_name
from faceanon.ledger.commit import commit_published
from faceanon.ledger.known import known
from faceanon.ledger.records import publication
from faceanon.media.segments import plan_segments
from faceanon.models.catalog import model_rows
from faceanon.models.fakes import FakeDetector
from faceanon.verify.verdict import judge

FPS, GOP_FRAMES = 25, 50
VIDEO_S = 600  # length of a made-up video: twenty segments of the default length
SHOTS_A_SEGMENT = TRACKS_A_SEGMENT = 1


class Simulated:
    """An Executor whose workers know every answer. `records_s`: CPU seconds that went into records, which workers write."""

    def __init__(self, context: Context, seconds: int = VIDEO_S) -> None:
        self._context = context
        self._facts, self._index = _facts(seconds), _packets(seconds)
        self._plans: dict[str, VideoPlan] = {}
        self._template: dict[str, Any] = {}
        self.records_s = 0.0

    def map(self, phase: str, units: Sequence[Row]) -> Iterator[Row]:
        step = getattr(self, f"_{phase}")
        for unit in units:
            yield {**unit, "kind": "done", **step(unit)}

    def _probe(self, unit: Row) -> Row:
        item, spec = from_json(SourceItem, unit["item"]), self._context.spec
        source = SourceVersion(item.uri, unit["source"]["size"], unit["source"]["version"], digest("simulated", item.name))
        video = video_id(item.name, source.sha256)
        scope = scope_name(spec.settings, item, video)
        output = output_id(video, spec.run.settings_digest, spec.run.keystore_id, scope)
        plan = self._plans[output] = VideoPlan(video, item, source, self._facts, plan_segments(video, self._facts, self._index, spec.settings.plan))
        longest_s = float(max(s.span.stop_pts - s.span.start_pts for s in plan.segments) * self._facts.time_base)
        counts = {"segments": len(plan.segments), "frames": self._facts.num_frames_from_content, "duration_s": self._facts.duration_s, "longest_s": longest_s}
        return {"output_id": output, "video_id": video, "scope_name": scope, "source": to_json(source), **counts}

    def _analyze(self, unit: Row) -> Row:
        return {"frames": self._segment(unit), "detected_frames": self._segment(unit) // 8, "cpu": {"decode": 0.0, "detect": 0.0}}

    def _link(self, unit: Row) -> Row:
        return {"people": 1}

    def _redact(self, unit: Row) -> Row:
        return {"frames": self._segment(unit), "copied": False, "cpu": {"decode": 0.0, "render": 0.0, "encode": 0.0}}

    def _publish(self, unit: Row) -> Row:
        plan = self._plans.pop(unit["output_id"])
        began_s = time.process_time()
        record = self._record(plan, unit["output_id"])
        commit_published(self._context.out, record)
        self.records_s += time.process_time() - began_s
        tracks, frames = len(record["tracks"]), record["output"]["frames"]
        shown = {"sha256": record["output"]["sha256"], "frames": frames, "copied_segments": 0, "repairs": 0}
        return {**shown, "out_uri": "", "tracks": tracks, "faces": frames, "people": 1, "painted": frames, "obscured": 0, "cpu": {"publish": 0.0}}

    def _segment(self, unit: Row) -> int:
        return self._plans[unit["output_id"]].segments[unit["segment_no"]].num_frames

    def _record(self, plan: VideoPlan, output: str) -> dict[str, Any]:
        """The first record, with this video's own names and digests: building one is the workers' affair."""
        first = self._template = self._template or _record(plan, self._context)
        own = {"video_id": plan.video_id, "output_id": output, "name": plan.item.name, "source": {**first["source"], "uri": plan.item.uri, "sha256": plan.source.sha256}}
        file = {**first["output"], "sha256": digest("file", output), "object": f"objects/{output[:2]}/{output}-{output[:16]}.mp4"}
        segments = [{**row, "out_sha256": digest("segment", output, row["segment_no"])} for row in first["segments"]]
        tracks = [{**row, "label": f"p-{digest('label', output, row['track_id'])[:16]}"} for row in first["tracks"]]
        return {**first, **own, "scope_name": plan.video_id, "output": file, "segments": segments, "tracks": tracks}


def simulate(segments: int, folder: Path) -> dict[str, Any]:
    """Seconds, requests and bytes of a run over about so many segments; everything is written below `folder`."""
    settings = Settings()
    context = _context(folder, settings)
    manifest = _manifest(folder, max(1, round(segments * settings.plan.segment_seconds / VIDEO_S)))
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    resolved = resolve([str(manifest)], settings)
    work = work_to_do(resolved, known(context.out), settings, context.spec.run.keystore_id, retry_quarantined=False)
    executor = Simulated(context)
    summary = driver.run(context, executor, work, _Silent())
    wall_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    if not summary["balances"] or summary["published"] != len(work.new):
        raise FaceanonError(f"the simulation does not balance: {summary['published']} of {len(work.new)} videos were published")
    fold_s = summary["cpu_seconds"]["ledger"]
    count = summary["published"] * len(plan_segments("", _facts(VIDEO_S), _packets(VIDEO_S), settings.plan))
    return {
        "segments": count,
        "videos": summary["published"],
        "wall_s": round(wall_s, 3),
        "plan_cpu_s": round(cpu_s - executor.records_s - fold_s, 3),
        "fold_cpu_s": fold_s,
        "records_cpu_s": round(executor.records_s, 3),
        "requests": dict(sorted(context.out.requests.items())),
        "record_bytes": context.out.bytes_put,
        "table_bytes": _table_bytes(folder / "out"),
        "peak_mb": round(peak_bytes() / 2**20, 1),
    }


def in_own_process(segments: int) -> dict[str, Any]:
    """`simulate` in a fresh process, so that its peak of memory is its own."""
    with tempfile.TemporaryDirectory(prefix="faceanon-simulate-") as folder:
        done = subprocess.run([sys.executable, "-m", __name__, str(segments), folder], capture_output=True, text=True, check=False)
    if done.returncode:
        raise FaceanonError(f"the simulation of {segments} segments ended with exit code {done.returncode}: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout)


def peak_bytes(status: Path = Path("/proc/self/status")) -> int:
    """The most memory that this program has held. Linux tells it of the program alone; ru_maxrss, elsewhere all there is, may be that of whoever started it."""
    with suppress(OSError):
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


class _Silent:
    def phase(self, name: str, total: int) -> None: ...

    def advance(self, row: Row) -> None: ...

    def note(self, text: str) -> None: ...


def _context(folder: Path, settings: Settings) -> Context:
    keystore = open_keystore(str(folder / "keystore.json"), create=True)
    spec = JobSpec(str(folder / "out"), str(folder / "work"), str(keystore.path), (), keystore.fingerprint(()), settings, new_run(settings, keystore.keystore_id))
    context = Context(spec)
    context.out, context.work = CountingStore(spec.out_uri), CountingStore(spec.work_uri)
    return context


def _manifest(folder: Path, videos: int) -> Path:
    """One source file, asked for under many names."""
    source, path = folder / "source.mp4", folder / "manifest.csv"
    source.write_bytes(b"\0")
    with path.open("w") as file:
        file.write("uri,name,collection\n")
        file.writelines(f"{source},camera-{n % 97:03d}/video-{n:09d}.mp4,camera-{n % 97:03d}\n" for n in range(videos))
    return path


def _facts(seconds: int) -> VideoFacts:
    streams = (StreamFacts(0, "video", "h264", Fraction(1, FPS)), StreamFacts(1, "audio", "aac", Fraction(1, 48000)))
    frames = seconds * FPS
    return VideoFacts(
        "mp4", "h264", "High", 1920, 1080, "yuv420p", 8, 0, Fraction(1), ColourTags(), "progressive", Fraction(1, FPS), Fraction(FPS),
        5_000_000, 0, streams, frames, frames, 0, frames, 625_000 * seconds,
    )  # fmt: skip


def _packets(seconds: int) -> PacketIndex:
    pts = np.arange(seconds * FPS, dtype=np.int64)
    keys = pts % GOP_FRAMES == 0
    return PacketIndex(pts, keys, keys)


def _record(plan: VideoPlan, context: Context) -> dict[str, Any]:
    """A record as publish would build it, of segments that each hold one shot and one track."""
    length = plan.facts.num_frames_from_content // len(plan.segments)
    tracks = tuple(_track(s.segment_no, s.first_frame, length // 2) for s in plan.segments)
    cuts = np.array([s.first_frame for s in plan.segments[1:]], np.int32)
    analysis = VideoAnalysis(plan.video_id, plan.facts.num_frames_from_content, NoDetections.empty(), NoSamples.empty(), cuts, np.full(len(cuts), 0.5, np.float32))
    regions = VideoRegions(plan.video_id, (Identity(0, "p-0", "c", None, tuple(t.track_no for t in tracks)),), tracks, RegionTable.empty())
    staged = tuple(StagedSegment(plan.video_id, s.segment_no, False, "faces", "s3://bucket/file.nut", "0" * 64, 20_000_000, s.num_frames) for s in plan.segments)
    output = OutputFacts("0" * 64, plan.facts.size_bytes, "h264", "mp4", plan.facts.num_frames_from_content, "copied", "none", (), (), 0, len(staged))
    verified = judge(plan, output, (), (), VIDEO_S, FakeDetector("centerface"), 0)
    times, models = np.arange(plan.facts.num_frames_from_content), model_rows(context.settings)
    return publication(plan, verified, regions, analysis, staged, context.spec.run, context.settings, object="objects/x", models=models, frame_pts=times)


def _track(number: int, first: int, length: int) -> Track:
    frame = np.arange(first, first + length, dtype=np.int32)
    box = np.tile(np.array([100, 80, 160, 150], np.float32), (length, 1))
    origin = (frame % 8 != 0).astype(np.uint8)
    return Track(number, number, frame, box, np.zeros((length, 5, 2), np.float32), np.where(origin, 0, 0.9).astype(np.float32), origin, frame, True)


def _table_bytes(out: Path) -> dict[str, int]:
    return {table.name: sum(p.stat().st_size for p in table.rglob("*.parquet")) for table in sorted((out / "ledger").iterdir()) if table.is_dir()}


if __name__ == "__main__":
    print(json.dumps(simulate(int(sys.argv[1]), Path(sys.argv[2]))))
