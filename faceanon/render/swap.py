"""The swap engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from faceanon.core.picture import Picture
from faceanon.core.portrait import Portrait
from faceanon.core.ports import FaceEmbedder, FaceMesh, PersonSegmenter
from faceanon.core.records import Painted, PaintRow, RegionTable, TrackPaint
from faceanon.core.settings import RenderSettings
from faceanon.render.obscure import obscure
from faceanon.render.rows import rows_at
from faceanon.render.tally import Tally


class SwapEngine:
    name = "swap"

    def __init__(
        self, settings: RenderSettings, mesh: FaceMesh, embedder: FaceEmbedder | None, segmenter: PersonSegmenter | None, portraits: Mapping[int, Portrait]
    ) -> None:
        self._settings = settings
        self._tally = Tally()

    def paint(self, pictures: Iterable[Picture], regions: RegionTable) -> Iterator[tuple[Picture, list[PaintRow]]]:
        self._tally = Tally()
        for picture in pictures:
            rows = []
            for i in rows_at(regions, picture.index):
                box = obscure(picture, regions.face[i], regions.cover[i], "hide", self._settings.strength)
                rows.append(PaintRow(picture.index, int(regions.track[i]), Painted.OBSCURED, box))
                self._tally.add(rows[-1])
            yield picture, rows

    def summary(self) -> tuple[TrackPaint, ...]:
        return self._tally.summary()
