"""What `faceanon evaluate swap` looks at: sampled frames of a source and of its output, face by face.

Faces are found in the source with the run's own detector at its best look, whatever the run did; the output is asked in the same place. A new
face is seen where the picture changed and the mesh sees a face in what is there now. Both faces are embedded at their own mesh's points.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faceanon.analyze.detect import look_at_image
from faceanon.core import geometry
from faceanon.core.errors import UsageError
from faceanon.core.facecrop import box_of, points_of
from faceanon.core.picture import Picture
from faceanon.core.settings import Settings
from faceanon.evaluation.metrics import LEAST_CHANGE, change
from faceanon.evaluation.swap import Seen
from faceanon.ledger.query import query
from faceanon.media.guarded import probe, read_pictures
from faceanon.models.catalog import Models
from faceanon.models.mesh import roll_of
from faceanon.render.align import yaw_deg
from faceanon.render.view import view

FRONTAL_DEG = 30.0  # of yaw and of roll
LEAST_MESH = 0.5  # score from which the mesh sees a face
_VIEW, _VIEW_FACE_PX = 0.6, 256  # as the engine sees faces
_CUTS = "SELECT DISTINCT o.name, s.first_frame FROM shots s JOIN outputs o ON s.output_id = o.output_id WHERE o.state = 'current' AND s.shot_no > 0 ORDER BY ALL"


@dataclass(frozen=True)
class Pair:
    """One video and what the job made of it."""

    name: str
    source: Path
    output: Path


def pairs_of(sources: list[Path], out: Path) -> list[Pair]:
    """A folder stands for the videos below it that were published; a file for itself. Raises UsageError where none was."""
    published = out / "videos"
    names = [path.relative_to(published).as_posix() for path in sorted(published.rglob("*"))]
    found = [Pair(name, source / name, published / name) for source in sources if source.is_dir() for name in names]
    found += [Pair(source.name, source, published / source.name) for source in sources if not source.is_dir()]
    pairs = [pair for pair in found if pair.source.is_file() and pair.output.is_file()]
    if not pairs:
        raise UsageError("no source has an output here", source=str(out))
    return pairs


def shots_of(out: Path) -> dict[str, list[int]]:
    """First frames of every published video's shots after the first, from the ledger, by name."""
    cuts: dict[str, list[int]] = {}
    for row in query(str(out), _CUTS).to_pylist():
        cuts.setdefault(row["name"], []).append(row["first_frame"])
    return cuts


def look(pair: Pair, cuts: list[int], models: Models, settings: Settings, samples: int, least_px: float) -> Iterator[Seen]:
    """Every face of at least `least_px` in up to `samples` evenly spaced frames."""
    facts, _ = probe(pair.source, settings.plan)
    step = max(1, math.ceil(facts.num_frames_from_content / samples))

    def frames(path: Path) -> Iterator[Picture]:
        return (picture for picture in read_pictures(path, probe(path, settings.plan)[0], None, writable=False) if picture.index % step == 0)

    for number, (before, after) in enumerate(zip(frames(pair.source), frames(pair.output), strict=True)):
        boxes, points, scores = look_at_image(before.bgr(), models.detector, settings.detect)
        for box, five, score in zip(boxes, points, scores, strict=True):
            if score >= settings.detect.sure and box[2] - box[0] >= least_px:
                seen = _face(before, after, box, five, models)
                if seen is not None:
                    yield Seen(number, before.index, sum(cut <= before.index for cut in cuts), box, *seen)


def _face(before: Picture, after: Picture, box: NDArray[np.float32], points: NDArray[np.float32], models: Models) -> tuple[bool, NDArray, NDArray | None] | None:
    """Whether the face is frontal, its embedding, and the new face's; None where the mesh does not see a face in the source either."""
    old = fitted(before, box, points, models)
    if old is None:
        return None
    new = fitted(after, box, points, models) if change(before, after, box.tolist()) >= LEAST_CHANGE else None
    return old.frontal, old.embedding, None if new is None else new.embedding


@dataclass(frozen=True, eq=False)  # holds arrays
class Fitted:
    """A face that the mesh sees in a picture."""

    frontal: bool
    embedding: NDArray[np.float32]  # (D,)
    mesh: NDArray[np.float32]  # (468, 3) px of the picture


def fitted(picture: Picture, box: NDArray[np.float32], points: NDArray[np.float32], models: Models) -> Fitted | None:
    """The face in this place; None where the mesh sees none."""
    image, to_view, corner, scale = view(picture, box, _VIEW, _VIEW_FACE_PX)
    there = to_view(box.reshape(2, 2)).reshape(4)
    mesh, score = models.mesh.fit(image, to_view(points), there)
    hull = box_of(mesh)
    if score < LEAST_MESH or geometry.iou(hull[None], there[None])[0, 0] < 0.4:
        return None
    five = points_of(mesh)
    frontal = yaw_deg(mesh) < FRONTAL_DEG and abs(math.degrees(roll_of(five))) < FRONTAL_DEG
    placed = mesh / np.float32(scale) + np.append(corner, 0).astype(np.float32)
    return Fitted(frontal, models.embedder.embed(image, five, hull), placed.astype(np.float32))
