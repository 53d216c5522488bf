"""Compares each new face with its original before the frame leaves.

There is one way of painting a person, from the first frame of a track to its last: a face that changes is two faces. So the only verdict is whether a
track shows its new face or is obscured, and what it is held against is what a viewer of the whole track has: the mean of its new faces against the
mean of its originals, and the mean distance of their pairs. Means of few looks lie further apart than those of many, by the spread of either face;
that much more is asked of a track's first looks. A track that was found too near stays obscured within its segment. The verdict holds until the
track's next comparison; one that is another's beyond doubt is compared less often, down to a quarter as often as asked: the embedder costs more
than the painting.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from faceanon.core.picture import Picture
from faceanon.core.ports import FaceEmbedder
from faceanon.render.view import view

_BEYOND_DOUBT = 0.08  # distance over the embedder's own limit: compared less often
_NEAR, _NEAR_AT_FIRST = 0.005, 0.03  # likewise: obscured below; the most that is asked of few looks
_SPREAD = 0.18  # of one face around its mean, over the frames of a clip; median of 22 clips .18, most .27
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
        self._new: dict[int, list[NDArray[np.float32]]] = {}
        self._apart: dict[int, list[float]] = {}
        self._near: set[int] = set()

    def is_near(self, track: int) -> bool:
        """Whether the track was found too near to its original to show a face."""
        return track in self._near

    def is_due(self, track: int, frame: int) -> bool:
        return self._embedder is not None and frame >= self._next.get(track, frame)

    def see_original(self, track: int, picture: Picture, face: NDArray[np.float32], points: NDArray[np.float32]) -> None:
        """To be called before the picture is painted."""
        looks = self._looks.get(track, 0)
        self._looks[track] = looks + 1
        if looks < _ORIGINALS_AT[0] or looks % _ORIGINALS_AT[1] == 0:
            self._originals.setdefault(track, []).append(self._embed(picture, face, points))

    def judge(self, track: int, picture: Picture, face: NDArray[np.float32], points: NDArray[np.float32]) -> float:
        """The painted face's distance to its original, by what was seen of both so far; a track below the limit is near from now on."""
        new, originals = self._new.setdefault(track, []), self._originals[track]
        new.append(self._embed(picture, face, points))
        self._apart.setdefault(track, []).append(float(np.linalg.norm(new[-1] - originals[-1])))
        distance = min(float(np.mean(self._apart[track])), float(np.linalg.norm(np.mean(new, axis=0) - np.mean(originals, axis=0))))
        same = self._embedder.same_person_distance
        limit = math.hypot(same + _NEAR, _SPREAD / math.sqrt(len(new)), _SPREAD / math.sqrt(len(originals)))
        if distance < min(limit, same + _NEAR_AT_FIRST):
            self._near.add(track)
        return distance

    def passed(self, track: int, frame: int, distance: float) -> None:
        """Set the next comparison's frame."""
        sure = distance > self._embedder.same_person_distance + _BEYOND_DOUBT
        self._stride[track] = min(4, 2 * self._stride.get(track, 1)) if sure else 1
        self._next[track] = frame + self._every * (self._stride[track] if self._looks[track] > 1 else 1)

    def _embed(self, picture: Picture, face: NDArray[np.float32], points: NDArray[np.float32]) -> NDArray[np.float32]:
        crop, to_crop, _, _ = view(picture, face, _VIEW, _VIEW_FACE_PX)
        return self._embedder.embed(crop, to_crop(points), to_crop(face.reshape(2, 2)).reshape(4))
