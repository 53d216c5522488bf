"""`faceanon evaluate angles --faces MANIFEST`: share of people whom a judge still takes for themselves, by cleanir's angle and by threshold.

The table that the CLEANIR paper (Cho et al., 2020) gives of its own system: 0 degrees paints a person's own code, 180 its opposite, both drawn as the job
draws them. Two kinds of pairs: a photo and its new face, and the new face of one photo against another real photo. Beside them what two real photos give.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from faceanon.commands.engine_runs import with_engine
from faceanon.commands.evaluate_faces import CIRCULAR, Person, add_manifest, find_people
from faceanon.commands.face_studio import Painter, Studio, need_of, throwaway
from faceanon.core.settings import Settings
from faceanon.evaluation.faces import A, B, Judge, Looks
from faceanon.evaluation.reidentification import calibrated

ANGLES = (0, 45, 90, 110, 125, 135, 150, 165, 180)
SHORT_OF = 1e-3  # degrees from 0 and from 180, where no plane is left to turn in
_STRICT = (0.5, 0.4)  # dlib's thresholds below its own


def add_arguments(kinds) -> argparse.ArgumentParser:
    angles = kinds.add_parser("angles", help="who is still recognised, by cleanir's angle and by the judge's threshold")
    add_manifest(angles)
    angles.add_argument("--engine", default="cleanir", help="cleanir, or a variant of it as in cleanir:vae")
    angles.add_argument("--angles", default=",".join(map(str, ANGLES)), help="degrees, separated by commas")
    return angles


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    chosen = with_engine(settings, arguments.engine)
    studio = Studio(settings)
    people = find_people(arguments, settings, studio)
    judges = _judges(people, studio)
    between = [(p.looks[A], p.looks[B]) for p in people]
    rows = [("real photos", {name: _shares(between, judges) for name in ("same photo", "other photo")})]
    models = None
    with tempfile.TemporaryDirectory(prefix="faceanon-angles-") as folder:
        keystore = throwaway(Path(folder), 0)
        needs = [need_of(p.name, p.looks, keystore) for p in people]
        for angle in (float(word) for word in arguments.angles.split(",")):
            turned = replace(chosen, render=replace(chosen.render, angle_degrees=min(max(angle, SHORT_OF), 180 - SHORT_OF)))
            painter = Painter(turned, keystore, needs, models)
            models = painter.models
            new = [studio.looks(painter.paint(p.name, [p.faces[A]], timed=False, checks=False)[0].image, p.faces[A]) for p in people]
            pairs = {
                "same photo": [(p.looks[A], look) for p, look in zip(people, new, strict=True)],
                "other photo": [(p.looks[B], look) for p, look in zip(people, new, strict=True)],
            }
            rows.append((f"{angle:g} degrees", {name: _shares(own, judges) for name, own in pairs.items()}))
    if arguments.format == "json":
        print(json.dumps({"people": len(people), "note": CIRCULAR, "rows": [{"row": word, **shares} for word, shares in rows]}, indent=2))
    else:
        print(_markdown(rows, len(people)))
    return 0


def _judges(people: Sequence[Person], studio: Studio) -> list[Judge]:
    """Each judge with each of its thresholds."""
    judges = []
    for name, usual in studio.usual.items():
        a, b = (np.stack([p.looks[photo].embeddings[name] for p in people]) for photo in (A, B))
        limits = [*((usual, *_STRICT) if np.isfinite(usual) else ()), calibrated(a, b), calibrated(a, b, 1e-2)]
        judges += [Judge(name, limit, limit) for limit in limits]
    return judges


def _shares(pairs: Sequence[tuple[Looks, Looks]], judges: Sequence[Judge]) -> dict[str, float]:
    """By judge and threshold: the share of pairs that are one person to it."""
    return {
        f"{judge.name} {judge.at_far:.3f}": float(np.mean([np.linalg.norm(a.embeddings[judge.name] - b.embeddings[judge.name]) < judge.at_far for a, b in pairs]))
        for judge in judges
    }


def _markdown(rows: Sequence[tuple[str, dict[str, dict[str, float]]]], people: int) -> str:
    columns = list(rows[0][1]["same photo"])
    lines = [f"{people} people; the last two thresholds of a judge are at false-accept rates of 1e-3 and 1e-2. {CIRCULAR}"]
    for kind, words in (("same photo", "A photo and its new face"), ("other photo", "The new face and another real photo")):
        lines += ["", f"{words}: share still judged the same person", "", f"| | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
        lines += [f"| {word} | {' | '.join(f'{100 * shares[kind][column]:.0f} %' for column in columns)} |" for word, shares in rows]
    return "\n".join(lines)
