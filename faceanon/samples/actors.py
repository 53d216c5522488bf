"""An actor: a synthetic person whose mouth, lids and head can be moved.

Built once from a person's views. Front pictures come at several openings of the mouth and with the lids open and closed, so that a frame
only chooses one; the head is turned frame by frame through the mesh's depth (animate.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from faceanon.samples.people import CLOTHES, SIDE_PX, View, yaw_of
from faceanon.samples.warp import Layer, Spline, field, pyramid

MOUTHS = 5  # openings from closed to open

# Indices of the face mesh.
OVAL = [
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
]  # fmt: skip
LIPS = [
    61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146,
    78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95,
]  # fmt: skip
_INNER = LIPS[20:]
_BROWS = [70, 63, 105, 66, 107, 336, 296, 334, 293, 300, 46, 53, 52, 65, 55, 276, 283, 282, 295, 285]
_CREASES = [225, 224, 223, 222, 221, 445, 444, 443, 442, 441, 113, 342, 189, 413, 230, 450, 231, 451, 229, 449]
_NOSE = [168, 6, 197, 195, 5, 4, 1, 2, 98, 327, 64, 294, 48, 278, 49, 279]
_CHEEKS = [50, 280, 205, 425, 187, 411, 117, 346, 123, 352, 207, 427, 214, 434, 200, 199, 175, 8, 9, 151, 69, 299]
_RIGHT_EYE = ((33, 246, 161, 160, 159, 158, 157, 173, 133), (33, 7, 163, 144, 145, 153, 154, 155, 133))  # upper lid, lower lid
_LEFT_EYE = ((263, 466, 388, 387, 386, 385, 384, 398, 362), (263, 249, 390, 373, 374, 380, 381, 382, 362))
_EYES = [i for eye in (_RIGHT_EYE, _LEFT_EYE) for lid in eye for i in lid[1:-1]] + [33, 133, 263, 362]
TURNING = sorted({*OVAL[::2], *LIPS[:20:2], *LIPS[20::3], *_BROWS[::2], *_NOSE[::2], *_CHEEKS[::2], 33, 133, 263, 362, 159, 145, 386, 374})  # fewer, for every frame
CONTROL = sorted({*OVAL, *LIPS, *_BROWS, *_CREASES, *_NOSE, *_CHEEKS, *_EYES})  # the points that carry a warp
_STILL = [*_BROWS, *_NOSE[:7], 33, 133, 263, 362, 234, 454, 127, 356, 10]  # do not move with the mouth


@dataclass(frozen=True)
class Picture3d:
    """A picture with its mesh, and how the mesh lies in the actor's own upright frame."""

    levels: tuple[Layer, ...]  # 512, 256, 128 and 64 px
    mesh: NDArray[np.float32]  # (468, 3) px of the largest level
    shape: NDArray[np.float32]  # (468, 3) the mesh turned to the front and brought to the actor's size, pivot at 0
    pivot: NDArray[np.float32]  # (2,) px: where the axis of the head is seen
    scale: float  # px of this picture to one of the actor's own


@dataclass(frozen=True)
class Actor:
    """What animate.py draws."""

    name: str
    mouths: tuple[tuple[Picture3d, Picture3d], ...]  # by opening; lids open and closed
    sides: tuple[tuple[float, Picture3d], ...]  # (yaw in degrees, picture)
    body: tuple[Layer, ...]  # torso and legs, pyramid
    collar: tuple[Layer, ...]  # the part of the body that lies over the neck, likewise
    face_width: float  # actor's px from ear to ear
    face_middle: NDArray[np.float32]  # (2,) middle of the face in the actor's own frame


def make_actor(name: str, views: dict[str, View]) -> Actor:
    """The actor of a person's views; "front" and "open" are needed, "left" and "right" are used where given."""
    front = views["front"]
    base = _placed(front.image, front.mesh, None)
    asleep, eyes = _with_closed_lids(front.image, front.mesh), _around_eyes(front.mesh)
    pairs = [(image, mesh) for image, mesh in (_mouth_pictures(front, views["open"]) if "open" in views else [(front.image, front.mesh)])]
    mouths = tuple((_placed(image, mesh, base.shape), _placed(_mixed(image, asleep, eyes), mesh, base.shape)) for image, mesh in pairs)
    sides = tuple((turn_between(base.shape, views[v].mesh)[0], _placed(views[v].image, views[v].mesh, base.shape)) for v in ("left", "right") if v in views)
    low, high = base.shape[OVAL, :2].min(0), base.shape[OVAL, :2].max(0)
    return Actor(name, mouths, sides, *(pyramid(layer) for layer in _body(front, name)), float(base.shape[454, 0] - base.shape[234, 0]), (low + high) / 2)


def rotation(yaw: float, pitch: float) -> NDArray[np.float32]:
    """(3, 3) for a turn about the vertical axis, then a nod, in degrees; x right, y down, z away from the camera."""
    a, b = np.radians(yaw), np.radians(pitch)
    about_y = np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    return (about_x @ about_y).astype(np.float32)


def turn_between(shape: NDArray[np.float32], mesh: NDArray[np.float32]) -> tuple[float, float, NDArray[np.float32], NDArray[np.float32]]:
    """yaw in degrees, scale, rotation (3, 3) and shift (3,) that best bring `shape` onto `mesh`. Umeyama, 1991."""
    a, b = shape[_STILL], mesh[_STILL]
    u, d, vt = np.linalg.svd((b - b.mean(0)).T @ (a - a.mean(0)))
    sign = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
    turn = u @ sign @ vt
    scale = float((d * np.diag(sign)).sum() / ((a - a.mean(0)) ** 2).sum())
    return float(np.degrees(np.arctan2(turn[2, 0], turn[0, 0]))), scale, turn.astype(np.float32), (b.mean(0) - scale * turn @ a.mean(0)).astype(np.float32)


def _placed(image: Layer, mesh: NDArray[np.float32], shape: NDArray[np.float32] | None) -> Picture3d:
    """A picture whose mesh is related to the actor's shape; without one it defines that shape."""
    if shape is None:
        pivot = np.append(mesh[[234, 454], :2].mean(0), mesh[[234, 454], 2].mean() + 0.15 * np.ptp(mesh[:, 0])).astype(np.float32)
        upright = (mesh - pivot) @ rotation(-yaw_of(mesh), 0).T
        return Picture3d(pyramid(image), mesh, upright, pivot[:2], 1.0)
    _, scale, turn, shift = turn_between(shape, mesh)
    return Picture3d(pyramid(image), mesh, ((mesh - shift) / scale) @ turn, shift[:2], scale)


def _mouth_pictures(front: View, opened: View) -> list[tuple[Layer, NDArray[np.float32]]]:
    """Pictures and meshes from closed to open: the lower face of the open view, drawn to each opening, on the closed view."""
    _, scale, turn, shift = turn_between(front.mesh, opened.mesh)
    aligned = ((opened.mesh - shift) / scale) @ turn  # the open mesh laid over the closed one
    lower = _lower_face(front.mesh)
    pictures = []
    for share in np.linspace(0, 1, MOUTHS):
        weight = np.clip((front.mesh[:, 1] - front.mesh[2, 1]) / (front.mesh[152, 1] - front.mesh[2, 1]) * 3 + 1, 0, 1)[:, None]
        mesh = (front.mesh + share * weight * (aligned - front.mesh)).astype(np.float32)
        if not share:
            pictures.append((front.image, front.mesh))
            continue
        closed = _drawn(front.image, front.mesh, mesh)
        part = _same_light(_drawn(opened.image, opened.mesh, mesh), closed, lower)
        pictures.append((_mixed(closed, part, lower * min(1.0, share * 3)), mesh))
    return pictures


def _drawn(image: Layer, source: NDArray[np.float32], target: NDArray[np.float32]) -> Layer:
    """The picture with its mesh moved from source to target; its border stays."""
    still = _border()
    spline = Spline(np.concatenate([target[CONTROL, :2], still]), np.concatenate([source[CONTROL, :2], still]))
    grid = field(spline, (0, 0), (SIDE_PX - 1, SIDE_PX - 1), (SIDE_PX // 4, SIDE_PX // 4))
    there = cv2.resize(_edge_to_edge(grid), (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_LINEAR)
    return cv2.remap(image, there, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _edge_to_edge(grid: NDArray[np.float32]) -> NDArray[np.float32]:
    """A grid whose nodes lie on the picture's edges, as cv2.resize expects it: nodes in the middle of cells."""
    n = len(grid)
    at = (np.arange(n, dtype=np.float32) + 0.5) / n * (n - 1)
    x, y = np.meshgrid(at, at)
    return cv2.remap(grid, x, y, cv2.INTER_LINEAR)


def _border() -> NDArray[np.float32]:
    s = SIDE_PX - 1
    return np.array([[x, y] for x in (0, s / 3, 2 * s / 3, s) for y in (0, s / 3, 2 * s / 3, s) if x in (0, s) or y in (0, s)], np.float32)


def _lower_face(mesh: NDArray[np.float32]) -> NDArray[np.float32]:
    """(512, 512) 1 below the nose and inside the jaw, soft."""
    jaw = mesh[[i for i in OVAL if mesh[i, 1] > mesh[2, 1]], :2]
    hull = cv2.convexHull(np.concatenate([jaw, mesh[[2], :2]]).astype(np.int32))
    mask = cv2.fillConvexPoly(np.zeros((SIDE_PX, SIDE_PX), np.float32), hull, 1.0)
    return cv2.GaussianBlur(cv2.erode(mask, np.ones((23, 23))), (0, 0), 8)


def _same_light(part: Layer, closed: Layer, mask: NDArray[np.float32]) -> Layer:
    """`part` with the mean colour that `closed` has around the mouth."""
    ring = mask * (1 - mask)
    shift = ((closed[..., :3].astype(np.float32) - part[..., :3]) * ring[..., None]).sum((0, 1)) / max(float(ring.sum()), 1e-6)
    return np.dstack([np.clip(part[..., :3] + shift, 0, 255), part[..., 3]]).astype(np.uint8)


def _mixed(image: Layer, other: Layer, mask: NDArray[np.float32]) -> Layer:
    """The colours of `other` where mask is 1; the alpha of `image`."""
    colours = image[..., :3] * (1 - mask[..., None]) + other[..., :3] * mask[..., None]
    return np.dstack([colours, image[..., 3]]).round().astype(np.uint8)


def _around_eyes(mesh: NDArray[np.float32]) -> NDArray[np.float32]:
    """(512, 512) 1 over the eyes and their lids, soft."""
    mask = np.zeros((SIDE_PX, SIDE_PX), np.float32)
    for upper, _ in (_RIGHT_EYE, _LEFT_EYE):
        a, b = mesh[upper[0], :2], mesh[upper[-1], :2]
        x, y = (a + b) / 2
        reach = float(np.linalg.norm(a - b))
        cv2.ellipse(mask, (round(float(x)), round(float(y))), (round(0.75 * reach), round(0.5 * reach)), 0, 0, 360, 1.0, -1)
    return cv2.GaussianBlur(mask, (0, 0), 4)


def _with_closed_lids(image: Layer, mesh: NDArray[np.float32]) -> Layer:
    """The picture with the upper lids drawn down over the eyes."""
    target = mesh.copy()
    for upper, lower in (_RIGHT_EYE, _LEFT_EYE):
        for u, d in zip(upper[1:-1], lower[1:-1], strict=True):
            meet = 0.15 * mesh[u, :2] + 0.85 * mesh[d, :2]
            target[u, :2], target[d, :2] = meet, meet + np.float32([0, 0.8])
    return _drawn(image, mesh, target)


def _body(front: View, name: str) -> tuple[Layer, Layer]:
    """Torso, arms and legs, and again with an opening for the neck; px of half the actor's, the pivot at (420, 40)."""
    rng = np.random.default_rng(list(name.encode()))
    width, height = 840, 1100
    end = float(SIDE_PX - front.mesh[[234, 454], 1].mean()) / 2 + 40  # where the portrait ends
    middle, top = width / 2, end - 34
    outline = [(0.26, 0), (0.34, 12), (0.62, 34), (0.92, 62), (1.04, 110), (1.10, 230), (1.14, 420), (1.08, 560), (0.86, 600), (0.82, 1200)]
    half = 0.5 * 2.75 * float(front.mesh[454, 0] - front.mesh[234, 0]) / 2 * 1.02
    right = np.array([(middle + x * half, top + y) for x, y in outline])
    left = np.array([(middle - x * half, top + y) for x, y in outline])[::-1]
    mask = cv2.fillPoly(np.zeros((height, width), np.float32), [np.concatenate([right, left]).round().astype(np.int32)], 1.0)
    mask = cv2.GaussianBlur(mask, (0, 0), 3.0)
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    shade = 1.12 - 0.5 * (np.abs(x - middle) / (1.15 * half)) ** 2
    shade = shade * (1 + 0.09 * cv2.resize(rng.standard_normal((14, 9)), (width, height), interpolation=cv2.INTER_CUBIC))
    for side in (-1, 1):  # the line between arm and chest
        shade = shade * (1 - 0.35 * np.exp(-(((x - middle - side * 0.74 * half) / 7) ** 2)) * np.clip((y - top - 130) / 80, 0, 1))
    shade = shade * (1 - 0.5 * np.exp(-(((x - middle) / (0.42 * half)) ** 2) - ((y - top - 14) / 30.0) ** 2))  # the head's shadow
    colour = np.where(y[..., None] > top + 560, np.array([58.0, 46.0, 44.0]), np.array(CLOTHES[name], np.float64))
    cloth = np.clip(colour * shade[..., None], 0, 255)
    neck = np.hypot((x - middle) / (0.36 * half), (y - end + 36) / 25.0)
    rim = np.clip((neck - 1) * 12, 0, 1) * np.clip((y - top) / 4, 0, 1) * np.clip((top + 125 - y) / 40, 0, 1)  # further down it is the body again
    seam = 1 - 0.3 * np.exp(-(((neck - 1.1) / 0.07) ** 2))  # the knitted edge
    body = np.dstack([cloth, mask * 255]).round().astype(np.uint8)
    collar = np.dstack([cloth * seam[..., None], mask * rim * 255]).round().astype(np.uint8)
    return body, collar[: int(top) // 8 * 8 + 136]
