"""Paints one new face into one picture."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from faceanon.core.picture import Image, Picture, PxBox
from faceanon.core.ports import PersonSegmenter
from faceanon.render import align
from faceanon.render import topology as topo
from faceanon.render.blend import relight, soften
from faceanon.render.expression import NEUTRAL, Demand
from faceanon.render.texture import ALPHA, EYES, FOREHEAD, LEVELS, SKIN, Texture, shut_share
from faceanon.render.warp import dense_map, half_dense_map

WORK_FACE_PX = 320  # wider faces are painted at this width and enlarged
HALF_FACE_PX = 128  # from this width on, the map is worked out for every second px
TURNED_DEG = 25.0
_TEETH = 0.9  # light inside the mouth, over the frame's: a synthetic person's teeth are whiter and more even, and catch the eye
_DARK = 0.8  # what teeth are multiplied by, below which they begin to go


@dataclass(frozen=True)
class Patch:
    """A new face, ready to be pasted at (x0, y0)."""

    x0: int
    y0: int
    image: Image
    alpha: NDArray[np.float32]  # (h, w) 0..1

    @property
    def box(self) -> PxBox:
        h, w = self.alpha.shape
        return (self.x0, self.y0, self.x0 + w, self.y0 + h)

    def over(self, picture: Picture) -> Picture:
        """A copy of the picture with the patch on it: what the check looks at."""
        tried = Picture(picture.index, picture.pts, tuple(p.copy() for p in picture.planes), picture.format)
        tried.paste(self.x0, self.y0, self.image, self.alpha)
        return tried


def make_patch(
    picture: Picture,
    mesh: NDArray[np.float32],
    texture: Texture,
    beta: float,
    demand: Demand = NEUTRAL,
    segmenter: PersonSegmenter | None = None,
) -> Patch | None:
    """The new face for the frame's mesh (468, 3) px of the picture; None where nothing of it lies inside the picture.

    The segmenter is asked about turned heads alone, whose far outline the mesh only guesses.
    """
    openness = topo.openness(mesh)
    vertices = align.target_vertices(mesh, texture, beta, openness, demand.closed)
    face_px = float(np.ptp(vertices[:, 0]))
    box = _box_of(vertices, picture)
    if box is None:
        return None
    old = picture.crop(box)
    h, w = old.shape[:2]
    k = min(1.0, WORK_FACE_PX / max(face_px, 1.0))
    size = (max(2, round(w * k)), max(2, round(h * k)))
    work = old if k == 1.0 else cv2.resize(old, size, interpolation=cv2.INTER_AREA)
    scale = np.array([size[0] / w, size[1] / h, k], np.float32)
    local = (vertices - np.array([box[0], box[1], 0], np.float32)) * scale
    image, alpha = _render(work, local, texture, face_px * k, openness, demand)
    if segmenter is not None and align.yaw_deg(mesh) > TURNED_DEG:
        alpha = off_the_wall(alpha, person_in(picture, box, segmenter, size), face_px * k)
    if k != 1.0:
        image, alpha = cv2.resize(image, (w, h), interpolation=cv2.INTER_CUBIC), cv2.resize(alpha, (w, h), interpolation=cv2.INTER_LINEAR)
    return Patch(box[0], box[1], image, alpha)


def _box_of(vertices: NDArray[np.float32], picture: Picture) -> PxBox | None:
    low, high = vertices[:, :2].min(0), vertices[:, :2].max(0)
    margin = 0.08 * (high - low) + 2
    x0, y0 = np.maximum(np.floor(low - margin), 0).astype(int)
    x1, y1 = np.minimum(np.ceil(high + margin), [picture.width, picture.height]).astype(int)
    return (int(x0), int(y0), int(x1), int(y1)) if x1 - x0 >= 4 and y1 - y0 >= 4 else None


def person_in(picture: Picture, box: PxBox, segmenter: PersonSegmenter, size: tuple[int, int]) -> NDArray[np.float32]:
    """(h, w) float32 1 = person, of the patch's box; the segmenter sees half as much again on each side."""
    w, h = box[2] - box[0], box[3] - box[1]
    wide = (max(0, box[0] - w // 2), max(0, box[1] - h // 2), min(picture.width, box[2] + w // 2), min(picture.height, box[3] + h // 2))
    mask = segmenter.mask(picture.crop(wide))
    return cv2.resize(mask[box[1] - wide[1] : box[3] - wide[1], box[0] - wide[0] : box[2] - wide[0]], size, interpolation=cv2.INTER_LINEAR)


def off_the_wall(alpha: NDArray[np.float32], person: NDArray[np.float32], face_px: float) -> NDArray[np.float32]:
    """No paint beside the head, as far as the mask says. Only the outer rim can be taken back: inside, a mask that errs would uncover the face."""
    rim = 1 - np.clip(2.5 * cv2.GaussianBlur(alpha, (0, 0), 0.05 * face_px) - 1.0, 0, 1)
    return alpha * (1 - rim * (1 - np.clip(2 * person, 0, 1)))


def _render(
    old: Image, vertices: NDArray[np.float32], texture: Texture, face_px: float, openness: float, demand: Demand
) -> tuple[Image, NDArray[np.float32]]:
    level = _level(vertices, texture)
    shrink = np.float32(1 / (1 << level))
    source = (texture.layout + 0.5) * shrink - 0.5
    draw = half_dense_map if face_px >= HALF_FACE_PX else dense_map
    map_x, map_y, inside = draw(vertices[:, :2], source, texture.triangles, old.shape[:2], vertices[:, 2])
    planes = cv2.split(cv2.remap(texture.weights[level], map_x, map_y, cv2.INTER_LINEAR))
    weights = [np.multiply(plane, inside, dtype=np.float32) * np.float32(1 / 255) for plane in planes]
    awake = weights[EYES] * np.float32(1 - shut_share(demand.closed))
    _look_aside(map_x, map_y, awake, texture, source, demand.gaze)
    new = cv2.remap(texture.face(level, openness, demand.closed), map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    lips = _inside_lips(old.shape[:2], vertices)
    wet = np.maximum(awake, lips)
    gain = _mouth_gain(texture, openness, demand.mouth)
    _without_teeth(new, lips, vertices, gain)
    lit, likeness = relight(new, old, weights[SKIN], face_px, wet, 1 + (gain - 1) * lips, calm=True)
    alpha = weights[ALPHA] * (1 - weights[FOREHEAD] * (1 - likeness))
    lit = soften(lit, old, alpha)
    return lit, np.minimum(cv2.GaussianBlur(alpha, (0, 0), max(0.5, 0.008 * face_px)), 1)


def _look_aside(
    map_x: NDArray[np.float32], map_y: NDArray[np.float32], eyes: NDArray[np.float32], texture: Texture, source: NDArray[np.float32], gaze: tuple[float, float]
) -> None:
    """Shift the irises, in the maps, in place, so that they look where the frame's do; both eyes alike."""
    aside = (np.array(gaze) - np.array(texture.gaze)) * (0.9, 0.6)
    if not np.all(np.isfinite(aside)):
        return
    width = float(np.linalg.norm(source[33] - source[133]))
    dx, dy = np.clip(aside, (-0.2, -0.08), (0.2, 0.08)) * width
    map_x -= np.float32(dx) * eyes
    map_y -= np.float32(dy) * eyes


def _mouth_gain(texture: Texture, openness: float, mouth: float) -> np.float32:
    """What the lightness inside the lips is multiplied by, so that a mouth without teeth in the frame shows none, and one with teeth does."""
    if not np.isfinite(mouth):
        return np.float32(1)
    darkest = float(np.interp(mouth, [0.5, 0.75], [0.25, 0.95]))  # teeth that are seen in the frame are not made grey
    return np.float32(np.clip(_TEETH * mouth / max(float(np.interp(openness, texture.openness, texture.mouth)), 0.05), darkest, 1.6))


def _without_teeth(new: Image, lips: NDArray[np.float32], vertices: NDArray[np.float32], gain: np.float32) -> None:
    """In place: a mouth that is to be dark shows no grey teeth; what it shows runs into one."""
    ring = vertices[list(topo.INNER_LIPS), :2]
    low, high = np.floor(ring.min(0)).astype(int), np.ceil(ring.max(0)).astype(int) + 1
    wide = int(high[1] - low[1])
    share = _DARK - gain
    if share <= 0 or wide < 3:
        return
    part = np.s_[max(low[1] - wide, 0) : high[1] + wide, max(low[0] - wide, 0) : high[0] + wide]
    weight = lips[part][..., None] * min(1.0, 3 * float(share))
    if weight.size:
        new[part] = np.rint(new[part] * (1 - weight) + cv2.GaussianBlur(new[part], (0, 0), 0.4 * wide) * weight).astype(np.uint8)


def _inside_lips(size: tuple[int, int], vertices: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h, w) float32 1 inside the mouth, soft at the lips."""
    ring = vertices[list(topo.INNER_LIPS), :2]
    inside = np.zeros(size, np.float32)
    cv2.fillPoly(inside, [np.rint(ring * 8).astype(np.int32)], 1.0, shift=3)
    return cv2.GaussianBlur(inside, (0, 0), max(0.6, 0.06 * float(np.ptp(ring[:, 1]))))


def _level(vertices: NDArray[np.float32], texture: Texture) -> int:
    """The smallest texture that is still at least as large as the face in the frame."""
    ratio = topo.eye_distance(texture.layout) / max(topo.eye_distance(vertices), 1.0)
    return int(np.clip(np.floor(np.log2(max(ratio, 1.0)) + 0.3), 0, LEVELS - 1))
