"""What every engine that paints new faces does besides painting them: fit the mesh, look ahead, decide, compare with the original, obscure what cannot be done well.

Pictures are held back by LOOKAHEAD frames, so that what a frame shows depends on what comes after as well as on what was.
Order within a frame: what is obscured comes first, new faces over it; a face is never seen through another's paint, for every new face is drawn whole.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from faceanon.core.picture import Picture
from faceanon.core.ports import FaceEmbedder, FaceMesh
from faceanon.core.records import Method, Painted, PaintRow, RegionTable, TrackPaint
from faceanon.core.settings import RenderSettings
from faceanon.render import expression, follow
from faceanon.render.check import Check
from faceanon.render.expression import Demand
from faceanon.render.follow import Sight, Usual
from faceanon.render.obscure import obscure
from faceanon.render.paint import Patch
from faceanon.render.rows import rows_at
from faceanon.render.tally import Tally
from faceanon.render.view import view, view_box

_VIEW, _VIEW_FACE_PX = 0.6, 256  # margin around a face, and its largest width, in what the mesh sees
Meshes = Mapping[int, NDArray[np.float32]]  # row of the region table to (468, 3) px of the picture


class FittingEngine(ABC):
    """One segment at a time. A subclass says who can be given a face (`_has_face`) and paints all faces of one frame (`_make`)."""

    name: str
    reads_expression = True  # whether lids, gaze and the mouth's inside are read from the frame's own pixels

    def __init__(self, settings: RenderSettings, mesh: FaceMesh, embedder: FaceEmbedder | None) -> None:
        self._settings, self._mesh, self._embedder = settings, mesh, embedder
        self._begin(RegionTable.empty())

    @abstractmethod
    def _has_face(self, identity: int) -> bool:
        """Whether there is a new face for this identity_no."""

    @abstractmethod
    def _make(self, picture: Picture, meshes: Meshes) -> dict[int, Patch | None]:
        """The new face of every row given; None where nothing of it lies inside the picture. The picture is not changed."""

    def _begin(self, regions: RegionTable) -> None:
        self._regions = regions
        self._tally = Tally()
        self._check = Check(self._embedder, self._settings.check_every)
        self._sights: dict[int, dict[int, Sight]] = {}  # by track, then frame
        self._usual: dict[int, Usual] = {}  # by track
        self._shows: dict[int, bool] = {}  # by track: what its last frame showed

    def paint(self, pictures: Iterable[Picture], regions: RegionTable) -> Iterator[tuple[Picture, list[PaintRow]]]:
        self._begin(regions)
        held: deque[Picture] = deque()
        for picture in pictures:
            self._look(picture)
            held.append(picture)
            if len(held) > follow.LOOKAHEAD:
                yield self._release(held.popleft(), goes_on=True)
        while held:
            yield self._release(held.popleft(), goes_on=False)

    def summary(self) -> tuple[TrackPaint, ...]:
        return self._tally.summary()

    def _demand(self, frame: int, i: int) -> Demand:
        """What the new face of a row must show, beyond its mesh."""
        track = int(self._regions.track[i])
        return follow.demand(frame, self._sights[track], self._usual[track])

    def _look(self, picture: Picture) -> None:
        """Fit the mesh to every face that is to be replaced."""
        for i in rows_at(self._regions, picture.index):
            if self._wants_face(i):
                track, sight = int(self._regions.track[i]), self._sight(picture, self._regions.face[i], self._regions.points[i])
                self._sights.setdefault(track, {})[picture.index] = sight
                self._usual.setdefault(track, Usual()).add(sight.expression)

    def _wants_face(self, i: int) -> bool:
        return self._regions.method[i] == Method.ENGINE and self._has_face(int(self._regions.identity[i]))

    def _sight(self, picture: Picture, face: NDArray[np.float32], points: NDArray[np.float32]) -> Sight:
        size = (picture.width, picture.height)
        if view_box(picture, face, _VIEW) is None or face[2] - face[0] < 0.8 * self._settings.min_face_px:
            return follow.judge(None, 0.0, face, points, size, self._settings)
        image, to_view, corner, k = view(picture, face, _VIEW, _VIEW_FACE_PX)
        mesh, score = self._mesh.fit(image, to_view(points), to_view(face.reshape(2, 2)).reshape(4))
        placed = (mesh / np.float32(k)).astype(np.float32)
        placed[:, :2] += corner
        sight = follow.judge(placed, score, face, points, size, self._settings)
        return replace(sight, expression=expression.read(image, mesh)) if sight.stays and self.reads_expression else sight

    def _release(self, picture: Picture, goes_on: bool) -> tuple[Picture, list[PaintRow]]:
        """Decide, paint and check one frame whose following frames are known."""
        rows = list(rows_at(self._regions, picture.index))
        meshes = {i: mesh for i in rows if (mesh := self._mesh_to_paint(i, picture.index, goes_on)) is not None}
        made = self._make(picture, meshes) if meshes else {}
        patches = {i: patch for i, patch in made.items() if self._passes(picture, i, patch) and patch is not None}
        painted = [self._obscure(picture, i) for i in rows if i not in patches]
        painted += [self._paste(picture, i, patch) for i, patch in patches.items()]
        for row in painted:
            self._tally.add(row)
        self._forget(picture.index)
        return picture, sorted(painted, key=lambda r: r.track)

    def _mesh_to_paint(self, i: int, frame: int, goes_on: bool) -> NDArray[np.float32] | None:
        track = int(self._regions.track[i])
        if not self._wants_face(i):
            self._shows.pop(track, None)
            return None
        sights = self._sights[track]
        last = frame + follow.LOOKAHEAD
        coming = []
        while frame + len(coming) <= last and frame + len(coming) in sights:
            coming.append(sights[frame + len(coming)])
        shows = follow.shows_face(self._shows.get(track), coming, goes_on and len(coming) > follow.LOOKAHEAD)
        shows = shows and not self._check.is_near(track)
        self._shows[track] = shows
        return follow.settled_mesh(frame, sights) if shows else None

    def _passes(self, picture: Picture, i: int, patch: Patch | None) -> bool:
        """Whether the new face may be shown: compared with the original where a comparison is due. Where not, it is obscured after all."""
        track, frame = int(self._regions.track[i]), picture.index
        face, points = self._regions.face[i], self._regions.points[i]
        if not self._check.is_due(track, frame):
            return True
        self._check.see_original(track, picture, face, points)
        if patch is None:
            return False
        distance = self._check.judge(track, patch.over(picture), face, points)
        if not self._check.is_near(track):
            self._tally.measured(track, distance)
            self._check.passed(track, frame, distance)
            return True
        self._tally.strengthened(track)
        self._shows[track] = False
        return False

    def _obscure(self, picture: Picture, i: int) -> PaintRow:
        box = obscure(picture, self._regions.face[i], self._regions.cover[i], "hide", self._settings.strength)
        return PaintRow(picture.index, int(self._regions.track[i]), Painted.OBSCURED, box)

    def _paste(self, picture: Picture, i: int, patch: Patch) -> PaintRow:
        picture.paste(patch.x0, patch.y0, patch.image, patch.alpha)
        return PaintRow(picture.index, int(self._regions.track[i]), Painted.FACE, patch.box)

    def _forget(self, frame: int) -> None:
        """Drop what no later frame will ask for."""
        for sights in self._sights.values():
            sights.pop(frame - follow.REACH, None)
