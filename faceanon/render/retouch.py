"""A portrait's texture made fit to stand in any light: shading taken out, strands of hair over the skin replaced."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from faceanon.core.picture import Image
from faceanon.render import topology as topo

LIGHT_REACH = 0.17  # sigma of what counts as shading, over the texture's side
_LASHES = 0.12  # height of a shut eye's lashes over the lower lid, of the open eye's
_FOLD = 0.3  # height of the fold over the upper lid, likewise
_LINE, _SHADOW, _FOLDED = 0.45, 0.4, 0.25  # how dark the lashes are, what is around them, and the fold
_FEW_PX = 64


def retouch(image: Image, skin: NDArray[np.float32], layout: NDArray[np.float32]) -> Image:
    """image (S, S, 3) uint8 BGR, skin (S, S) 0..1, layout (468, 2) px of it."""
    even = _evenly_lit(image, skin)
    return _without_hair(even, skin, layout)


def spread_out(image: Image, known: NDArray[np.float32]) -> Image:
    """Unknown px take the colours of known ones near by: coarse colours grow into the gaps first, finer ones over them. Far from any, the mean of all."""
    filled = image.astype(np.float32) * known[..., None]
    share = known.astype(np.float32)
    side = image.shape[0]
    colour, total = filled, share
    levels = []
    while side > 4:
        levels.append((colour, total))
        side //= 2
        colour, total = (cv2.resize(a, (side, side), interpolation=cv2.INTER_AREA) for a in (colour, total))
    near = np.clip(total * 16, 0, 1)[..., None]
    guess = near * colour / np.maximum(total, 1e-4)[..., None] + (1 - near) * weighted_mean(image.astype(np.float32), share)
    for colour, total in reversed(levels):
        guess = cv2.resize(guess, (total.shape[1], total.shape[0]), interpolation=cv2.INTER_LINEAR)
        solid = np.clip(total * 4, 0, 1)[..., None]
        guess = solid * colour / np.maximum(total, 1e-4)[..., None] + (1 - solid) * guess
    out = np.where(known[..., None] >= 1, image, np.rint(np.clip(guess, 0, 255)))
    return out.astype(np.uint8)


def skin_likeness(lab: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h, w) 1 where a px has the colour of most of the face's skin, 0 for hair, cloth and the like."""
    picked = lab[weight > 0.5]
    if len(picked) < 8:
        return np.ones(lab.shape[:2], np.float32)
    middle = np.median(picked, axis=0)
    spread = np.maximum(1.5 * np.median(np.abs(picked - middle), axis=0), [7.0, 3.5, 3.5])
    apart = ((lab - middle) / spread) ** 2
    return np.exp(-0.5 * np.maximum(0, apart.sum(2) - 3.0) / 3.0).astype(np.float32)


def local_means(values: NDArray[np.float32], weight: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """(h, w, C) weighted local means; far from any weight the overall mean."""
    blurred = cv2.GaussianBlur(values * weight[..., None], (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    total = cv2.GaussianBlur(weight, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    prior = 0.03
    return (blurred + prior * weighted_mean(values, weight)) / (total + prior)[..., None]


def weighted_mean(values: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    return (values * weight[..., None]).sum((0, 1)) / max(float(weight.sum()), 1e-6)


def _lab(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    return cv2.cvtColor(image.astype(np.float32) * np.float32(1 / 255), cv2.COLOR_BGR2Lab)


def _evenly_lit(image: Image, skin: NDArray[np.float32]) -> Image:
    """Lightness divided by its own low frequencies over the skin."""
    few = cv2.resize(image, (_FEW_PX, _FEW_PX), interpolation=cv2.INTER_AREA)
    weight = cv2.resize(skin, (_FEW_PX, _FEW_PX), interpolation=cv2.INTER_AREA)
    lab = _lab(few)
    trusted = weight * (0.02 + skin_likeness(lab, weight))
    light = local_means(lab, trusted, LIGHT_REACH * _FEW_PX)
    mean = weighted_mean(lab, trusted)
    gain = np.clip(mean[0] / np.maximum(light[..., 0], 1.0), 0.6, 1.7)
    full = _lab(image)
    full[..., 0] *= cv2.resize(gain, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return cv2.convertScaleAbs(np.clip(cv2.cvtColor(full, cv2.COLOR_Lab2BGR), 0, 1), alpha=255)


def _without_hair(image: Image, skin: NDArray[np.float32], layout: NDArray[np.float32]) -> Image:
    """Dark strands over forehead and temples replaced by the colour of the skin around."""
    side = image.shape[0]
    strands = _strands(image, skin, layout)
    if not strands.any():
        return image
    strands = cv2.dilate(strands, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side // 18, side // 18)))
    bare = spread_out(image, ((skin > 0.5) & (strands == 0)).astype(np.float32))
    share = cv2.GaussianBlur(strands.astype(np.float32), (0, 0), side / 60) * np.clip(8 * skin, 0, 1)
    share = np.maximum(share, strands * (skin > 0.6))[..., None]
    share = cv2.GaussianBlur(share, (0, 0), side / 100)[..., None]
    return np.rint(image * (1 - share) + bare * share).astype(np.uint8)


def _strands(image: Image, skin: NDArray[np.float32], layout: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(S, S) 0 or 1: much darker than the face's skin, above the brows or outside of the eyes, and above the upper lip. Shadows of deep eyes and beards stay."""
    side = image.shape[0]
    lab = _lab(image)
    usual = float(np.median(lab[..., 0][skin > 0.5]))
    dark = (skin > 0.005) & (lab[..., 0] < 0.82 * usual) & (skin_likeness(lab, skin) < 0.35)
    x, y = np.arange(side)[None, :], np.arange(side)[:, None]
    brow = float(layout[[105, 334], 1].min())
    beside = (x < layout[33, 0] - 0.03 * side) | (x > layout[263, 0] + 0.03 * side)
    dark &= (y < brow - 0.02 * side) | (beside & (y < layout[0, 1]))
    return cv2.morphologyEx(dark.astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))


def in_the_colours_of(image: Image, other: Image, skin: NDArray[np.float32]) -> Image:
    """image with its skin's mean colour and lightness made those of `other`'s."""
    lab, goal = _lab(image), _lab(other)
    lab += weighted_mean(goal, skin) - weighted_mean(lab, skin)
    return cv2.convertScaleAbs(np.clip(cv2.cvtColor(lab, cv2.COLOR_Lab2BGR), 0, 1), alpha=255)


def shut_eyes(image: Image, skin: NDArray[np.float32], layout: NDArray[np.float32]) -> tuple[Image, NDArray[np.uint8]]:
    """`image`, laid out, with lids drawn over its eyes in the colours of the skin around each, and the mask (S, S) uint8 of where they are to be seen.

    The generator's own shut eyes are screwed up, brows and all, and for dlib another person (.33 from the mean face, these .25); a lid is plain skin and a line.
    """
    side = image.shape[0]
    eyes, brows = np.zeros((side, side), np.uint8), np.zeros((side, side), np.uint8)
    lashes, folds = np.zeros((side, side), np.float32), np.zeros((side, side), np.float32)
    for ring in (topo.RIGHT_EYE, topo.LEFT_EYE):
        cv2.fillPoly(eyes, [_fixed(layout[list(ring)])], 255, shift=3)
        lower, upper = layout[list(ring[:9])], layout[[ring[0], *ring[:8:-1], ring[8]]]
        cv2.polylines(lashes, [_fixed(lower + _LASHES * (upper - lower))], False, 1.0, side // 128, cv2.LINE_AA, 3)
        cv2.polylines(folds, [_fixed(upper + _FOLD * (upper - lower))], False, 1.0, side // 170, cv2.LINE_AA, 3)
    for ring in (topo.RIGHT_BROW, topo.LEFT_BROW):
        cv2.fillConvexPoly(brows, cv2.convexHull(np.rint(layout[list(ring)]).astype(np.int32)), 255)
    near_brows = cv2.dilate(brows, _disc(side // 60))
    wide = cv2.dilate(eyes, _disc(side // 18)) & ~near_brows  # lashes and the fold of an open lid lie beyond the mesh's eye
    around = (cv2.dilate(wide, _disc(side // 10)) & ~wide & ~cv2.dilate(brows, _disc(side // 24))).astype(np.float32) / 255 * np.clip(skin + 0.05, 0, 1)
    lab = _lab(image)
    lid = local_means(lab, around * skin_likeness(lab, around), side / 20)
    line = _LINE * cv2.GaussianBlur(lashes, (0, 0), side / 360)
    shade = _SHADOW * cv2.GaussianBlur(lashes, (0, 0), side / 90) + _FOLDED * cv2.GaussianBlur(folds, (0, 0), side / 150)
    lid *= 1 - np.clip(line[..., None] + shade[..., None] * (1, 0, 0), 0, 0.7)
    drawn = 255 * np.clip(cv2.cvtColor(lid, cv2.COLOR_Lab2BGR), 0, 1)
    mask = cv2.GaussianBlur(wide, (0, 0), side / 70)
    share = mask.astype(np.float32)[..., None] / 255
    return np.rint(image * (1 - share) + drawn * share).astype(np.uint8), mask


def _fixed(points: NDArray[np.float32]) -> NDArray[np.int32]:
    """px with three fractional bits, as cv2 draws them."""
    return np.rint(points * 8).astype(np.int32)


def _disc(px: int) -> NDArray[np.uint8]:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (px | 1, px | 1))
