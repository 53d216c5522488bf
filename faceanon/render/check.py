"""Compares each new face with its original before the frame leaves.

Strength grows in steps and never falls within a segment: 0 as asked, 1 with the person's own shape throughout, OBSCURE where even that stays too near.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from faceanon.core.picture import Picture
from faceanon.core.ports import FaceEmbedder
from faceanon.render.view import view

STRONGER, OBSCURE = 1, 2
MIN_CHECK_PX = 40  # width below which the embedder has little to say; smaller faces are measured, too near ones still refused
_VIEW = 0.5  # share of the face box added on each side
_VIEW_FACE_PX = 200


class Check:
    """One segment's comparisons."""

    def __init__(self, embedder: FaceEmbedder | None, every: int) -> None:
        self._embedder = embedder
        self._every = max(1, every)
        self._next: dict[int, int] = {}
        self._originals: dict[int, list[NDArray[np.float32]]] = {}
        self._strength: dict[int, int] = {}

    def strength(self, track: int) -> int:
        return self._strength.get(track, 0)

    def is_due(self, track: int, frame: int) -> bool:
        return self._embedder is not None and frame >= self._next.get(track, frame)

    def done(self, track: int, frame: int) -> None:
        self._next[track] = frame + self._every

    def raise_strength(self, track: int) -> int:
        self._strength[track] = min(OBSCURE, self.strength(track) + 1)
        return self._strength[track]

    def see_original(self, track: int, picture: Picture, face: NDArray[np.float32], points: NDArray[np.float32]) -> None:
        """To be called before the picture is painted. The first looks and every fourth are kept; a painted face is compared with all of them."""
        seen = self._originals.setdefault(track, [])
        if len(seen) < 8:
            seen.append(self._embed(picture, face, points))

    def distance(self, track: int, picture: Picture, face: NDArray[np.float32], points: NDArray[np.float32]) -> float:
        """Smallest distance between the painted face and what was seen of the original."""
        new = self._embed(picture, face, points)
        return min(float(np.linalg.norm(new - old)) for old in self._originals[track])

    def is_too_near(self, distance: float) -> bool:
        return distance < self._embedder.same_person_distance

    def _embed(self, picture: Picture, face: NDArray[np.float32], points: NDArray[np.float32]) -> NDArray[np.float32]:
        crop, to_crop, _, _ = view(picture, face, _VIEW, _VIEW_FACE_PX)
        return self._embedder.embed(crop, to_crop(points), to_crop(face.reshape(2, 2)).reshape(4))
