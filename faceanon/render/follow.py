"""What the mesh says of one track, frame by frame; whether a face or only its colours are shown; and the mesh without its jitter.

A frame is good where the mesh surely lies on a face that can be painted. The state changes rarely: to OBSCURED only where more than
GAP frames in a row are bad, back to a face only where RUN frames in a row are good. Shorter gaps are bridged between
the good meshes on both sides. At a track's end a gap is never bridged, for nothing on its far side says where the face went: obscured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faceanon.core import geometry
from faceanon.core.settings import RenderSettings
from faceanon.render import align
from faceanon.render import topology as topo
from faceanon.render.expression import UNKNOWN, Demand, Expression, closedness, mean_gaze

LOOKAHEAD = 10  # frames known after the one that is decided
GAP, RUN = 5, 8
REACH = 5  # frames on each side that smooth a mesh
_SURE = 0.9  # score of a mesh that lies well; on clips a face is nearly always above .95 or below .3
_TURNED = 0.8  # share of the yaw that is swapped, beyond which a mesh must be sure: of a profile it shows a face that looks this way
_SLACK = 0.85  # a face that is shown stays shown down to this share of what starting one asks for
_POSE = np.setdiff1d(np.arange(topo.POINTS), topo.LIPS)[::3]  # enough to find a pose
_QUICK = list(topo.LIPS + topo.RIGHT_EYE + topo.LEFT_EYE)  # move faster than the rest of a face


@dataclass(frozen=True)
class Sight:
    """One region of one frame as the mesh sees it."""

    mesh: NDArray[np.float32] | None  # (468, 3) px of the picture; None where it does not lie on the face
    face: NDArray[np.float32]  # (4,) the region's face box
    starts: bool  # good enough to start showing a face
    stays: bool  # good enough to go on
    expression: Expression = UNKNOWN


def judge(
    mesh: NDArray[np.float32] | None, score: float, face: NDArray[np.float32], points: NDArray[np.float32], size: tuple[int, int], settings: RenderSettings
) -> Sight:
    """size: (width, height) of the picture. Every rule asks a little less of a face that is already shown."""
    if mesh is None or not np.all(np.isfinite(mesh)) or not _lies_on(mesh, score, face, points) or _outside(mesh, size) > 0.3:
        return Sight(None, face, False, False)
    width = float(face[2] - face[0])
    yaw = align.yaw_deg(mesh)
    least = settings.min_mesh_score if yaw <= _TURNED * settings.max_yaw_deg else max(_SURE, settings.min_mesh_score)
    starts = width >= settings.min_face_px and score >= least and yaw <= settings.max_yaw_deg
    stays = width >= settings.min_face_px * _SLACK and score >= least * _SLACK and yaw <= settings.max_yaw_deg + 5
    return Sight(mesh, face, starts, stays)


def _lies_on(mesh: NDArray[np.float32], score: float, face: NDArray[np.float32], points: NDArray[np.float32]) -> bool:
    low, high = mesh[:, :2].min(0), mesh[:, :2].max(0)
    hull = np.concatenate([low, high])[None].astype(np.float32)
    overlap = geometry.iou(hull, face[None])[0, 0]
    if overlap < 0.45:
        return False
    span = topo.eye_distance(mesh)
    if not 0.3 < span / max(float(high[0] - low[0]), float(high[1] - low[1]) * 0.7, 1e-6) < 1.2:
        return False
    if not np.all(np.isfinite(points)):
        return True
    own = np.stack([mesh[list(topo.RIGHT_EYE), :2].mean(0), mesh[list(topo.LEFT_EYE), :2].mean(0), mesh[topo.NOSE_TIP, :2], mesh[61, :2], mesh[291, :2]])
    far = 0.5 if overlap > 0.7 and score > _SURE else 0.35  # of a head that is tilted far, the detector puts the points upright and the mesh is right
    return bool(np.linalg.norm(own - points, axis=1).mean() < far * span)


def _outside(mesh: NDArray[np.float32], size: tuple[int, int]) -> float:
    """Share of vertices outside the picture."""
    return float(np.any((mesh[:, :2] < 0) | (mesh[:, :2] > np.array(size)), axis=1).mean())


def shows_face(showed: bool | None, coming: Sequence[Sight], goes_on: bool) -> bool:
    """Whether this frame shows a face. coming: this frame's sight and the next ones' of the track; goes_on: more follow that are not known yet."""
    if not showed:
        run = coming[:RUN]
        return all(s.starts for s in run) and (len(run) == RUN or not goes_on)
    gap = next((i for i, s in enumerate(coming) if s.stays), len(coming))
    return gap <= GAP and gap < len(coming)


def settled_mesh(frame: int, sights: Mapping[int, Sight]) -> NDArray[np.float32] | None:
    """(468, 3) the mesh of a frame that shows a face: smoothed over its neighbours, or put between them where the frame's own is missing."""
    near = {f: sights[f] for f in range(frame - REACH, frame + REACH + 1) if f in sights and sights[f].stays}
    own = near[frame].mesh if frame in near else _between(frame, near, sights[frame].face)
    if own is None:
        return None
    meshes = {f: s.mesh for f, s in near.items() if s.mesh is not None}
    meshes[frame] = own
    return _smooth(frame, meshes)


class Usual:
    """How a track's eyes usually are, from all of its frames that are known so far."""

    def __init__(self) -> None:
        self._seen: list[tuple[float, float]] = []

    def add(self, expression: Expression) -> None:
        if np.isfinite(expression.height) and np.isfinite(expression.lids) and len(self._seen) < 500:
            self._seen.append((expression.height, expression.lids))

    def closedness(self, expression: Expression) -> float:
        """0 open .. 1 shut, compared with what is usual: the height of the irises over the lower lids, and the gap of the lids."""
        height, lids = np.percentile(self._seen, 70, axis=0).tolist() if self._seen else (0.0, 0.0)
        return closedness(expression, height, lids)


def demand(frame: int, sights: Mapping[int, Sight], usual: Usual) -> Demand:
    """What the new face must show in this frame, beyond its mesh."""
    near = [(f - frame, sights[f].expression) for f in range(frame - 2, frame + 3) if f in sights and sights[f].stays]
    if not near:
        return Demand()
    closed = [(apart, usual.closedness(e)) for apart, e in near if abs(apart) <= 1]
    weight = {0: 2.0, 1: 0.7, -1: 0.7}  # a single frame misread does not shut the eyes quite
    shut = sum(weight[a] * c for a, c in closed) / sum(weight[a] for a, _ in closed) if closed else 0.0
    return Demand(shut, mean_gaze(near, 1.2), _mouth(frame, sights))


def _mouth(frame: int, sights: Mapping[int, Sight]) -> float:
    """Light inside the mouth, mean over REACH: whether teeth show changes slowly, its reading from frame to frame does not."""
    around = [(apart, sights[frame + apart]) for apart in range(-REACH, REACH + 1) if frame + apart in sights]
    known = [(apart, s.expression.mouth) for apart, s in around if s.stays and np.isfinite(s.expression.mouth)]
    if not known:
        return np.nan
    apart, light = np.array(known).T
    return float(np.dot(_gauss(apart, REACH / 2), light))


def _between(frame: int, near: Mapping[int, Sight], face: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Meshes of both sides, each carried over by how its face box moved, mixed by their nearness in time."""
    before, after = max((f for f in near if f < frame), default=None), min((f for f in near if f > frame), default=None)
    sides = [f for f in (before, after) if f is not None]
    if not sides:
        return None
    carried = [_carry(near[f], face) for f in sides]
    if len(sides) == 1:
        return carried[0]
    share = (frame - sides[0]) / (sides[1] - sides[0])
    return ((1 - share) * carried[0] + share * carried[1]).astype(np.float32)


def _carry(sight: Sight, face: NDArray[np.float32]) -> NDArray[np.float32]:
    was, now = sight.face, face
    scale = float(np.sqrt(max((now[2] - now[0]) * (now[3] - now[1]), 1.0) / max((was[2] - was[0]) * (was[3] - was[1]), 1.0)))
    centre_was, centre_now = (was[:2] + was[2:]) / 2, (now[:2] + now[2:]) / 2
    moved = sight.mesh * scale
    moved[:, :2] += centre_now - centre_was * scale
    return moved.astype(np.float32)


def _smooth(frame: int, meshes: Mapping[int, NDArray[np.float32]]) -> NDArray[np.float32]:
    """Shape: neighbours in this frame's pose, averaged. Pose: a local parabola through theirs, so that steady motion and turns are not dragged."""
    frames = np.array(sorted(meshes))
    if len(frames) == 1:
        return meshes[frame]
    own = meshes[frame]
    apart = frames - frame
    stack = np.stack([meshes[f] for f in frames])  # (n, 468, 3)
    turns, shifts = align.similarities3(stack[:, _POSE], own[_POSE])  # each frame's pose to this one's
    posed = np.einsum("nij,npj->npi", turns, stack) + shifts[:, None]
    shape = np.tensordot(_gauss(apart, 2.0), posed, axes=1)
    shape[_QUICK] = np.tensordot(_gauss(apart, 0.6), posed[:, _QUICK], axes=1)
    back = np.linalg.inv(turns)
    share = _parabola(apart)
    turn, shift = np.tensordot(share, back, axes=1), -np.einsum("n,nij,nj->i", share, back, shifts)
    return (shape @ turn.T + shift).astype(np.float32)


def _gauss(apart: NDArray, sigma: float) -> NDArray:
    weight = np.exp(-0.5 * (apart / sigma) ** 2)
    return weight / weight.sum()


def _parabola(apart: NDArray) -> NDArray:
    """(n,) shares that give the value at 0 of the local parabola (a line, or a mean, where there are too few frames)."""
    order = min(2, len(apart) - 1)
    basis = np.stack([apart.astype(float) ** k for k in range(order + 1)], axis=1)
    root = np.sqrt(_gauss(apart, 2.5))[:, None]
    return (np.linalg.pinv(basis * root) * root.T)[0]
