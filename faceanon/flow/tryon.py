"""A person's views, found again where the analyses of the segments left them, so that new faces can be tried on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

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
_KEPT_FILES = 8
Cell = tuple[str, int]  # output id, first frame


def tries_on(settings: RenderSettings) -> bool:
    """Whether new faces are chosen by trying them on."""
    return settings.engine == "swap" and settings.tries > 1


class FittingRoom:
    """Of one scope's videos. Holds no view longer than a person is being tried on."""

    def __init__(
        self, context: Context, plans: Mapping[str, VideoPlan], tracks: Mapping[str, tuple[Track, ...]], analyses: Mapping[str, VideoAnalysis]
    ) -> None:
        self._context, self._plans, self._analyses = context, plans, analyses
        self._tracks = {(plans[output].video_id, track.track_no): (output, track) for output, own in tracks.items() for track in own}
        self._file = lru_cache(maxsize=_KEPT_FILES)(self._load)

    def enter(self, person: Cluster, models: Models, portrait_of: Callable[[Persona], Portrait]) -> TryOn | None:
        """None where too little is seen of them."""
        cells = self._cells(person)
        chosen = sorted(cells)
        if len(chosen) > MOST_VIEWS:
            chosen = [chosen[i] for i in np.linspace(0, len(chosen) - 1, MOST_VIEWS).round().astype(int)]
        views = [view for cell in chosen if (view := self._view(cell, cells[cell])) is not None]
        tried = TryOn(views, self._context.settings.render, models.mesh, models.embedder, portrait_of)  # type: ignore[arg-type]
        return tried if np.isfinite(tried.original) else None

    def _cells(self, person: Cluster) -> dict[Cell, set[bytes]]:
        """Cells in which looks found the person's face, large enough, with the boxes that they found."""
        cells: dict[Cell, set[bytes]] = {}
        for key in person.tracks:
            output, track = self._tracks.get(key, ("", None))
            if track is None or not track.trusted:
                continue
            seen = self._analyses[output].detections.take(track.detection_rows)
            wide = seen.box[:, 2] - seen.box[:, 0] >= self._context.settings.render.min_face_px
            for i in np.flatnonzero(wide & (seen.origin == Origin.DETECTED)):
                cells.setdefault((output, cell_of(int(seen.frame[i]))), set()).add(_key(seen.frame[i], seen.box[i]))
        return cells

    def _view(self, cell: Cell, sightings: set[bytes]) -> View | None:
        """The person in the look that was kept of this cell."""
        output, frame = cell
        views = self._file(output, answering(frame, self._plans[output].segments))
        first, stop = np.searchsorted(views.frame, [frame, frame + 1])
        while stop < len(views.frame) and cell_of(int(views.frame[stop])) == frame:
            stop += 1
        found = next((i for i in range(first, stop) if _key(views.frame[i], views.box[i]) in sightings), None)
        if found is None:
            return None
        crop = opened(views, found)
        return crop.image, crop.points, crop.box

    def _load(self, output: str, segment_no: int) -> FaceViews:
        return load_views(self._context.work, self._context.keystore, layout.views(output, segment_no))


def _key(frame: np.int32, box: np.ndarray) -> bytes:
    return int(frame).to_bytes(8, "big") + np.asarray(box, np.float32).tobytes()
