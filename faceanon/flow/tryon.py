"""A person's views, found again where the analyses of the segments left them, so that new faces can be tried on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from faceanon.analyze.views import cell_of, opened
from faceanon.analyze.windows import answering
from faceanon.core.portrait import Portrait
from faceanon.core.records import FaceViews, Origin, Persona, Track, VideoAnalysis, VideoPlan
from faceanon.core.settings import RenderSettings
from faceanon.flow import layout
from faceanon.flow.job import Context
from faceanon.identity.link import Cluster
from faceanon.identity.sealed import load_views
from faceanon.models.catalog import Models
from faceanon.render.tryon import TryOn, View

MOST_VIEWS = 10  # of a person, evenly spread over all that is seen of them
Cell = tuple[str, int]  # video id, first frame: no setting may change their order


def tries_on(settings: RenderSettings) -> bool:
    """Whether new faces are chosen by trying them on."""
    return settings.engine == "swap" and settings.tries > 1


class FittingRoom:
    """Of one scope's videos. Holds views no longer than one person is being looked for."""

    def __init__(
        self, context: Context, plans: Mapping[str, VideoPlan], tracks: Mapping[str, tuple[Track, ...]], analyses: Mapping[str, VideoAnalysis]
    ) -> None:
        self._context, self._plans, self._analyses = context, plans, analyses
        self._output = {plan.video_id: output for output, plan in plans.items()}
        self._tracks = {(plans[output].video_id, track.track_no): track for output, own in tracks.items() for track in own}

    def enter(self, person: Cluster, models: Models, portrait_of: Callable[[Persona], Portrait]) -> TryOn | None:
        """None where too little is seen of them."""
        cells = self._cells(person)
        chosen = sorted(cells)
        if len(chosen) > MOST_VIEWS:
            chosen = [chosen[i] for i in np.linspace(0, len(chosen) - 1, MOST_VIEWS).round().astype(int)]
        files: dict[tuple[str, int], FaceViews] = {}
        views = [view for cell in chosen if (view := self._view(cell, cells[cell], files)) is not None]
        tried = TryOn(views, self._context.settings.render, models.mesh, models.embedder, portrait_of)  # type: ignore[arg-type]
        return tried if np.isfinite(tried.original) else None

    def _cells(self, person: Cluster) -> dict[Cell, set[bytes]]:
        """Cells in which looks found the person's face, large enough, with the boxes that they found."""
        cells: dict[Cell, set[bytes]] = {}
        for key in person.tracks:
            track = self._tracks.get(key)
            if track is None or not track.trusted:
                continue
            seen = self._analyses[self._output[key[0]]].detections.take(track.detection_rows)
            wide = seen.box[:, 2] - seen.box[:, 0] >= self._context.settings.render.min_face_px
            for i in np.flatnonzero(wide & (seen.origin == Origin.DETECTED)):
                cells.setdefault((key[0], cell_of(int(seen.frame[i]))), set()).add(_key(seen.frame[i], seen.box[i]))
        return cells

    def _view(self, cell: Cell, sightings: set[bytes], files: dict[tuple[str, int], FaceViews]) -> View | None:
        """The person in the look that was kept of this cell. files: those that are open, by output and segment."""
        output, frame = self._output[cell[0]], cell[1]
        where = output, answering(frame, self._plans[output].segments)
        if where not in files:
            files[where] = load_views(self._context.work, self._context.keystore, layout.views(*where))
        views = files[where]
        first, stop = np.searchsorted(views.frame, [frame, frame + 1])
        while stop < len(views.frame) and cell_of(int(views.frame[stop])) == frame:
            stop += 1
        found = next((i for i in range(first, stop) if _key(views.frame[i], views.box[i]) in sightings), None)
        if found is None:
            return None
        crop = opened(views, found)
        return crop.image, crop.points, crop.box


def _key(frame: np.int32, box: np.ndarray) -> bytes:
    return int(frame).to_bytes(8, "big") + np.asarray(box, np.float32).tobytes()
