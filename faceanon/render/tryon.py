"""New faces tried on a few views of a person, before one is chosen: how far its embeddings spread as the head turns and the mouth speaks.

How steady a new face stays is told by neither the person nor the synthetic one alone: of six well matched people the spread on one clip lay between .18 and
.27, the best of them was the worst on another clip, and how the face is painted (lids, gaze, mouth, light, smoothing) moved it by .006 at most. What ten
views tell agrees with the whole clip (correlation .9, mean of six clips with seven people each), but only with every picture of the person: with the
shut mouth alone it is .5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from faceanon.core.facecrop import box_of, points_of
from faceanon.core.picture import Image, Picture
from faceanon.core.portrait import Portrait
from faceanon.core.ports import FaceEmbedder, FaceMesh
from faceanon.core.records import Persona
from faceanon.core.settings import RenderSettings
from faceanon.render import expression, follow
from faceanon.render.expression import Demand, Expression
from faceanon.render.paint import make_patch
from faceanon.render.texture import prepare

LEAST = 4  # views that tell anything
View = tuple[Image, NDArray[np.float32], NDArray[np.float32]]  # (H, W, 3) uint8 BGR, five points (5, 2) and face box (4,), px


@dataclass(frozen=True, eq=False)  # holds arrays
class _Sitting:
    """One view with its mesh, which also tells the embedder where the face is: a detector's five points are so unsure that they spread embeddings apart."""

    picture: Picture
    mesh: NDArray[np.float32]
    expression: Expression


class TryOn:
    """One person's views. original: the spread of their own face over those that can be painted; NaN where these are too few."""

    def __init__(
        self, views: Sequence[View], settings: RenderSettings, mesh: FaceMesh, embedder: FaceEmbedder, portrait_of: Callable[[Persona], Portrait]
    ) -> None:
        self._settings, self._embedder, self._portrait_of = settings, embedder, portrait_of
        self._sittings = [sitting for view in views if (sitting := _sitting(view, settings, mesh)) is not None]
        self._usual = follow.Usual()
        for sitting in self._sittings:
            self._usual.add(sitting.expression)
        self.original = _spread([self._embed(sitting, sitting.picture) for sitting in self._sittings])

    def spread(self, persona: Persona) -> float:
        """Mean distance of the new face's embeddings to their mean; infinite where it cannot be painted."""
        texture = prepare(self._portrait_of(persona))
        seen = []
        for sitting in self._sittings:
            now = sitting.expression
            demand = Demand(self._usual.closedness(now), now.gaze, now.mouth)
            patch = make_patch(sitting.picture, sitting.mesh, texture, self._settings.beta, demand)
            if patch is None:
                return np.inf
            seen.append(self._embed(sitting, patch.over(sitting.picture)))
        return _spread(seen)

    def _embed(self, sitting: _Sitting, picture: Picture) -> NDArray[np.float32]:
        return self._embedder.embed(picture.bgr(), points_of(sitting.mesh), box_of(sitting.mesh))


def _sitting(view: View, settings: RenderSettings, mesh: FaceMesh) -> _Sitting | None:
    """None where the engine would not paint a face either."""
    image, points, face = view
    picture = Picture.of(image)
    fitted, score = mesh.fit(image, points, face)
    sight = follow.judge(fitted, score, face, points, (picture.width, picture.height), replace(settings, min_face_px=0))
    return _Sitting(picture, fitted, expression.read(image, fitted)) if sight.stays else None


def _spread(embeddings: Sequence[NDArray[np.float32]]) -> float:
    if len(embeddings) < LEAST:
        return np.nan
    each = np.stack(embeddings).astype(np.float64)
    return float(np.linalg.norm(each - each.mean(0), axis=1).mean())
