"""A synthetic person made ready to be warped: every expression laid out on one flat texture with one set of triangles.

The layout is the person's own face with the mouth held open, so hardly anything is stretched. Of the variants only the inside of the mouth is
used: the generator's person drifts as the mouth opens (for dlib by .2 to .45), so skin, lips and eyes are always variant 0's, moved by the mesh.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from faceanon.core.picture import Image
from faceanon.core.portrait import Portrait
from faceanon.render import expression
from faceanon.render import topology as topo
from faceanon.render.expression import smooth_step
from faceanon.render.retouch import in_the_colours_of, retouch, shut_eyes, spread_out
from faceanon.render.warp import dense_map

SIDE_PX = 512  # of the largest texture
MARGIN = 0.06
LEVELS = 3

# channels of `weights`
SKIN, ALPHA, FOREHEAD, EYES = 0, 1, 2, 3


LIPS = 0  # of GROUPS
GROUPS = (topo.LIPS, topo.RIGHT_EYE + topo.RIGHT_LID, topo.LEFT_EYE + topo.LEFT_LID)  # features that move as a whole
_SLIT = 0.55  # light inside a mouth that is open by a slit, over that inside the next variant's
_LIP_LINE_PX = 5  # twice what of each lip is the mouth's line rather than the lip
_SOFT = 0.15  # reach of a group's movement beyond the group, in eye distances


@dataclass(frozen=True)
class Texture:
    """levels[k] has SIDE_PX >> k px a side."""

    layout: NDArray[np.float32]  # (468, 2) px of level 0
    triangles: NDArray[np.int32]  # (T, 3)
    faces: tuple[tuple[Image, ...], ...]  # by level, then variant
    shut: tuple[Image, ...]  # by level: variant 0 with its eyes shut
    lids: tuple[NDArray[np.uint8], ...]  # by level, (S, S) uint8: where shut eyes are painted
    weights: tuple[NDArray[np.uint8], ...]  # by level, (S, S, 4) uint8: SKIN, ALPHA, FOREHEAD, EYES
    openness: NDArray[np.float32]  # (V,)
    shape: NDArray[np.float32]  # (468, 3) px of the portrait, variant 0
    inward: NDArray[np.float32]  # (468,) 0 on the face's outline, 1 well inside
    shares: tuple[NDArray[np.float32], ...]  # by group, (468,): how far a vertex moves with it
    gaze: tuple[float, float]  # of variant 0; see expression.Expression
    mouth: NDArray[np.float32]  # (V,) light inside the mouth over the skin's

    def face(self, level: int, openness: float, closed: float = 0.0) -> Image:
        """The texture for a mouth as open, and for eyes as closed, as that."""
        image = self._spoken(level, openness)
        share = shut_share(closed)
        if share <= 0:
            return image
        rows = np.flatnonzero(self.lids[level].any(1))
        part = np.s_[rows[0] : rows[-1] + 1]
        mask = self.lids[level][part].astype(np.float32)[..., None] * (share / 255)
        image = image.copy()
        image[part] = np.rint(image[part] * (1 - mask) + self.shut[level][part] * mask).astype(np.uint8)
        return image

    def _spoken(self, level: int, openness: float) -> Image:
        """The two variants nearest to the openness, mixed."""
        images = self.faces[level]
        high = int(np.clip(np.searchsorted(self.openness, openness), 1, max(1, len(images) - 1)))
        if len(images) == 1 or openness <= self.openness[0]:
            return images[0]
        span = max(float(self.openness[high] - self.openness[high - 1]), 1e-6)
        share = min(1.0, (openness - float(self.openness[high - 1])) / span)
        return cv2.addWeighted(images[high - 1], 1 - share, images[high], share, 0)

    def mesh(self, openness: float) -> NDArray[np.float32]:
        """(468, 3) the person's own shape with the jaw let down for a mouth at least as open as that; the variants' shapes drift like their skin."""
        return np.concatenate([topo.with_open_mouth(self.shape[:, :2], openness), self.shape[:, 2:]], axis=1)


def shut_share(closed: float) -> float:
    """How much of the shut eyes is seen when the frame's are as closed as that."""
    return smooth_step((closed - 0.15) / 0.7)


def prepare(portrait: Portrait) -> Texture:
    """Lay a portrait out. Takes a second or so, once per person."""
    layout, triangles = _layout(portrait.meshes[0])
    maps = _weights(layout)
    laid = [_lay(image, mesh, layout, triangles) for image, mesh in zip(portrait.images, portrait.meshes, strict=True)]
    plain = [retouch(image, maps[SKIN], layout) for image in laid]
    plain = [plain[0]] + [in_the_colours_of(image, plain[0], maps[SKIN]) for image in plain[1:]]
    plain[0] = _with_mouth_of(plain[min(1, len(plain) - 1)], plain[0], layout, _SLIT)  # for mouths that are open by a slit
    faces = [plain[0]] + [_with_mouth_of(image, plain[0], layout, 1.0) for image in plain[1:]]
    weights = np.rint(255 * np.stack(maps, axis=2)).astype(np.uint8)
    shut, lids = shut_eyes(faces[0], maps[SKIN], layout)
    readings = [expression.read(image, mesh) for image, mesh in zip(portrait.images, portrait.meshes, strict=True)]
    mouth = np.array([r.mouth for r in readings], np.float32)
    known = np.isfinite(mouth)
    mouth = np.where(known, mouth, mouth[known][0] if known.any() else 1.0).astype(np.float32)
    mouth[0] = _SLIT * mouth[min(1, len(mouth) - 1)]
    return Texture(
        layout, triangles, tuple(tuple(_shrunk(f, k) for f in faces) for k in range(LEVELS)),
        *(tuple(_shrunk(image, k) for k in range(LEVELS)) for image in (shut, lids, weights)),
        portrait.openness.astype(np.float32), portrait.meshes[0], _inward(layout), tuple(_share(layout, g) for g in GROUPS), readings[0].gaze, mouth,
    )  # fmt: skip


def _with_mouth_of(other: Image, face: Image, layout: NDArray[np.float32], light: float) -> Image:
    """`face` with what `other` shows between the lips, made as light as that: a shut mouth has no inside of its own, only the line where the lips meet."""
    inside = cv2.dilate(_polygon(layout[list(topo.INNER_LIPS)]), np.ones((_LIP_LINE_PX, _LIP_LINE_PX)))
    inside = cv2.GaussianBlur(inside, (0, 0), SIDE_PX / 200)[..., None]
    return np.rint(face * (1 - inside) + light * other * inside).astype(np.uint8)


def _shrunk(image: NDArray[np.uint8], level: int) -> NDArray[np.uint8]:
    return image if level == 0 else cv2.resize(image, (SIDE_PX >> level, SIDE_PX >> level), interpolation=cv2.INTER_AREA)


def _share(layout: NDArray[np.float32], group: tuple[int, ...]) -> NDArray[np.float32]:
    gap = np.linalg.norm(layout[:, None] - layout[None, list(group)], axis=2).min(1) / topo.eye_distance(layout)
    return np.exp(-np.square(gap / _SOFT)).astype(np.float32)


def _inward(layout: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, columns = (np.clip(layout[:, axis].astype(int), 0, SIDE_PX - 1) for axis in (1, 0))
    inward = np.clip(_depth(layout)[rows, columns] / 0.2, 0, 1).astype(np.float32)
    inward[list(topo.OVAL)] = 0
    return inward


def _layout(mesh: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """The mesh upright, mouth open, filling the texture's square."""
    flat = mesh[:, :2].astype(np.float64)
    axis = flat[263] - flat[33]
    angle = np.arctan2(axis[1], axis[0])
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    flat = topo.with_open_mouth((flat @ turn.T).astype(np.float32))
    low, high = flat.min(0), flat.max(0)
    scale = SIDE_PX * (1 - 2 * MARGIN) / (high - low).max()
    layout = ((flat - (low + high) / 2) * scale + SIDE_PX / 2).astype(np.float32)
    return layout, topo.triangulate(layout)


def _lay(image: Image, mesh: NDArray[np.float32], layout: NDArray[np.float32], triangles: NDArray[np.int32]) -> Image:
    """One variant's picture on the texture; px outside the mesh are the border's colours drawn outwards."""
    map_x, map_y, inside = dense_map(layout, mesh[:, :2], triangles, (SIDE_PX, SIDE_PX))
    span = np.linalg.norm(mesh[33, :2] - mesh[263, :2]) / np.linalg.norm(layout[33] - layout[263])
    if span > 1.5:
        image = cv2.GaussianBlur(image, (0, 0), 0.4 * span)
    laid = cv2.remap(image, map_x, map_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return spread_out(laid, inside.astype(np.float32))


def _polygon(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """(S, S) float32 1 inside."""
    canvas = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    cv2.fillPoly(canvas, [np.rint(points * 16).astype(np.int32)], 1, shift=4)
    return canvas.astype(np.float32)


def _depth(layout: NDArray[np.float32]) -> NDArray[np.float32]:
    """(S, S) distance to the face's outline over the face's width, 0 outside."""
    inside = _polygon(layout[list(topo.OVAL)]).astype(np.uint8)
    width = float(np.linalg.norm(layout[234] - layout[454]))
    return cv2.distanceTransform(inside, cv2.DIST_L2, 5) / width


def _step(t: NDArray[np.float32]) -> NDArray[np.float32]:
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def _weights(layout: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
    """SKIN, ALPHA, FOREHEAD and EYES, (S, S) float32 0..1 each."""
    depth = _depth(layout)
    wide = float(np.linalg.norm(layout[33] - layout[263]))
    features = np.zeros((SIDE_PX, SIDE_PX), np.float32)
    for ring in (topo.RIGHT_LID, topo.LEFT_LID, topo.OUTER_LIPS):
        features = np.maximum(features, _polygon(layout[list(ring)]))
    for ring in (topo.RIGHT_BROW, topo.LEFT_BROW):
        features = np.maximum(features, _polygon(cv2.convexHull(layout[list(ring)])[:, 0]))
    for tip in (98, 327):
        cv2.circle(features, tuple(int(v) for v in layout[tip]), int(0.06 * wide), 1.0, -1)
    features = cv2.GaussianBlur(cv2.dilate(features, np.ones((9, 9))), (0, 0), 0.03 * wide)
    skin = np.clip((1 - 1.6 * features), 0, 1) * _step(depth / 0.06)
    y = np.arange(SIDE_PX, dtype=np.float32)[:, None]
    brow = layout[list(topo.RIGHT_BROW + topo.LEFT_BROW), 1].min()
    forehead = np.repeat(_step((brow - y) / (0.12 * wide) + 0.3), SIDE_PX, axis=1)  # 1 above the brows
    # the fade is wider at the top, where the hair line is near, than at cheeks and chin
    fade = 0.055 + 0.06 * forehead
    alpha = _step((depth - 0.012) / fade)
    return skin, alpha, forehead, np.maximum(_eye_bump(layout, topo.RIGHT_EYE), _eye_bump(layout, topo.LEFT_EYE))


def _eye_bump(layout: NDArray[np.float32], ring: tuple[int, ...]) -> NDArray[np.float32]:
    """(S, S) how far an eye's px go along when its iris looks aside: 1 in the middle, 0 at corners and lids."""
    contour = layout[list(ring)]
    middle, half = (contour[0, 0] + contour[8, 0]) / 2, abs(float(contour[0, 0] - contour[8, 0])) / 2
    x = np.arange(SIDE_PX, dtype=np.float32)[None, :]
    along = _step(1.25 * (1 - np.abs(x - middle) / half))
    inside = cv2.distanceTransform(_polygon(contour).astype(np.uint8), cv2.DIST_L2, 5)
    return (along * _step(inside / (0.07 * half))).astype(np.float32)
