"""The swap engine: each identity's synthetic person, warped onto the frame; where that cannot be done well, the face is obscured."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from faceanon.core.picture import Picture
from faceanon.core.portrait import Portrait
from faceanon.core.ports import FaceEmbedder, FaceMesh, PersonSegmenter
from faceanon.core.settings import RenderSettings
from faceanon.render.fitting import FittingEngine, Meshes
from faceanon.render.paint import Patch, make_patch
from faceanon.render.texture import Texture, prepare


class SwapEngine(FittingEngine):
    """Nothing is carried from one segment to the next but the prepared people."""

    name = "swap"

    def __init__(
        self, settings: RenderSettings, mesh: FaceMesh, embedder: FaceEmbedder | None, segmenter: PersonSegmenter | None, portraits: Mapping[int, Portrait]
    ) -> None:
        self._segmenter, self._portraits = segmenter, portraits
        self._textures: dict[int, Texture] = {}
        super().__init__(settings, mesh, embedder)

    def _has_face(self, identity: int) -> bool:
        return identity in self._portraits

    def _make(self, picture: Picture, meshes: Meshes) -> dict[int, Patch | None]:
        return {i: self._patch(picture, i, mesh) for i, mesh in meshes.items()}

    def _patch(self, picture: Picture, i: int, mesh: NDArray[np.float32]) -> Patch | None:
        texture = self._texture(int(self._regions.identity[i]))
        return make_patch(picture, mesh, texture, self._settings.beta, self._demand(picture.index, i), self._segmenter)

    def _texture(self, identity: int) -> Texture:
        if identity not in self._textures:
            self._textures[identity] = prepare(self._portraits[identity])
        return self._textures[identity]
