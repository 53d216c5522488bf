"""`faceanon evaluate faces --engine E --faces MANIFEST`: photos of named people, painted as the job paints frames, and judged.

Everybody with two photos is painted with a code of their own, from throw-away keys; a share of them once more with other keys. Two judges: dlib's net, which
also chooses personas and codes, so that its word on those engines is circular, and faceres, which nothing uses. Engines are judged on the same faces.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np

from faceanon.commands import panels
from faceanon.commands.engine_runs import label_of, with_engine
from faceanon.commands.face_plot import plot
from faceanon.commands.face_studio import Painter, Studio, need_of, painted_face, throwaway
from faceanon.commands.photos import Face, Photo, bystanders, face_of, opener, read_manifest, two_of_each
from faceanon.core.errors import LicenceRefused, UsageError, WeightsUnavailable
from faceanon.core.picture import Image, Picture
from faceanon.core.settings import Settings
from faceanon.evaluation.faces import A, B, Judge, Looks, PaintedFace, Row, calibrate, score
from faceanon.evaluation.intervals import Estimate

ALL = ("swap", "deepprivacy", "deepprivacy:keypoints", "deepprivacy:paper", "cleanir", "cleanir:vae", "blur", "pixelate")
CIRCULAR = "dlib also chooses personas, and its space is that of the codes: its word is circular for swap, deepprivacy and cleanir. faceres is used by nothing else."
TIMED = 40  # people whose faces are painted twice, to time it
_TILE_PX = 112


def add_arguments(kinds) -> argparse.ArgumentParser:
    faces = kinds.add_parser("faces", help="new faces in photos of named people: privacy and likeness, engine by engine")
    add_manifest(faces)
    faces.add_argument("--engine", default="swap", help="names separated by commas, a variant after a colon and weights after =, as in cleanir:vae=FILE; or all")
    faces.add_argument("--twice", type=int, default=160, metavar="N", help="of them, so many are painted with a second key, too (160)")
    faces.add_argument("--sheet", type=Path, metavar="FILE.png", help="sixty faces before and after, to be looked at")
    faces.add_argument("--plot", type=Path, metavar="FILE.png", help="the engines' main numbers side by side")
    faces.add_argument("--json", type=Path, metavar="FILE.json", help="everything as JSON, whatever is printed")
    return faces


def add_manifest(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--faces", type=Path, required=True, metavar="MANIFEST", help="tsv or csv with the columns file and person, or of pairs")
    parser.add_argument("--root", type=Path, metavar="DIR|TAR", help="where the files are (beside the manifest)")
    parser.add_argument("--people", type=int, metavar="N", help="at most so many people (all who have two photos)")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    words = ALL if arguments.engine == "all" else tuple(dict.fromkeys(arguments.engine.split(",")))
    engines = _engines(words, settings)
    with tempfile.TemporaryDirectory(prefix="faceanon-faces-") as folder:
        studio = Studio(settings)
        people, others = find_people(arguments, settings, studio), _bystanders(arguments, settings, studio)
        results: dict[str, list[PaintedFace]] = {}
        tiles: dict[str, list[Image]] = {}
        for word, chosen in engines.items():
            results[word], tiles[word] = _judged(word, chosen, studio, people, arguments.twice, Path(folder))
    judges = calibrate(next(iter(results.values())), studio.usual)
    rows = {label_of(word): score(faces, judges, others) for word, faces in results.items()}
    report = {
        "people": len(people),
        "judges": [_known(asdict(judge)) for judge in judges],
        "note": CIRCULAR,
        "engines": {word: [_plain(row) for row in own] for word, own in rows.items()},
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")
    if arguments.sheet:
        cv2.imwrite(str(arguments.sheet), _sheet([(_tile(f, f.image)) for own in people for f in own.faces], tiles))
    if arguments.plot:
        cv2.imwrite(str(arguments.plot), plot(rows))
    print(json.dumps(report, indent=2) if arguments.format == "json" else markdown(rows, judges, len(people)))
    return 0


def _engines(words: Sequence[str], settings: Settings) -> dict[str, Settings]:
    """By word. Of several, those without weights, or with weights that the licence rule refuses, are left out, and that is said; one alone must be there."""
    engines = {}
    for word in words:
        try:
            engines[word] = with_engine(settings, word)
        except (WeightsUnavailable, LicenceRefused) as error:
            if len(words) == 1:
                raise
            print(f"{word} is left out: {error}", file=sys.stderr)
    if not engines:
        raise UsageError("none of these engines can be run")
    return engines


class Person:
    """Two photos of somebody, found and looked at once for all engines."""

    def __init__(self, name: str, faces: tuple[Face, Face], looks: tuple[Looks, Looks]) -> None:
        self.name, self.faces, self.looks = name, faces, looks


def find_people(arguments: argparse.Namespace, settings: Settings, studio: Studio) -> list[Person]:
    """Everybody whose two photos both show a face. Raises UsageError where there are fewer than two people."""
    read = opener(arguments.root or arguments.faces.parent)
    found = []
    for pair in two_of_each(read_manifest(arguments.faces), arguments.people):
        faces = [_face(photo, read, settings, studio) for photo in pair]
        if all(faces):
            found.append(Person(pair[0].person, tuple(faces), tuple(studio.looks(face.image, face) for face in faces)))  # type: ignore[arg-type,union-attr]
    if len(found) < 2:
        raise UsageError("holds fewer than two people with two photos that show a face", source=str(arguments.faces))
    print(f"{len(found)} people", file=sys.stderr, flush=True)
    return found


def _bystanders(arguments: argparse.Namespace, settings: Settings, studio: Studio) -> list[Looks]:
    """Those of whom there is only one photo."""
    read = opener(arguments.root or arguments.faces.parent)
    faces = [_face(photo, read, settings, studio) for photo in bystanders(read_manifest(arguments.faces))]
    return [studio.looks(face.image, face) for face in faces if face is not None]


def _face(photo: Photo, read, settings: Settings, studio: Studio) -> Face | None:
    image = read(photo)
    return None if image is None else face_of(Picture.of(image).bgr(), studio.models.detector, settings)


def _judged(word: str, settings: Settings, studio: Studio, people: Sequence[Person], twice: int, folder: Path) -> tuple[list[PaintedFace], list[Image]]:
    """Every face that this engine paints, and tiles of those of key 0."""
    faces, tiles = [], []
    for key, own in ((0, people), (1, people[:: max(1, len(people) // max(twice, 1))] if twice else [])):
        keystore = throwaway(folder, key)
        painter = Painter(settings, keystore, [need_of(p.name, p.looks, keystore) for p in own])
        for number, person in enumerate(own):
            photos = (A, B) if key == 0 else (B,)
            timed = key == 0 and number < TIMED
            for photo, shown in zip(photos, painter.paint(person.name, [person.faces[n] for n in photos], timed=timed), strict=True):
                face = person.faces[photo]
                faces.append(painted_face(person.name, photo, key, person.looks[photo], studio.looks(shown.image, face), shown, timed))
                if key == 0:
                    tiles.append(_tile(face, shown.image))
            if number % 40 == 39:
                print(f"{word}: key {key}, {number + 1} of {len(own)} people", file=sys.stderr, flush=True)
    return faces, tiles


def _tile(face: Face, image: Image) -> Image:
    """The face with some of what is around it."""
    side = 0.8 * max(face.box[2] - face.box[0], face.box[3] - face.box[1])
    x, y = (face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2
    scale = _TILE_PX / (2 * side)
    to_tile = np.array([[scale, 0, _TILE_PX / 2 - scale * x], [0, scale, _TILE_PX / 2 - scale * y]], np.float32)
    return np.asarray(cv2.warpAffine(image, to_tile, (_TILE_PX, _TILE_PX), flags=cv2.INTER_AREA, borderValue=(255, 255, 255)), np.uint8)


def _sheet(before: list[Image], after: dict[str, list[Image]], count: int = 60, columns: int = 15) -> Image:
    """Evenly spread faces; below each original the engines' in order, named in the first column."""
    wanted = np.unique(np.linspace(0, len(before) - 1, min(count, len(before))).round().astype(int))
    blocks = []
    for start in range(0, len(wanted), columns):
        own = wanted[start : start + columns]
        rows = {"original": [before[k] for k in own], **{word: [tiles[k] for k in own] for word, tiles in after.items()}}
        blocks += [tile for word, row in rows.items() for tile in [*_named(row, word), *[np.full_like(before[0], 255)] * (columns - len(row))]]
    return panels.grid(blocks, columns)


def _named(row: list[Image], word: str) -> list[Image]:
    first = row[0].copy()
    cv2.putText(first, label_of(word), (2, _TILE_PX - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (0, 255, 255), 1, cv2.LINE_AA)
    return [first, *row[1:]]


def markdown(rows: dict[str, list[Row]], judges: Sequence[Judge], people: int) -> str:
    """A column an engine, a row a question and judge; 95 % intervals over people."""
    asked = list(dict.fromkeys((row.question, row.judge, row.percent) for own in rows.values() for row in own))
    found = {word: {(row.question, row.judge): row.found for row in own} for word, own in rows.items()}
    limits = "; ".join(f"{j.name}: {'' if math.isnan(j.usual) else f'{j.usual:.2f} by its makers, '}{j.at_far:.3f} at a false-accept rate of 1e-3" for j in judges)
    lines = [f"{people} people, two photos each. Thresholds: {limits}. {CIRCULAR}", "", f"| question | judge | {' | '.join(rows)} |", "|---|---|" + "---|" * len(rows)]
    lines += [f"| {question} | {judge} | {' | '.join(_cell(found[word].get((question, judge)), percent) for word in rows)} |" for question, judge, percent in asked]
    return "\n".join(lines)


def _cell(found: Estimate | None, percent: bool) -> str:
    if found is None or math.isnan(found.value):
        return "-"
    scale, digits = (100, 1) if percent else (1, 3 if abs(found.value) < 10 else 1)
    value, low, high = (f"{number * scale:.{digits}f}" for number in (found.value, found.low, found.high))
    sign = " %" if percent else ""
    return f"{value}{sign}" if math.isnan(found.low) else f"{value}{sign} [{low}, {high}]"


def _plain(row: Row) -> dict[str, object]:
    return {"question": row.question, "judge": row.judge, **_known(asdict(row.found))}


def _known(values: dict[str, object]) -> dict[str, object]:
    """JSON has no NaN."""
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in values.items()}
