"""`faceanon evaluate detection | shots | coverage`: against known truth, with the models and the settings that a run would use."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq

from faceanon.analyze.detect import look_at_image
from faceanon.analyze.shots import ShotScorer
from faceanon.core.errors import UsageError
from faceanon.core.picture import Picture
from faceanon.core.settings import Settings, load
from faceanon.evaluation.detection import Detect, evaluate_detection, read_tar, read_wider
from faceanon.evaluation.report import cut_table, recall_table, table
from faceanon.evaluation.shots import evaluate_shots, read_cuts
from faceanon.media.decode import read_pictures
from faceanon.media.probe import probe
from faceanon.models.catalog import load_models
from faceanon.models.detectors import make_detector

LEAST_CHANGE = 0.5  # of a face's own detail; coding alone stays below 0.35 but for faces of a few px
LEAST_DETAIL = 1.0  # luma steps; with less there is nobody to be seen


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
    for kind in (detection, shots, coverage):
        kind.add_argument("--settings", type=Path, metavar="FILE.toml")
        kind.add_argument("--format", choices=("table", "json"), default="table")


def run(arguments: argparse.Namespace) -> int:
    settings = load(arguments.settings) if arguments.settings else Settings()
    return {"detection": _detection, "shots": _shots, "coverage": _coverage}[arguments.kind](arguments, settings)


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
        kept += [face for face in by_frame.get(before.index, ()) if change(before, after, face) < LEAST_CHANGE]
    return kept


def change(before: Picture, after: Picture, face: dict) -> float:
    """How far the inner half of a face's box has moved from the source, over the detail that the source shows there, so that dark frames count like
    bright ones; infinite where the face lies outside the picture or shows nothing.
    """
    dx, dy = (face["x2"] - face["x1"]) / 4, (face["y2"] - face["y1"]) / 4
    x0, x1 = max(0, round(face["x1"] + dx)), min(before.width, round(face["x2"] - dx))
    y0, y1 = max(0, round(face["y1"] + dy)), min(before.height, round(face["y2"] - dy))
    if x1 <= x0 or y1 <= y0:
        return float("inf")
    old, new = ((p.planes[0][y0:y1, x0:x1] >> (p.format.depth - 8)).astype(np.float32) for p in (before, after))
    detail = float(np.abs(old - cv2.GaussianBlur(old, (0, 0), max(old.shape[1] / 4, 0.8))).mean())
    return float(np.abs(old - new).mean()) / detail if detail >= LEAST_DETAIL else float("inf")
