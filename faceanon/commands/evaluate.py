"""`faceanon evaluate detection | shots | coverage | swap | faces | angles | video`: with the models and the settings that a run would use."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import pyarrow.parquet as pq

from faceanon.analyze.detect import look_at_image
from faceanon.analyze.shots import ShotScorer
from faceanon.commands import evaluate_angles, evaluate_faces, evaluate_video, swapped
from faceanon.core.errors import UsageError
from faceanon.core.settings import Settings, load
from faceanon.evaluation.detection import Detect, evaluate_detection, read_tar, read_wider
from faceanon.evaluation.metrics import LEAST_CHANGE, change
from faceanon.evaluation.report import cut_table, recall_table, swap_table, table
from faceanon.evaluation.shots import evaluate_shots, read_cuts
from faceanon.evaluation.swap import score, total, tracklets_of
from faceanon.media.guarded import probe, read_pictures
from faceanon.models.catalog import load_models
from faceanon.models.detectors import make_detector


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="kind", required=True)
    detection = kinds.add_parser("detection", help="recall by face width, beside CenterFace's")
    detection.add_argument("pictures", type=Path, help="a tar of pictures, or a folder of WIDER FACE's")
    detection.add_argument("labels", type=Path, help="a tab-separated table (file, x, y, w, h), or WIDER FACE's labels")
    detection.add_argument("--limit", type=int, help="only the first so many pictures")
    shots = kinds.add_parser("shots", help="hard cuts against a table of clip, kind, start, end")
    shots.add_argument("cuts", type=Path)
    shots.add_argument("videos", type=Path, help="the folder of the clips")
    coverage = kinds.add_parser("coverage", help="faces of a sample archive that the output still shows")
    coverage.add_argument("archive", type=Path, help="a folder made by `faceanon samples`")
    coverage.add_argument("out", type=Path, help="what the job made of it")
    swap = kinds.add_parser("swap", help="how steady new faces are, how far from their originals, and how often they are painted")
    swap.add_argument("sources", nargs="+", type=Path, metavar="SRC", help="videos, or folders of them, that the job was given")
    swap.add_argument("out", type=Path, metavar="OUT", help="what the job made of them")
    swap.add_argument("--samples", type=int, default=40, help="evenly spaced frames a video that are looked at")
    swap.add_argument("--least-px", type=float, default=48.0, help="narrower faces are not counted")
    swap.add_argument("--frontal", action="store_true", help="spreads and distances over frontal frames alone")
    further = [job.add_arguments(kinds) for job in (evaluate_faces, evaluate_angles, evaluate_video)]
    for kind in (detection, shots, coverage, swap, *further):
        kind.add_argument("--settings", type=Path, metavar="FILE.toml")
        kind.add_argument("--format", choices=("table", "json"), default="table")


def run(arguments: argparse.Namespace) -> int:
    settings = load(arguments.settings) if arguments.settings else Settings()
    further = {"faces": evaluate_faces.run, "angles": evaluate_angles.run, "video": evaluate_video.run}
    return {"detection": _detection, "shots": _shots, "coverage": _coverage, "swap": _swap, **further}[arguments.kind](arguments, settings)


def _detection(arguments: argparse.Namespace, settings: Settings) -> int:
    labelled = read_wider(arguments.pictures, arguments.labels) if arguments.pictures.is_dir() else read_tar(arguments.pictures, arguments.labels)
    pictures = [entry for number, entry in enumerate(labelled) if arguments.limit is None or number < arguments.limit]
    rows = evaluate_detection(pictures, detectors(settings))
    print(json.dumps([asdict(row) | {"recall": row.recall} for row in rows], indent=2) if arguments.format == "json" else recall_table(rows))
    return 0


def detectors(settings: Settings) -> dict[str, Detect]:
    """The run's own look, at the scales that it uses, and CenterFace on the picture as it is."""
    detector = load_models(settings, need=frozenset({"detector"})).detector
    judge = make_detector("centerface", threshold=settings.detect.threshold, models=settings.models)
    return {settings.detect.detector: lambda image: look_at_image(image, detector, settings.detect), "centerface": judge.detect}


def _shots(arguments: argparse.Namespace, settings: Settings) -> int:
    truth = read_cuts(arguments.cuts)
    models = load_models(settings, need=frozenset({"shot_net"}))
    found = {}
    for clip in sorted(truth):
        path = arguments.videos / clip
        if path.exists():
            facts, _ = probe(path, settings.plan)
            scorer = ShotScorer(settings.shots, models.shot_net)
            decided = [cut for picture in read_pictures(path, facts, None) for cut in scorer.feed(picture)] + scorer.finish()
            found[clip] = [frame for frame, _ in decided]
    scores = evaluate_shots(found, truth)
    print(json.dumps([asdict(score) | {"f1": score.f1} for score in scores], indent=2) if arguments.format == "json" else cut_table(scores))
    return 0


def _coverage(arguments: argparse.Namespace, settings: Settings) -> int:
    """Exit 1 where a face that the truth calls visible kept its pixels."""
    truth = pq.read_table(arguments.archive / "truth.parquet").to_pylist()
    if not truth:
        raise UsageError("holds no faces", source=str(arguments.archive / "truth.parquet"))
    rows, leaks = [], []
    for clip in sorted({row["clip"] for row in truth}):
        faces = [row for row in truth if row["clip"] == clip]
        kept = uncovered(arguments.archive / clip, arguments.out / "videos" / clip, faces, settings)
        rows.append((clip, len(faces), len(kept)))
        leaks += kept
    total = ("all", sum(r[1] for r in rows), len(leaks))
    print(json.dumps({"faces": total[1], "leaks": leaks}, indent=2) if arguments.format == "json" else table(("clip", "faces", "leaks"), [*rows, total]))
    return 1 if leaks else 0


def uncovered(source: Path, output: Path, faces: list[dict], settings: Settings) -> list[dict]:
    """The truth rows whose face shows the source's own pixels in the output."""
    by_frame: dict[int, list[dict]] = {}
    for face in faces:
        by_frame.setdefault(face["frame"], []).append(face)
    pictures = (read_pictures(path, probe(path, settings.plan)[0], None) for path in (source, output))
    kept = []
    for before, after in zip(*pictures, strict=True):
        kept += [face for face in by_frame.get(before.index, ()) if change(before, after, (face["x1"], face["y1"], face["x2"], face["y2"])) < LEAST_CHANGE]
    return kept


def _swap(arguments: argparse.Namespace, settings: Settings) -> int:
    """Nothing is judged here: the numbers are printed."""
    pairs = swapped.pairs_of(arguments.sources, arguments.out)
    models = load_models(settings, need=frozenset({"detector", "mesh", "embedder"}))
    cuts = swapped.shots_of(arguments.out)
    scored = []
    for pair in pairs:
        seen = swapped.look(pair, cuts.get(pair.name, []), models, settings, arguments.samples, arguments.least_px)
        scored += [score(pair.name, tracklet, frontal_only=arguments.frontal) for tracklet in tracklets_of(seen) if len(tracklet) > 1]
    threshold = models.embedder.same_person_distance
    totals = [total(name, [t for t in scored if name in (t.clip, "all")], threshold) for name in (*dict.fromkeys(t.clip for t in scored), "all")]
    numbers = {"threshold": threshold, "tracklets": [asdict(t) for t in scored], "clips": [asdict(t) for t in totals]}
    print(json.dumps(numbers, indent=2) if arguments.format == "json" else swap_table(scored, totals))
    return 0
