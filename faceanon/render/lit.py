"""The light and skin of the place, on a face that a net painted. Only for engines that may look at the original: its low frequencies, and those alone."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from faceanon.core.picture import Image
from faceanon.render import topology as topo
from faceanon.render.blend import relight

_FEATURES = (topo.RIGHT_LID, topo.LEFT_LID, topo.OUTER_LIPS)
_BROWS = (topo.RIGHT_BROW, topo.LEFT_BROW)


def in_light_of(new: Image, old: Image, mesh: NDArray[np.float32]) -> Image:
    """`new` in the light of `old`, both (S, S, 3) with the mesh (468, 2) in their px."""
    side = new.shape[0]
    skin, features = np.zeros((side, side), np.float32), np.zeros((side, side), np.float32)
    _fill(skin, mesh[list(topo.OVAL)])
    for ring in _FEATURES:
        _fill(features, mesh[list(ring)])
    for ring in _BROWS:
        _fill(features, cv2.convexHull(mesh[list(ring)].astype(np.float32))[:, 0])
    reach = side // 16 | 1
    bare = cv2.erode(skin, np.ones((reach, reach))) * (1 - cv2.dilate(features, np.ones((5, 5))))
    bare = cv2.GaussianBlur(bare, (0, 0), side / 64)
    none, even = np.zeros_like(bare), np.ones_like(bare)
    lit, _ = relight(new, old, bare, float(np.ptp(mesh[:, 0])), none, even)
    return lit


def _fill(mask: NDArray[np.float32], ring: NDArray[np.float32]) -> None:
    cv2.fillPoly(mask, [np.rint(ring * 16).astype(np.int32)], 1.0, shift=4)
