"""Where each vertex of the new face goes: the frame's pose and expression, the person's shape.

The person's 3D mesh is laid on the frame's by a similarity in 3D, so that a turned head compares like with like. Vertices then move
from the frame's shape towards the person's by `beta`; lips and eyes are only shifted as a whole, so their opening stays the frame's;
the outline stays on the frame's, or the new face would end on the wall behind or leave a rim of the old one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from faceanon.render import topology as topo
from faceanon.render.texture import GROUPS, Texture

_LOOSE = (*topo.LIPS, 152, 148, 176, 149, 150, 136, 172, 58, 377, 400, 378, 379, 365, 397, 288, 361)  # moved by speech: not used to find the pose
FLATNESS = 1.35  # see yaw_deg
NARROWEST = 0.3  # opening of an eye that cannot shut, over its usual one
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


def target_vertices(mesh: NDArray[np.float32], texture: Texture, beta: float, openness: float, closed: float = 0.0, resize: float = 0.0) -> NDArray[np.float32]:
    """(468, 3) where the person's vertices go, for the frame's mesh (468, 3); closed 0..1 brings the lids together.

    resize: share by which eyes and mouth become larger or smaller as well, away from the frame's towards the person's.
    """
    person = texture.mesh(openness)
    turn, shift = similarities3(person[None, _STABLE], mesh[_STABLE])
    posed = person @ turn[0].T + shift[0]
    move = beta * (posed[:, :2] - mesh[:, :2])
    move *= texture.inward[:, None]
    for group, share in zip(GROUPS, texture.shares, strict=True):
        members = list(group)
        move = move * (1 - share[:, None]) + move[members].mean(0) * share[:, None]  # the group by its mean; the skin around follows
        if resize > 0:
            growth = resize if np.ptp(posed[members, 0]) > np.ptp(mesh[members, 0]) else -resize
            move += growth * share[:, None] * (mesh[:, :2] - mesh[members, :2].mean(0))
    limit = 0.22 * topo.eye_distance(mesh)  # a fit that disagrees more is a bad fit, not a shape
    length = np.linalg.norm(move, axis=1, keepdims=True)
    move *= np.minimum(1, limit / np.maximum(length, 1e-6))
    flat = mesh[:, :2] + move
    if closed > 0:
        _close(flat, mesh, texture, posed, closed)
    return np.concatenate([flat, mesh[:, 2:]], axis=1).astype(np.float32)


def _close(flat: NDArray, mesh: NDArray[np.float32], texture: Texture, posed: NDArray, closed: float) -> None:
    """In place: the eyes take the shape that the person's shut eyes have; without such, they become narrow, for an iris pressed together is a blot."""
    asleep = None
    if texture.shut_mesh is not None:
        turn, shift = similarities3(texture.shut_mesh[None, _STABLE], mesh[_STABLE])
        asleep = (texture.shut_mesh @ turn[0].T + shift[0])[:, :2]
    for ring, lid in ((topo.RIGHT_EYE, topo.RIGHT_LID), (topo.LEFT_EYE, topo.LEFT_LID)):
        corners = [ring[0], ring[8]]
        if asleep is None:
            _narrow(flat, list(ring), posed, closed)
            continue
        members = list(ring + lid)
        size = np.clip(np.ptp(flat[corners, 0]) / max(np.ptp(asleep[corners, 0]), 1e-6), 0.7, 1.4)
        goal = flat[corners].mean(0) + size * (asleep[members] - asleep[corners].mean(0))
        flat[members] += closed * (goal - flat[members])


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
