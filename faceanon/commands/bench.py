"""`faceanon bench CLIP...`: CPU seconds a frame by stage, beside plain decode and plain decode + encode of the same clip in the same run.

Rounds alternate, so that a noisy machine disturbs both sides alike; medians are printed, and ratios, which travel better than seconds.
A job that encodes quicker has a worse ratio to its own encoding, so a second ratio is to a yardstick that stays, x264's veryfast.
Every model runs on one thread; decoders and encoders as in the job. The job reads in processes of their own, whose CPU time counts; plain
decoding is done in this one. What is paid once a run (loading models, folding records into the ledger's tables) is not counted per frame; the
ledger's share is listed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2

from faceanon.archive.plan import Requested
from faceanon.archive.store import open_store, version_of
from faceanon.commands import bench_against, bench_ledger, bench_scale
from faceanon.commands.progress import Quiet
from faceanon.core.errors import UsageError
from faceanon.core.records import SourceItem, VideoFacts
from faceanon.core.settings import ENGINES, EncodeSettings, Settings, load
from faceanon.flow import driver
from faceanon.flow.job import Context, JobSpec, new_run, open_keystore
from faceanon.flow.local import LocalExecutor
from faceanon.flow.request import Work
from faceanon.flow.stopwatch import cpu_spent_s
from faceanon.identity.keystore import scope_name
from faceanon.media.decode import read_pictures
from faceanon.media.encode import SegmentWriter
from faceanon.media.guarded import probe
from faceanon.models.catalog import Models, load_models

YARDSTICK = EncodeSettings(preset="veryfast")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("clips", nargs="*", type=Path, metavar="CLIP")
    parser.add_argument("--ledger", type=int, metavar="ROWS", help="instead: the time of each saved question on a ledger with so many rows of tracks")
    parser.add_argument("--against", metavar="PEER,PEER", help="instead: whole processes, ours and these, alternately on each clip")
    parser.add_argument("--peers", type=Path, default=Path("~/.cache/faceanon/peers"), metavar="DIR", help="where each peer has its virtual environment (%(default)s)")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="with --against: bars of CPU time a frame")
    parser.add_argument("--scale", action="store_true", help="instead: one, two, four and eight times the clips (or sample clips), in one process and on Ray")
    parser.add_argument("--times", default="1,2,4,8", help="with --scale: how many times (%(default)s)")
    parser.add_argument("--engine", choices=ENGINES, default="swap")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--settings", type=Path, metavar="FILE.toml")
    parser.add_argument("--format", choices=("table", "json"), default="table")


def run(arguments: argparse.Namespace) -> int:
    if arguments.ledger:
        report = bench_ledger.run(arguments.ledger)
        print(json.dumps(report, indent=2) if arguments.format == "json" else bench_ledger.table(report))
        return 0
    base = load(arguments.settings) if arguments.settings else Settings()
    settings = base.with_values(render__engine=arguments.engine)
    if arguments.scale:
        scaled = bench_scale.run(arguments.clips, settings, arguments.settings, [int(word) for word in arguments.times.split(",")])
        print(bench_scale.as_json(scaled) if arguments.format == "json" else bench_scale.text(scaled))
        return 0
    if not arguments.clips:
        raise UsageError("name a clip, or --ledger ROWS, or --scale")
    if arguments.against:
        return _against(arguments, settings)
    reports = [measure(clip, settings, arguments.rounds) for clip in arguments.clips]
    print(json.dumps(reports, indent=2) if arguments.format == "json" else "\n\n".join(_table(report) for report in reports))
    return 0


def _against(arguments: argparse.Namespace, settings: Settings) -> int:
    peers = [word.strip() for word in arguments.against.split(",")]
    reports = bench_against.run(arguments.clips, settings, arguments.settings, peers, arguments.peers.expanduser(), arguments.rounds, _plain)
    if arguments.plot and not cv2.imwrite(str(arguments.plot), bench_against.plot(reports)):
        raise UsageError("cannot be written", source=str(arguments.plot))
    print(bench_against.as_json(reports) if arguments.format == "json" else "\n\n".join(bench_against.text(report) for report in reports))
    return 0


def measure(clip: Path, settings: Settings, rounds: int) -> dict[str, Any]:
    """Medians over the rounds, CPU ms a frame."""
    facts, _ = probe(clip, settings.plan)
    jobs, decodes, encodes, yardsticks = [], [], [], []
    for number in range(rounds + 1):
        job, decoded = _job(clip, settings), _plain(clip, facts, None)
        encoded, yardstick = _plain(clip, facts, settings.encode), _plain(clip, facts, YARDSTICK)
        if number:  # the first round loads models and code
            jobs.append(job)
            decodes.append(decoded)
            encodes.append(encoded)
            yardsticks.append(yardstick)
    frames = facts.num_frames_from_content
    stages = {stage: statistics.median(job["cpu_seconds"].get(stage, 0.0) for job in jobs) * 1000 / frames for stage in sorted(jobs[0]["cpu_seconds"])}
    total = statistics.median(job["cpu_total_s"] for job in jobs) * 1000 / frames
    floor = statistics.median(encodes) * 1000 / frames
    faces = jobs[0]["face_frames"] / frames
    return {
        "clip": clip.name,
        "engine": settings.render.engine,
        "size": f"{facts.upright_size[0]}x{facts.upright_size[1]}",
        "frames": frames,
        "faces_a_frame": round(faces, 3),
        "cpu_ms_a_frame": {stage: round(value, 3) for stage, value in stages.items()},
        "total_ms": round(total, 3),
        "plain_decode_ms": round(statistics.median(decodes) * 1000 / frames, 3),
        "plain_decode_encode_ms": round(floor, 3),
        "ratio": round(total / floor, 3),
        "ratios": _ratios(jobs, encodes),
        "yardstick_ms": round(statistics.median(yardsticks) * 1000 / frames, 3),
        "yardstick_ratios": _ratios(jobs, yardsticks),
    }


def _job(clip: Path, settings: Settings) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="faceanon-bench-") as folder:
        out = open_store(f"{folder}/out")
        item = SourceItem(str(clip.resolve()), clip.name)
        keystore = open_keystore(f"{folder}/keystore.json", create=True)
        scopes = (scope_name(settings, item, ""),)
        keystore.ensure_scopes(scopes)
        spec = JobSpec(out.root, f"{folder}/work", str(keystore.path), scopes, keystore.fingerprint(scopes), settings, new_run(settings, keystore.keystore_id))
        with Context(spec, _loaded_once) as context:
            began = cpu_spent_s()
            summary = driver.run(context, LocalExecutor(context), Work(new=(Requested(item, *version_of(item.uri), ""),)), Quiet())
            if summary["quarantined"]:
                raise UsageError(summary["quarantined"][0]["reason"], source=str(clip))
            summary["cpu_total_s"] = cpu_spent_s() - began - summary["cpu_seconds"]["ledger"]  # that is paid once a run, not per frame
    return summary


@lru_cache(maxsize=8)
def _loaded_once(settings: Settings, *, need: frozenset[str]) -> Models:
    """A worker loads its models once for many videos, so their loading is not counted for one clip."""
    return load_models(settings, need=need)


def _ratios(jobs: list[dict[str, Any]], plain_s: list[float]) -> list[float]:
    return [round(job["cpu_total_s"] / plain, 3) for job, plain in zip(jobs, plain_s, strict=True)]


def _plain(clip: Path, facts: VideoFacts, encode: EncodeSettings | None) -> float:
    """CPU seconds of decoding, and of encoding so."""
    began = cpu_spent_s()
    if encode is None:
        for _ in read_pictures(clip, facts, None):
            pass
    else:
        with tempfile.TemporaryDirectory(prefix="faceanon-bench-") as folder, SegmentWriter(Path(folder) / "plain.nut", facts, encode) as writer:
            for picture in read_pictures(clip, facts, None):
                writer.write(picture)
    return cpu_spent_s() - began


def _table(report: dict[str, Any]) -> str:
    lines = [f"{report['clip']}  {report['size']}  {report['frames']} frames  {report['faces_a_frame']} faces a frame  engine {report['engine']}"]
    lines += [f"  {stage:<12} {value:8.2f} ms CPU a frame" for stage, value in report["cpu_ms_a_frame"].items()]
    lines += [
        f"  {'total':<12} {report['total_ms']:8.2f}",
        f"  {'decode':<12} {report['plain_decode_ms']:8.2f}   plain",
        f"  {'+ encode':<12} {report['plain_decode_encode_ms']:8.2f}   plain, same settings",
        f"  ratio to plain decode + encode: {report['ratio']:.2f}  (rounds: {', '.join(f'{r:.2f}' for r in report['ratios'])})",
        f"  ratio to plain decode + encode at {YARDSTICK.preset}, {report['yardstick_ms']:.2f} ms: {statistics.median(report['yardstick_ratios']):.2f}"
        f"  (rounds: {', '.join(f'{r:.2f}' for r in report['yardstick_ratios'])})",
    ]
    return "\n".join(lines)
