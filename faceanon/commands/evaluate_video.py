"""`faceanon evaluate video CLIP...`: an engine through the whole job, and how its new faces behave in time; how much is painted where no face is.

The two weak points of such systems are rows of their own: a clip without faces shows what is painted all the same, and with --noise each clip runs once
more with so much noise added to it before.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from faceanon.analyze.detect import look_at_image
from faceanon.commands.engine_runs import anonymized, loaded_once, with_engine
from faceanon.commands.swapped import Fitted, fitted, shots_of
from faceanon.core import geometry
from faceanon.core.picture import Image, Picture
from faceanon.core.settings import Settings
from faceanon.evaluation.metrics import LEAST_CHANGE, change
from faceanon.evaluation.report import table
from faceanon.evaluation.video import Features, VideoScore, Watched, score_video
from faceanon.identity.keystore import Keystore
from faceanon.media.clips import write_clip
from faceanon.media.guarded import probe, read_pictures
from faceanon.models.catalog import Models
from faceanon.models.people import lid_opening, openness
from faceanon.models.sketch import landmarks

BURST = 8  # neighbouring frames
AROUND = 0.6  # of a face's size: what an engine may paint around it
STRAY = 10.0  # luma steps, in the mean of 5 x 5 px: more than coding changes
_HEAD = (
    "clip", "engine", "frames", "faces", "new face", "cosine original", "new", "new - original", "95 %", "jitter original", "new", "spread original", "new",
    "least distance", "under", "mouth r", "eyes r", "stray %",
)  # fmt: skip


def add_arguments(kinds) -> argparse.ArgumentParser:
    video = kinds.add_parser("video", help="new faces in time: flicker, jitter, whether they follow, and what is painted where no face is")
    video.add_argument("clips", nargs="+", type=Path, metavar="CLIP")
    video.add_argument("--engine", default="swap", help="names separated by commas, a variant after a colon and weights after =, as in cleanir:vae=FILE")
    video.add_argument("--noise", type=float, default=0.0, metavar="STEPS", help="each clip once more with noise of so many steps of 255 (standard deviation)")
    video.add_argument("--samples", type=int, default=64, help=f"frames a clip that are looked at, in bursts of {BURST} (64)")
    video.add_argument("--least-px", type=float, default=48.0, help="narrower faces are not counted")
    return video


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    rows: list[tuple[str, VideoScore]] = []
    for word in dict.fromkeys(arguments.engine.split(",")):
        chosen = with_engine(settings, word)
        for clip in arguments.clips:
            with tempfile.TemporaryDirectory(prefix="faceanon-video-", dir=settings.run.scratch_dir or None) as scratch:
                rows += [
                    (word, _scored(case, source, chosen, Path(scratch) / f"{n}", arguments)) for n, (case, source) in enumerate(_cases(clip, arguments, Path(scratch)))
                ]
    if arguments.format == "json":
        print(json.dumps([{"engine": word, **{k: _plain(v) for k, v in asdict(row).items()}} for word, row in rows], indent=2))
    else:
        print(table(_HEAD, [_cells(word, row) for word, row in rows]))
    return 0


def _cases(clip: Path, arguments: argparse.Namespace, scratch: Path) -> Iterator[tuple[str, Path]]:
    yield clip.name, clip
    if arguments.noise > 0:
        yield f"{clip.name} + noise {arguments.noise:g}", _noisy(clip, scratch, arguments.noise)


def _noisy(clip: Path, folder: Path, steps: float) -> Path:
    """The clip's pictures with the same noise at every run, evenly spaced in time."""
    facts, _ = probe(clip, Settings().plan)
    random = np.random.default_rng(0)

    def images() -> Iterator[Image]:
        for picture in read_pictures(clip, facts, None, writable=False):
            image = picture.bgr()[: picture.height // 2 * 2, : picture.width // 2 * 2]
            yield np.clip(image + random.normal(0, steps, image.shape), 0, 255).astype(np.uint8)

    return write_clip(folder / f"{clip.stem}-noisy.mp4", images(), rate=facts.average_rate or Fraction(25), gop=48)


def _scored(case: str, source: Path, settings: Settings, out: Path, arguments: argparse.Namespace) -> VideoScore:
    out.mkdir()
    output = anonymized(source, out, settings, Keystore.open(out / "keys.json", out / "keys.json"))
    models = loaded_once(settings, need=frozenset({"detector", "mesh", "embedder"}))
    cuts = shots_of(out).get(source.name, [])
    facts, _ = probe(source, settings.plan)
    wanted = bursts(facts.num_frames_from_content, arguments.samples)
    watched: list[Watched] = []
    stray: list[float] = []
    readers = (read_pictures(path, probe(path, settings.plan)[0], None, writable=False) for path in (source, output))
    for before, after in zip(*readers, strict=True):
        if before.index in wanted:
            faces = list(_faces(before, after, wanted[before.index], sum(cut <= before.index for cut in cuts), models, settings))
            stray.append(stray_share(before, after, [face.box for face in faces]))
            watched += [face for face in faces if face.box[2] - face.box[0] >= arguments.least_px]
    return score_video(case, len(wanted), watched, stray, models.embedder.same_person_distance)  # type: ignore[union-attr]


def bursts(frames: int, samples: int) -> dict[int, int]:
    """Frame to its number among the sampled: evenly spread runs of BURST neighbours; all of a short clip."""
    if frames <= samples:
        return {n: n for n in range(frames)}
    starts = np.linspace(0, frames - BURST, max(1, samples // BURST)).round().astype(int)
    return {int(frame): number for number, frame in enumerate(sorted({int(start) + k for start in starts for k in range(BURST)}))}


def _faces(before: Picture, after: Picture, sample: int, shot: int, models: Models, settings: Settings) -> Iterator[Watched]:
    """Every sure face in which the mesh sees one, too."""
    boxes, points, scores = look_at_image(before.bgr(), models.detector, settings.detect)  # type: ignore[arg-type]
    for box, five in zip(boxes[scores >= settings.detect.sure], points[scores >= settings.detect.sure], strict=True):
        old = fitted(before, box, five, models)
        if old is None:
            continue
        new = fitted(after, box, five, models) if change(before, after, box.tolist()) >= LEAST_CHANGE else None
        yield Watched(sample, before.index, shot, box, old.frontal, old.embedding, new and new.embedding, _features(old), new and _features(new))


def _features(face: Fitted) -> Features:
    mesh = face.mesh
    return Features(landmarks(mesh), float(np.linalg.norm(mesh[33, :2] - mesh[263, :2])), openness(mesh), lid_opening(mesh))


def stray_share(before: Picture, after: Picture, faces: list[NDArray[np.float32]]) -> float:
    """Share of the picture that changed by more than coding does, further than AROUND from every face."""
    shift = before.format.depth - 8
    old, new = ((picture.planes[0] >> shift).astype(np.float32) for picture in (before, after))
    changed = np.abs(cv2.blur(old, (5, 5)) - cv2.blur(new, (5, 5))) > STRAY
    for x0, y0, x1, y1 in geometry.grow(np.stack(faces), AROUND).astype(int) if faces else ():
        changed[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)] = False
    return float(changed.mean())


def _cells(word: str, s: VideoScore) -> tuple[object, ...]:
    flicker = s.flicker
    return (
        s.clip, word, s.frames, s.faces, s.shown, s.original_cosine, s.new_cosine, flicker.value, f"{flicker.low:+.3f} {flicker.high:+.3f}", s.original_jitter,
        s.new_jitter, s.original_spread, s.new_spread, s.distance, s.under, s.mouth.value, s.eyes.value, 100 * s.stray,
    )  # fmt: skip


def _plain(value: object) -> object:
    """JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
