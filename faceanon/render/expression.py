"""The few numbers of a frame's face that a mesh of 468 points misses: closed lids, where the eyes look, how dark the mouth's inside is.

Each is one number or two over a whole feature; none holds a picture of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from faceanon.core.picture import Image
from faceanon.render import topology as topo

_EYE_PX = (32, 20)  # an eye laid out: the corners at 15 % and 85 % of the width, on the middle line
_LOOKS = 0.11  # usual height from which on somebody has their eyes open
MIN_EYE_PX = 7.0  # a narrower eye tells nothing


@dataclass(frozen=True)
class Expression:
    """height: of the eyes' dark centres over their lower lids, in eye widths. gaze: shift of the irises from the eyes' middles, in eye
    widths, along and across the line of an eye. mouth: light inside the mouth over the skin's. lids: gap between the mesh's lids over the distance of the
    outer eye corners. NaN: unknown."""

    height: float
    gaze: tuple[float, float]
    mouth: float
    lids: float = np.nan


UNKNOWN = Expression(np.nan, (np.nan, np.nan), np.nan)


def read(image: Image, mesh: NDArray[np.float32]) -> Expression:
    """image with the mesh (468, 3) in its px."""
    light = image[..., 1]  # green is near to luma, and free
    eyes = [_eye(light, mesh, ring) for ring in (topo.RIGHT_EYE, topo.LEFT_EYE)]
    seen = [e for e in eyes if e is not None]
    if not seen:
        return Expression(np.nan, (np.nan, np.nan), _mouth(light, mesh))
    height, along, across = np.mean(np.array(seen), axis=0)
    return Expression(float(height), (float(along), float(across)), _mouth(light, mesh), _lids(mesh))


def _lids(mesh: NDArray[np.float32]) -> float:
    """In all three dimensions, so that a head that turns does not open its eyes."""
    gaps = np.linalg.norm(mesh[[159, 386]] - mesh[[145, 374]], axis=1)
    return float(gaps.mean() / max(float(np.linalg.norm(mesh[33] - mesh[263])), 1e-6))


def _eye(light: NDArray[np.uint8], mesh: NDArray[np.float32], ring: tuple[int, ...]) -> tuple[float, float, float] | None:
    """The dark centre's height over the lower lid, and its shift from the eye's middle, x along the eye and y downwards; in eye widths."""
    contour = mesh[list(ring), :2]
    left, right = sorted((contour[0], contour[8]), key=lambda p: p[0])
    axis = right - left
    width = float(np.hypot(*axis))
    if width < MIN_EYE_PX:
        return None
    w, h = _EYE_PX
    k = 0.7 * w / width
    cos, sin = axis / width * k
    to_eye = np.array([[cos, sin, 0], [-sin, cos, 0]], np.float32)
    to_eye[:, 2] = np.array([w / 2, h / 2]) - to_eye[:, :2] @ ((left + right) / 2)
    patch = cv2.warpAffine(light, to_eye, _EYE_PX, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    inside = np.zeros((h, w), np.uint8)
    laid = contour @ to_eye[:, :2].T + to_eye[:, 2]
    cv2.fillPoly(inside, [np.rint(laid * 8).astype(np.int32)], 1, shift=3)
    if inside.sum() < 8:
        return None
    x, y = _dark_centre(patch, inside)
    around = cv2.dilate(inside, np.ones((5, 3), np.uint8))  # the line of the lashes of a shut eye may lie beside the mesh's slit
    around[:, np.abs(np.arange(w) - x) > 0.1 * w] = 0
    _, lashes = _dark_centre(patch, around)
    unit = 0.7 * w
    return (float(laid[1:8, 1].mean()) - lashes) / unit, (x - (w - 1) / 2) / unit, (y - (h - 1) / 2) / unit


def _dark_centre(patch: NDArray[np.float32], inside: NDArray[np.uint8]) -> tuple[float, float]:
    h, w = patch.shape
    low, high = np.percentile(patch[inside > 0], [6, 65]) if inside.any() else (0.0, 1.0)
    dark = np.clip((high - patch) / max(high - low, 1.0), 0, 1) ** 2 * inside
    total = max(float(dark.sum()), 1e-6)
    return float((dark * np.arange(w)).sum()) / total, float((dark * np.arange(h)[:, None]).sum()) / total


def _mouth(light: NDArray[np.uint8], mesh: NDArray[np.float32]) -> float:
    """Mean light inside the lips over that around the mouth; NaN for a mouth that is hardly open."""
    if topo.openness(mesh) < 0.05:
        return np.nan
    ring = mesh[list(topo.INNER_LIPS), :2]
    low = np.maximum(np.floor(ring.min(0)).astype(int), 0)
    high = np.minimum(np.ceil(ring.max(0)).astype(int) + 1, [light.shape[1], light.shape[0]])
    if np.any(high - low < 2):
        return np.nan
    inside = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
    cv2.fillPoly(inside, [np.rint((ring - low) * 8).astype(np.int32)], 1, shift=3)
    values = light[low[1] : high[1], low[0] : high[0]][inside > 0]
    skin = mesh[[50, 280, 205, 425, 187, 411], :2].astype(int)
    skin = skin[np.all((skin >= 0) & (skin < [light.shape[1], light.shape[0]]), axis=1)]
    if len(values) < 4 or len(skin) < 2:
        return np.nan
    return float(values.mean() / max(float(np.median(light[skin[:, 1], skin[:, 0]])), 8.0))


def smooth_step(t: float) -> float:
    t = min(1.0, max(0.0, t))
    return t * t * (3 - 2 * t)


def closedness(now: Expression, usual_height: float, usual_lids: float) -> float:
    """0 open .. 1 shut. The mesh shows a shut eye half open; but what is dark in it, lashes in place of an iris, lies on the lower lid.

    Measured on eight clips: shut .00 to .08 eye widths over the lower lid, open .12 to .26, each eye near its usual height. Somebody who screws
    the eyes up has .10 to .13 and falls to .05 while still looking: so what counts is the share of the usual height.

    In eyes torn open the lower lashes may be what is dark. Of somebody whose eyes are usually open, lids that the mesh shows as far apart as usual are not
    shut: in blinks on six clips they were at .50 to .77 of the usual gap, in eyes that only seemed shut at .91 to 1.08.
    """
    if not np.isfinite(now.height):
        return 0.0
    shut = smooth_step((0.58 - now.height / min(0.20, max(usual_height, _LOOKS))) / 0.3)
    knows = usual_height > _LOOKS and usual_lids > 0 and np.isfinite(now.lids)
    return shut * (1 - smooth_step((now.lids / usual_lids - 0.82) / 0.12)) if knows else shut


def mean_gaze(near: Sequence[tuple[int, Expression]], sigma: float) -> tuple[float, float]:
    """The gaze over neighbouring frames, given as (frames apart, expression); (NaN, NaN) where none is known."""
    seen = [(np.exp(-0.5 * (apart / sigma) ** 2), e.gaze) for apart, e in near if np.isfinite(e.gaze[0])]
    if not seen:
        return (np.nan, np.nan)
    weight = np.array([s for s, _ in seen])
    gaze = (np.array([g for _, g in seen]) * weight[:, None]).sum(0) / weight.sum()
    return (float(gaze[0]), float(gaze[1]))


@dataclass(frozen=True)
class Demand:
    """What the new face must show, beyond its mesh."""

    closed: float = 0.0  # 0..1
    gaze: tuple[float, float] = (np.nan, np.nan)
    mouth: float = np.nan


NEUTRAL = Demand()
