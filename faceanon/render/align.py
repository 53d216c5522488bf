"""Where each vertex of the new face goes: the frame's pose and expression, the person's shape.

The person's 3D mesh is laid on the frame's by a similarity in 3D, so that a turned head compares like with like. Vertices then move
from the frame's shape towards the person's by `beta`; eyes are only shifted as a whole, so their opening stays the frame's; lips too, and
then take LIP_SHAPE of the shape that the person's have when they are as open; the outline stays on the frame's, or the new face would end on
the wall behind or leave a rim of the old one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from faceanon.render import topology as topo
from faceanon.render.texture import GROUPS, LIPS, Texture

_LOOSE = (*topo.LIPS, 152, 148, 176, 149, 150, 136, 172, 58, 377, 400, 378, 379, 365, 397, 288, 361)  # moved by speech: not used to find the pose
FLATNESS = 1.35  # see yaw_deg
NARROWEST = 0.45  # opening of a shut eye, over the person's usual one: what is left is the lid
LIP_SHAPE = 0.6  # of the person's. A smile is otherwise the frame's alone; on 6 clips it brought the spread of the new face from .200 to .184
_STABLE = np.setdiff1d(np.arange(topo.POINTS), _LOOSE)


def similarities3(source: NDArray[np.float32], target: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n, 3, 3) scaled rotations and (n, 3) shifts that best map each source (n, N, 3) onto target (N, 3). Umeyama, 1991."""
    mean_s, mean_t = source.mean(1, dtype=np.float64), target.mean(0, dtype=np.float64)
    centred_s, centred_t = source - mean_s[:, None], target - mean_t
    u, d, vt = np.linalg.svd(np.einsum("pi,npj->nij", centred_t, centred_s))
    sign = np.ones_like(d)
    sign[:, 2] = np.where(np.linalg.det(u) * np.linalg.det(vt) < 0, -1.0, 1.0)
    scale = (d * sign).sum(1) / np.maximum(np.square(centred_s).sum((1, 2)), 1e-12)
    turn = scale[:, None, None] * (u * sign[:, None, :]) @ vt
    return turn, mean_t - np.einsum("nij,nj->ni", turn, mean_s)


def target_vertices(mesh: NDArray[np.float32], texture: Texture, beta: float, openness: float, closed: float = 0.0) -> NDArray[np.float32]:
    """(468, 3) where the person's vertices go, for the frame's mesh (468, 3); closed 0..1 brings the lids together."""
    person = texture.mesh(openness)
    turn, shift = similarities3(person[None, _STABLE], mesh[_STABLE])
    posed = person @ turn[0].T + shift[0]
    apart = posed[:, :2] - mesh[:, :2]
    move = beta * apart * texture.inward[:, None]
    for number, (group, share) in enumerate(zip(GROUPS, texture.shares, strict=True)):
        members = list(group)
        whole = move[members].mean(0)  # the skin around follows
        if number == LIPS:
            whole = whole + LIP_SHAPE * (apart - apart[members].mean(0))
        move = move * (1 - share[:, None]) + whole * share[:, None]
    limit = 0.22 * topo.eye_distance(mesh)  # a fit that disagrees more is a bad fit, not a shape
    length = np.linalg.norm(move, axis=1, keepdims=True)
    move *= np.minimum(1, limit / np.maximum(length, 1e-6))
    flat = mesh[:, :2] + move
    if closed > 0:
        for ring in (topo.RIGHT_EYE, topo.LEFT_EYE):
            _narrow(flat, list(ring), posed, closed)
    return np.concatenate([flat, mesh[:, 2:]], axis=1).astype(np.float32)


def _narrow(flat: NDArray, ring: list[int], posed: NDArray, closed: float) -> None:
    """In place: the upper lid comes down, as far as NARROWEST of the person's own opening."""
    lower, upper = ring[1:8], ring[:8:-1]
    gap = flat[upper] - flat[lower]
    least = NARROWEST * np.linalg.norm(posed[upper, :2] - posed[lower, :2], axis=1, keepdims=True)
    share = np.clip(least / np.maximum(np.linalg.norm(gap, axis=1, keepdims=True), 1e-6), 0.3, 1)
    flat[upper] -= closed * (1 - share) * gap


def yaw_deg(mesh: NDArray[np.float32]) -> float:
    """About how far the head is turned to a side: 0 frontal, 80 and more a profile.

    The net's depth is flat: on clips, full profiles come out at 55 degrees and heads whose far eye is still seen whole at 32 to 37, so what the
    mesh says is scaled up.
    """
    across = mesh[454] - mesh[234]
    return FLATNESS * float(np.degrees(np.arctan2(abs(across[2]), max(float(np.hypot(across[0], across[1])), 1e-6))))
