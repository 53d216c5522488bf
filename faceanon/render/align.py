"""Where each vertex of the new face goes: the frame's pose and expression, the person's shape.

The person's 3D mesh is laid on the frame's by a similarity in 3D, so that a turned head compares like with like. Vertices then move
from the frame's shape towards the person's by `beta`; lips and eyes are only shifted as a whole, so their opening stays the frame's;
the outline stays on the frame's, or the new face would end on the wall behind or leave a rim of the old one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from faceanon.render import topology as topo
from faceanon.render.texture import Texture

_LOOSE = (*topo.LIPS, 152, 148, 176, 149, 150, 136, 172, 58, 377, 400, 378, 379, 365, 397, 288, 361)  # moved by speech: not used to find the pose
_STABLE = np.setdiff1d(np.arange(topo.POINTS), _LOOSE)
_SOFT = 0.30  # reach of a group's shift beyond the group, in eye distances


def similarity3(source: NDArray[np.float32], target: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(3, 3) scaled rotation and (3,) shift that best map source (N, 3) onto target (N, 3). Umeyama, 1991."""
    mean_s, mean_t = source.mean(0, dtype=np.float64), target.mean(0, dtype=np.float64)
    centred_s, centred_t = source - mean_s, target - mean_t
    u, d, vt = np.linalg.svd(centred_t.T @ centred_s)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt)) or 1.0])
    scale = (d * sign).sum() / max((centred_s**2).sum(), 1e-12)
    turn = scale * (u * sign) @ vt
    return turn, mean_t - turn @ mean_s


def target_vertices(mesh: NDArray[np.float32], texture: Texture, beta: float, openness: float, closed: float = 0.0) -> NDArray[np.float32]:
    """(468, 3) where the person's vertices go, for the frame's mesh (468, 3); closed 0..1 brings the lids together."""
    person = texture.mesh(openness)
    turn, shift = similarity3(person[_STABLE], mesh[_STABLE])
    posed = person @ turn.T + shift
    move = beta * (posed[:, :2] - mesh[:, :2])
    move *= texture.inward[:, None]
    for group in (topo.LIPS, topo.RIGHT_EYE + topo.RIGHT_LID, topo.LEFT_EYE + topo.LEFT_LID):
        move = _together(move, texture.layout, group)
    limit = 0.22 * topo.eye_distance(mesh)  # a fit that disagrees more is a bad fit, not a shape
    length = np.linalg.norm(move, axis=1, keepdims=True)
    move *= np.minimum(1, limit / np.maximum(length, 1e-6))
    flat = mesh[:, :2] + move
    if closed > 0:
        for ring, lid in ((topo.RIGHT_EYE, topo.RIGHT_LID), (topo.LEFT_EYE, topo.LEFT_LID)):
            _close(flat, list(ring), list(lid), closed)
    return np.concatenate([flat, mesh[:, 2:]], axis=1).astype(np.float32)


def _close(flat: NDArray, ring: list[int], lid: list[int], closed: float) -> None:
    """In place: the upper lid comes down to just above the lower one, and draws the skin above along."""
    lower, upper = ring[1:8], ring[:8:-1]
    gap = flat[upper] - flat[lower]
    flat[lower] += 0.12 * closed * gap
    flat[upper] -= 0.84 * closed * gap
    flat[lid[:8:-1]] -= 0.30 * closed * gap


def _together(move: NDArray, layout: NDArray[np.float32], group: tuple[int, ...]) -> NDArray:
    """The group moves by its mean; the skin around follows, less with distance."""
    members = list(group)
    gap = np.linalg.norm(layout[:, None] - layout[None, members], axis=2).min(1) / topo.eye_distance(layout)
    share = np.exp(-((gap / _SOFT * 2) ** 2))[:, None]
    return move * (1 - share) + move[members].mean(0) * share


def yaw_deg(mesh: NDArray[np.float32]) -> float:
    """How far the head is turned to a side, from the mesh's own depth: 0 frontal."""
    across = mesh[454] - mesh[234]
    return float(np.degrees(np.arctan2(abs(across[2]), max(abs(float(np.hypot(across[0], across[1]))), 1e-6))))
