"""Compares each new face with its original before the frame leaves.

Strength grows in STEPS and never falls within a segment: as asked, the person's own shape throughout, more than that and less of the frame's
shading, and OBSCURE where even that stays too near. A step is seen, for the face changes: so a track's first comparisons ask for more room than
later ones, and a person whose portrait is near the original, as happens where no other was left (identity.persona.TOO_NEAR), begins a step
higher, or is never shown at all. The verdict on one frame holds until the track's next comparison. A face that is another's beyond doubt is compared
less often, down to a quarter as often as asked: the embedder costs more than the painting.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from faceanon.core.picture import Picture
from faceanon.core.ports import FaceEmbedder
from faceanon.render.view import view

# by strength: the least beta, the share of the frame's shading taken over, the share by which eyes and mouth change size. Measured on the hardest of
# twelve clips: .598 -> .615 -> .640 from the original, without looking painted.
STEPS = ((0.0, 1.0, 0.0), (1.0, 1.0, 0.12), (1.35, 0.6, 0.2))
OBSCURE = len(STEPS)
_BEYOND_DOUBT = 0.08  # distance over the embedder's own limit: compared less often
_NEAR_FIRST, _NEAR = 0.05, 0.01  # likewise: a stronger step is tried, in a track's first comparisons and later
_LIKE_PORTRAIT = 0.18  # likewise, between original and portrait: painting brings a face up to .11 nearer to its original
_ORIGINALS_AT = 2, 4  # the first comparisons, and every so many after, look at the original too
_VIEW = 0.5  # share of the face box added on each side
_VIEW_FACE_PX = 200


class Check:
    """One segment's comparisons."""

    def __init__(self, embedder: FaceEmbedder | None, every: int) -> None:
        self._embedder = embedder
        self._every = max(1, every)
        self._next: dict[int, int] = {}
        self._stride: dict[int, int] = {}
        self._looks: dict[int, int] = {}
        self._originals: dict[int, list[NDArray[np.float32]]] = {}
        self._strength: dict[int, int] = {}

    def strength(self, track: int) -> int:
        return self._strength.get(track, 0)

    def is_due(self, track: int, frame: int) -> bool:
        return self._embedder is not None and frame >= self._next.get(track, frame)

    def passed(self, track: int, frame: int, distance: float) -> None:
        """Set the next comparison's frame."""
        sure = distance > self._embedder.same_person_distance + _BEYOND_DOUBT
        self._stride[track] = min(4, 2 * self._stride.get(track, 1)) if sure else 1
        self._next[track] = frame + self._every * (self._stride[track] if self._looks[track] > 1 else 1)

    def raise_strength(self, track: int) -> None:
        self._strength[track] = min(OBSCURE, self.strength(track) + 1)

    def see_original(self, track: int, picture: Picture, face: NDArray[np.float32], points: NDArray[np.float32]) -> None:
        """To be called before the picture is painted."""
        looks = self._looks.get(track, 0)
        self._looks[track] = looks + 1
        if looks < _ORIGINALS_AT[0] or looks % _ORIGINALS_AT[1] == 0:
            self._originals.setdefault(track, []).append(self._embed(picture, face, points))

    def meet(self, track: int, portrait: NDArray[np.float32]) -> None:
        """To be told in a track's first comparisons, after the original was seen: the synthetic person's own embedding."""
        if self._looks[track] > _ORIGINALS_AT[0]:
            return
        apart = float(np.linalg.norm(portrait - np.mean(self._originals[track], axis=0))) - self._embedder.same_person_distance
        if apart < 0:
            self._strength[track] = OBSCURE
        elif apart < _LIKE_PORTRAIT:
            self._strength[track] = max(1, self.strength(track))

    def distance(self, track: int, picture: Picture, face: NDArray[np.float32], points: NDArray[np.float32]) -> float:
        """From the painted face to the original as seen last, or to the mean of what was seen of it: the nearer one."""
        new, seen = self._embed(picture, face, points), self._originals[track]
        return float(min(np.linalg.norm(new - seen[-1]), np.linalg.norm(new - np.mean(seen, axis=0))))

    def asks_for_more(self, track: int, distance: float) -> bool:
        """Whether the next strength must be tried: with some room as long as there is a stronger face to paint, at the limit itself before giving up."""
        room = _NEAR_FIRST if self._looks[track] <= _ORIGINALS_AT[0] else _NEAR
        room = room if self.strength(track) + 1 < OBSCURE else 0.0
        return distance < self._embedder.same_person_distance + room

    def _embed(self, picture: Picture, face: NDArray[np.float32], points: NDArray[np.float32]) -> NDArray[np.float32]:
        crop, to_crop, _, _ = view(picture, face, _VIEW, _VIEW_FACE_PX)
        return self._embedder.embed(crop, to_crop(points), to_crop(face.reshape(2, 2)).reshape(4))
