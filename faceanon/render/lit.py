"""The light and colour of the place, on a face that a net painted.

`in_light_of` is for engines that may look at the original: its low frequencies, and those alone. `as_vivid_as` looks at what lies around the hole.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from faceanon.core.picture import Image
from faceanon.render import topology as topo
from faceanon.render.blend import relight

VIVID = 10.0  # chroma of the most colourful tenth of the surroundings, below which they count as grey, more or less
_FEATURES = (topo.RIGHT_LID, topo.LEFT_LID, topo.OUTER_LIPS)
_BROWS = (topo.RIGHT_BROW, topo.LEFT_BROW)


def in_light_of(new: Image, old: Image, mesh: NDArray[np.float32]) -> Image:
    """`new` in the light of `old`, both (S, S, 3) with the mesh (468, 2) in their px."""
    face, bare = _face_and_skin(mesh, new.shape[0])
    none, even = np.zeros_like(bare), np.ones_like(bare)
    lit, _ = relight(new, old, bare, float(np.ptp(mesh[:, 0])), none, even)
    return _mixed(new, lit, face)


def _face_and_skin(mesh: NDArray[np.float32], side: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(S, S) 1 in the mesh's outline, and 1 where bare skin must be."""
    face, features = np.zeros((side, side), np.float32), np.zeros((side, side), np.float32)
    _fill(face, mesh[list(topo.OVAL)])
    for ring in _FEATURES:
        _fill(features, mesh[list(ring)])
    for ring in _BROWS:
        _fill(features, cv2.convexHull(mesh[list(ring)].astype(np.float32))[:, 0])
    reach = side // 16 | 1
    bare = cv2.erode(face, np.ones((reach, reach))) * (1 - cv2.dilate(features, np.ones((5, 5))))
    return face, cv2.GaussianBlur(bare, (0, 0), side / 64)


def _mixed(new: Image, lit: Image, face: NDArray[np.float32]) -> Image:
    """`lit` on the face alone: beside it the net has painted what lies there, in its own light."""
    share = cv2.GaussianBlur(face, (0, 0), new.shape[0] / 32)[..., None]
    return np.rint(new + share * (lit.astype(np.float32) - new)).astype(np.uint8)


def as_vivid_as(new: Image, around: Image, hole: NDArray[np.float32]) -> Image:
    """`new` (S, S, 3) without its colours in the hole (S, S), as far as `around` has none outside of it: in a grey picture a face is grey."""
    lab = cv2.cvtColor(around, cv2.COLOR_BGR2Lab)[hole == 0][:, 1:].astype(np.float32)
    if not len(lab):
        return new
    share = min(1.0, float(np.percentile(np.hypot(*(lab - 128).T), 90)) / VIVID)
    if share == 1.0:
        return new
    grey = cv2.cvtColor(cv2.cvtColor(new, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    return np.where(hole[..., None] > 0, cv2.addWeighted(new, share, grey, 1 - share, 0), new).astype(np.uint8)


def _fill(mask: NDArray[np.float32], ring: NDArray[np.float32]) -> None:
    cv2.fillPoly(mask, [np.rint(ring * 16).astype(np.int32)], 1.0, shift=4)
