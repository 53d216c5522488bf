"""Everything that looks at a face in an evaluation, loaded once, and each person's new face painted by an engine as the job paints it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faceanon.commands.engine_runs import loaded_once
from faceanon.commands.photos import Face, region_of
from faceanon.core import geometry
from faceanon.core.facecrop import points_of
from faceanon.core.picture import Image, Picture
from faceanon.core.ports import FaceEmbedder, FaceEngine
from faceanon.core.records import Painted
from faceanon.core.settings import INPAINTING, Settings
from faceanon.evaluation.faces import Looks, PaintedFace
from faceanon.identity.codes import choose_codes
from faceanon.identity.fitting import PersonaNeed
from faceanon.identity.keystore import Keystore
from faceanon.identity.persona import choose_personas
from faceanon.models.catalog import Models
from faceanon.models.emotion import EmotionReader
from faceanon.models.judge_faceres import FaceresEmbedder
from faceanon.models.mesh import roll_of
from faceanon.models.people import lid_opening, openness
from faceanon.models.sketch import landmarks
from faceanon.render.align import yaw_deg
from faceanon.render.engines import make_engine

SCOPE = "archive"
SAME_PLACE_IOU = 0.4
_LOOKERS = frozenset({"detector", "mesh", "embedder", "attributes"})
_PAINTERS = frozenset({"mesh", "embedder", "segmenter", "people", "attributes", "bank", "inpainter"})


@dataclass(frozen=True, eq=False)
class Shown:
    """A photo after an engine: the picture, and what was measured."""

    image: Image
    shows_face: bool
    changed_outside: float
    changed_beyond: float
    cpu_ms: float


class Studio:
    """Judges and readers; the same for every engine."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.models = loaded_once(settings, need=_LOOKERS)
        self._emotion = EmotionReader(settings.models)
        self.judges: dict[str, FaceEmbedder] = {"dlib": self.models.embedder, "faceres": FaceresEmbedder(settings.models)}  # type: ignore[dict-item]

    @property
    def usual(self) -> dict[str, float]:
        """What each judge's makers call one person."""
        return {"dlib": self.models.embedder.same_person_distance, "faceres": math.nan}  # type: ignore[union-attr]

    def looks(self, image: Image, face: Face) -> Looks:
        """The face that `image` shows in the place of `face`. Who recognises people looks where the detector finds one, else where the original was."""
        boxes, points, scores = self.models.detector.detect(image)  # type: ignore[union-attr]
        near = np.flatnonzero((scores >= self._settings.detect.sure) & (geometry.iou(boxes, face.box[None])[:, 0] >= SAME_PLACE_IOU)) if len(boxes) else []
        box, five = (boxes[near[0]], points[near[0]]) if len(near) else (face.box, face.points)
        mesh, _ = self.models.mesh.fit(image, face.points, face.box)  # type: ignore[union-attr]
        female, age, skin = self.models.attributes.read(image, face.points, face.box)  # type: ignore[union-attr]
        return Looks(
            embeddings={name: judge.embed(image, five, box) for name, judge in self.judges.items()},
            landmarks=landmarks(mesh),
            eyes_px=float(np.linalg.norm(mesh[33, :2] - mesh[263, :2])),
            mouth=openness(mesh),
            lids=lid_opening(mesh),
            pose=pose_of(mesh),
            emotion=self._emotion.read(image, face.box),
            female=female,
            age=age,
            skin=skin,
            detected=len(near) > 0,
        )


def pose_of(mesh: NDArray[np.float32]) -> NDArray[np.float32]:
    """(3,) yaw, pitch and roll in degrees, of a mesh (468, 3); the yaw is signed."""
    across, down = mesh[454] - mesh[234], mesh[152] - mesh[10]
    pitch = math.degrees(math.atan2(float(down[2]), max(float(np.hypot(down[0], down[1])), 1e-6)))
    return np.array([math.copysign(yaw_deg(mesh), float(across[2])), pitch, math.degrees(roll_of(points_of(mesh)))], np.float32)


def need_of(person: str, looks: Sequence[Looks], keystore: Keystore) -> PersonaNeed:
    """What the linker would know of somebody seen in these photos."""
    female, age = (float(np.mean([getattr(look, name) for look in looks])) for name in ("female", "age"))
    skin = np.mean([look.skin for look in looks], axis=0)
    return PersonaNeed(keystore.label(SCOPE, person), person, np.mean([look.embeddings["dlib"] for look in looks], axis=0), female, age, tuple(skin.tolist()))


class Painter:
    """One engine with one keystore: gives each person their new face, and paints it."""

    def __init__(self, settings: Settings, keystore: Keystore, needs: Sequence[PersonaNeed], models: Models | None = None) -> None:
        """models: of another painter of the same engine."""
        self._settings, self._keystore = settings, keystore
        self.models = models or loaded_once(settings, need=_PAINTERS)
        self._chosen = self._choose(needs)

    def _choose(self, needs: Sequence[PersonaNeed]) -> Mapping[str, Any]:
        """A persona or a code for each label, as the job's linker chooses them for an archive."""
        render, bank = self._settings.render, self.models.bank

        def draw(label: str, n: int) -> int:
            return self._keystore.draw(SCOPE, label, n)

        if render.engine == "swap":
            return choose_personas(needs, bank, self.models.people.embedding, draw)  # type: ignore[union-attr,arg-type]
        return choose_codes(render, needs, bank, draw, taken={}) if render.engine in INPAINTING else {}  # type: ignore[arg-type]

    def engine(self, person: str, *, checks: bool) -> FaceEngine:
        """Of one person, as identity 0. Not `checks`: new faces are not compared with originals, which in a clip is done for one frame in many."""
        chosen, render = self._chosen.get(self._keystore.label(SCOPE, person)), self._settings.render
        return make_engine(
            render,
            mesh=self.models.mesh,
            embedder=self.models.embedder if checks else None,
            segmenter=self.models.segmenter,
            portraits={0: self.models.people.portrait(chosen)} if render.engine == "swap" else {},  # type: ignore[union-attr,arg-type]
            inpainter=self.models.inpainter,
            codes={0: chosen} if render.engine in INPAINTING else {},  # type: ignore[dict-item]
        )

    def paint(self, person: str, faces: Sequence[Face], *, timed: bool, checks: bool = True) -> list[Shown]:
        engine = self.engine(person, checks=checks)
        shown = [self._paint(engine, face) for face in faces]
        if not timed:
            return shown
        plain = self.engine(person, checks=False)
        self._paint(plain, faces[0])  # what is prepared once a person is not a face's
        return [replace(one, cpu_ms=self._paint(plain, face).cpu_ms) for one, face in zip(shown, faces, strict=True)]

    def _paint(self, engine: FaceEngine, face: Face) -> Shown:
        picture, regions = Picture.of(face.image), region_of(face, self._settings)
        before = np.stack(picture.planes)
        began = time.process_time()
        ((after, rows),) = list(engine.paint([picture], regions))
        cpu_ms = (time.process_time() - began) * 1000
        changed = np.abs(np.stack(after.planes).astype(int) - before).max(0)
        return Shown(
            after.bgr(), all(row.painted == Painted.FACE for row in rows), float(_outside(changed, rows[0].box).max(initial=0)),
            float((_outside(changed, regions.cover[0].round().astype(int)) > 0).mean()), cpu_ms,
        )  # fmt: skip


def _outside(changed: NDArray, box: Sequence[int]) -> NDArray:
    """(n,) the values outside the box."""
    kept = np.ones(changed.shape, bool)
    kept[max(0, box[1]) : box[3], max(0, box[0]) : box[2]] = False
    return changed[kept]


def painted_face(person: str, photo: int, key: int, old: Looks, new: Looks, shown: Shown, timed: bool) -> PaintedFace:
    return PaintedFace(person, photo, key, old, new, shown.shows_face, shown.changed_outside, shown.changed_beyond, shown.cpu_ms if timed else math.nan)


def throwaway(folder: Path, number: int) -> Keystore:
    """Keys of one archive that nobody will see again."""
    return Keystore.open(folder / f"keys{number}.json", folder / f"keys{number}.json")
