"""The engines by name: swap paints a synthetic person, deepprivacy and cleanir paint from a code, blur, pixelate and fill obscure.

Whatever the engine, a region whose method is OBSCURE or REPAIR is hidden in its own colours, and each region of a frame ends painted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from faceanon.core.errors import SettingsError
from faceanon.core.picture import Picture
from faceanon.core.portrait import Portrait
from faceanon.core.ports import FaceEmbedder, FaceEngine, FaceInpainter, FaceMesh, PersonSegmenter
from faceanon.core.records import Code, Method, Painted, PaintRow, RegionTable, TrackPaint
from faceanon.core.settings import INPAINTING, RenderSettings
from faceanon.render.inpaint import InpaintEngine
from faceanon.render.obscure import obscure
from faceanon.render.rows import rows_at
from faceanon.render.swap import SwapEngine
from faceanon.render.tally import Tally

OBSCURING = ("blur", "pixelate", "fill")


def make_engine(
    settings: RenderSettings,
    *,
    mesh: FaceMesh | None = None,
    embedder: FaceEmbedder | None = None,
    segmenter: PersonSegmenter | None = None,
    portraits: Mapping[int, Portrait] | None = None,
    inpainter: FaceInpainter | None = None,
    codes: Mapping[int, Code] | None = None,
) -> FaceEngine:
    """The engine that the settings name. `portraits` and `codes` are by identity_no; a region whose identity has none is obscured.

    swap needs a mesh, deepprivacy and cleanir an inpainter too; with an embedder each new face is compared with its original; with a segmenter nothing
    behind a head is painted.
    """
    if settings.engine in OBSCURING:
        return ObscuringEngine(settings.engine, settings.strength)
    if mesh is None:
        raise SettingsError(f"the {settings.engine} engine needs a face mesh")
    if settings.engine == "swap":
        return SwapEngine(settings, mesh, embedder, segmenter, portraits or {})
    if settings.engine not in INPAINTING:
        raise SettingsError(f"no such engine: got {settings.engine!r}")
    if inpainter is None:
        raise SettingsError(f"the {settings.engine} engine needs a net")
    return InpaintEngine(settings, mesh, embedder, segmenter, inpainter, codes or {})


class ObscuringEngine:
    """blur, pixelate or fill: frame by frame, nothing held back."""

    def __init__(self, name: str, strength: float) -> None:
        self.name = name
        self._strength = strength
        self._tally = Tally()

    def paint(self, pictures: Iterable[Picture], regions: RegionTable) -> Iterator[tuple[Picture, list[PaintRow]]]:
        self._tally = Tally()
        for picture in pictures:
            rows = [self._paint_region(picture, regions, i) for i in rows_at(regions, picture.index)]
            yield picture, rows

    def summary(self) -> tuple[TrackPaint, ...]:
        return self._tally.summary()

    def _paint_region(self, picture: Picture, regions: RegionTable, i: int) -> PaintRow:
        asked = regions.method[i] == Method.ENGINE
        box = obscure(picture, regions.face[i], regions.cover[i], self.name if asked else "hide", self._strength)
        row = PaintRow(picture.index, int(regions.track[i]), Painted.FACE if asked else Painted.OBSCURED, box)
        self._tally.add(row)
        return row
