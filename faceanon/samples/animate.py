"""Draws an actor into a frame: where, how large, how turned, mouth and lids; and says where the face then is.

The head's mesh is turned in depth about the axis between the ears; a smooth warp brings the picture's own mesh onto the turned one. Up to about
15 degrees the front picture does it alone, beyond it gives way to a picture taken from the side, where the person has one.
The body stays and the head turns on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from faceanon.core.picture import Image
from faceanon.samples.actors import TURNING, Actor, Picture3d, rotation
from faceanon.samples.warp import Layer, Spline, field, level_for, over

_REACH = 1.35  # the head's patch, from the pivot, in face widths
_GRID = 28  # nodes of the warp a side
_FRONT_ONLY_DEG, _SIDE_ONLY_DEG = 8.0, 24.0
_VISIBLE_DEG = 82.0  # mesh points turned further away do not carry the warp


@dataclass(frozen=True)
class Pose:
    """x, y: middle of the face when it looks ahead, px of the frame. width: ear to ear, px. Angles in degrees. mouth and lids: 0 closed to 1 open."""

    x: float
    y: float
    width: float
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    mouth: float = 0.0
    lids: float = 1.0
    light: float = 1.0


def draw(frame: Image, actor: Actor, pose: Pose) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Paint the actor over `frame` in place. Returns the face's box (4,) xyxy px and its outline (N, 2) px, both perhaps beyond the frame."""
    place = _placement(actor, pose)
    _draw_body(frame, actor.body, actor, pose, place)
    front = actor.mouths[round(float(np.clip(pose.mouth, 0, 1)) * (len(actor.mouths) - 1))][int(pose.lids < 0.5)]
    side, share = _side(actor, pose.yaw)
    shape = front.shape if side is None else front.shape * (1 - share) + side.shape * share
    turned = shape @ rotation(pose.yaw, pose.pitch).T  # (468, 3) actor's px, the pivot at 0
    visible = np.array([i for i in TURNING if _turned_away(shape[i], pose.yaw) < _VISIBLE_DEG])
    low = np.floor(place @ np.array([0, 0, 1.0]) - _REACH * pose.width).astype(int)
    size = int(np.ceil(2 * _REACH * pose.width))
    layers = [(picture, weight) for picture, weight in ((front, 1 - share), (side, share)) if weight > 0.01]
    parts = [(_patch(picture, turned, visible, place, low, size, pose.width / actor.face_width), weight) for picture, weight in layers]
    outline = (turned[:, :2] @ place[:, :2].T + place[:, 2]).astype(np.float32)
    head = _without_far_side(_blend(parts), outline - low.astype(np.float32), pose.yaw)
    over(frame, _lit(head, pose.light), int(low[0]), int(low[1]))
    _draw_body(frame, actor.collar, actor, pose, place)
    return np.concatenate([outline.min(0), outline.max(0)]).astype(np.float32), cv2.convexHull(outline.astype(np.float32))[:, 0]


def _placement(actor: Actor, pose: Pose) -> NDArray[np.float64]:
    """(2, 3) from the actor's own px, the pivot at 0, to the frame's."""
    zoom, angle = pose.width / actor.face_width, np.radians(pose.roll)
    turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.concatenate([turn, (np.array([pose.x, pose.y]) - turn @ actor.face_middle)[:, None]], axis=1)


def _side(actor: Actor, yaw: float) -> tuple[Picture3d | None, float]:
    """The picture taken from the side that `yaw` turns to, and its share."""
    fitting = [picture for angle, picture in actor.sides if angle * yaw > 0]
    if not fitting:
        return None, 0.0
    ramp = float(np.clip((abs(yaw) - _FRONT_ONLY_DEG) / (_SIDE_ONLY_DEG - _FRONT_ONLY_DEG), 0, 1))
    return fitting[0], ramp * ramp * (3 - 2 * ramp)


def _turned_away(point: NDArray[np.float32], yaw: float) -> float:
    """Degrees between the way a point of the head looks and the camera."""
    return abs(float(np.degrees(np.arctan2(point[0], -point[2]))) + yaw)


def _patch(
    picture: Picture3d, turned: NDArray[np.float32], visible: NDArray, place: NDArray, low: NDArray, size: int, zoom: float
) -> Layer:
    """The part of the frame around the head, from one picture, warped so that its mesh lies on `turned`."""
    reach = _REACH * size / (2 * _REACH * zoom) / _REACH * 1.02  # actor's px from the pivot to the patch's edge
    ring = np.array([[np.cos(a), np.sin(a)] for a in np.linspace(0, 2 * np.pi, 16, endpoint=False)]) * reach * 1.3
    still = np.array([[-0.55, 0.62], [0.55, 0.62], [-0.3, 0.72], [0.3, 0.72], [0, 0.75]]) * reach  # neck and shoulders
    anchors = np.concatenate([ring, still])
    source = np.concatenate([picture.mesh[visible, :2], picture.pivot + anchors * picture.scale])
    spline = Spline(np.concatenate([turned[visible, :2], anchors]), source, stiffness=1e-3)
    corners = np.array([[-reach, -reach], [reach, reach]]) * np.sqrt(2)
    grid = field(spline, tuple(corners[0]), tuple(corners[1]), (_GRID, _GRID))
    level = level_for(zoom / picture.scale)
    back = cv2.invertAffineTransform(place)
    x, y = np.meshgrid(np.arange(size) + low[0], np.arange(size) + low[1])
    own = np.stack([x, y], axis=-1) @ back[:, :2].T + back[:, 2]  # (size, size, 2) actor's px
    nodes = ((own - corners[0]) / (corners[1] - corners[0]) * (_GRID - 1)).astype(np.float32)
    there = cv2.remap(grid, nodes, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    there = (there + 0.5) / 2**level - 0.5
    return cv2.remap(picture.levels[level], there.astype(np.float32), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


def _without_far_side(layer: Layer, outline: NDArray[np.float32], yaw: float) -> Layer:
    """The layer without what lies beyond the face's outline on the side turned away: a real head hides it."""
    if abs(yaw) < 26:
        return layer
    way = np.sign(yaw)  # the side of the picture that the face turns to
    hull = cv2.convexHull(outline)[:, 0]
    rows = np.arange(layer.shape[0], dtype=np.float32)
    top, bottom = hull[:, 1].min(), hull[:, 1].max()
    inside = cv2.fillConvexPoly(np.zeros(layer.shape[:2], np.uint8), hull.round().astype(np.int32), 1)
    columns = np.arange(layer.shape[1], dtype=np.float32)
    edge = np.where(inside > 0, columns * way, -np.inf).max(1)  # of each row, measured towards that side
    known = np.isfinite(edge)
    edge = np.interp(rows, rows[known], edge[known])
    slack = np.maximum(top + 0.1 * (bottom - top) - rows, 0) * 0.9 + np.maximum(rows - bottom, 0) * 0.5 + 0.02 * (bottom - top)  # hair above, neck below
    beyond = columns[None] * way - (edge + slack)[:, None]
    soft = 0.02 * (bottom - top) + 0.5
    keep = np.clip(0.5 - beyond / soft, 0, 1)
    return np.dstack([layer[..., :3], (layer[..., 3] * keep).round().astype(np.uint8)])


def _blend(parts: list[tuple[Layer, float]]) -> Layer:
    if len(parts) == 1:
        return parts[0][0]
    total = np.zeros(parts[0][0].shape, np.float32)
    for layer, weight in parts:
        alpha = layer[..., 3:].astype(np.float32) * weight
        total[..., :3] += layer[..., :3] * alpha
        total[..., 3:] += alpha
    total[..., :3] /= np.maximum(total[..., 3:], 1e-3)
    total[..., 3] = np.clip((total[..., 3] - 127.5) * 4 + 127.5, 0, 255)  # hair that only one picture has comes at once, not as a ghost
    return total.round().astype(np.uint8)


def _draw_body(frame: Image, body: tuple[Layer, ...], actor: Actor, pose: Pose, place: NDArray) -> None:
    """The body or its collar, upright below the pivot."""
    zoom = pose.width / actor.face_width
    level = level_for(2 * zoom)
    step = 2.0 * 2**level * zoom  # px of the frame to one of the layer
    pivot = place[:, 2]
    origin = pivot - np.array([420, 40]) / 2**level * step
    low = np.floor(np.maximum(origin, -8)).astype(int)
    high = np.minimum(np.ceil(origin + np.array(body[level].shape[1::-1]) * step), [frame.shape[1], frame.shape[0]]).astype(int)
    if (high <= low).any():
        return
    matrix = np.array([[step, 0, origin[0] - low[0]], [0, step, origin[1] - low[1]]])
    layer = cv2.warpAffine(body[level], matrix, tuple(int(v) for v in high - low), flags=cv2.INTER_LINEAR)
    over(frame, _lit(layer, pose.light), int(low[0]), int(low[1]))


def _lit(layer: Layer, light: float) -> NDArray:
    if light == 1.0:
        return layer
    return np.dstack([np.clip(layer[..., :3] * np.float32(light), 0, 255), layer[..., 3]])


def oval(outline: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W) 1 inside the outline."""
    return cv2.fillConvexPoly(np.zeros(shape, np.uint8), outline.round().astype(np.int32), 1)

