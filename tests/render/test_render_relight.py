"""Colours of the place on a person's skin, and not on what is dark in a face."""

from __future__ import annotations

import cv2
import numpy as np

from faceanon.render.blend import relight

TANNED, PALE, DARK = (95, 125, 205), (150, 165, 180), (45, 45, 45)  # BGR
SIZE, SOCKET = 120, np.s_[40:56, 30:90]


def lab(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_BGR2Lab)


def test_lashes_do_not_become_teal_on_a_pale_face():
    """A tanned person in a pale one's place has pale skin afterwards; what was dark and grey in their face stays nearly grey."""
    new, old = (np.full((SIZE, SIZE, 3), colour, np.uint8) for colour in (TANNED, PALE))
    new[SOCKET] = DARK
    old += np.random.default_rng(1).integers(0, 12, old.shape, np.uint8)  # a face varies a little
    skin = np.ones((SIZE, SIZE), np.float32)
    skin[SOCKET] = 0
    nothing = np.zeros((SIZE, SIZE), np.float32)

    lit, _ = relight(new, old, skin, 90.0, nothing, nothing + 1)

    cheeks, wanted = (lab(image)[80:110].mean((0, 1)) for image in (lit, old))
    assert np.abs(cheeks - wanted).max() < 4
    assert np.abs(lab(lit)[44:52, 40:80, 1:]).mean() < 9


def test_a_face_is_no_harsher_than_the_light_of_its_place():
    """Gleams and shadows of a portrait in a frame of flat light are calmed, to seven tenths at most; eyes and teeth keep theirs; in harsh light all stays."""
    nothing, skin = np.zeros((SIZE, SIZE), np.float32), np.ones((SIZE, SIZE), np.float32)
    bands = np.where(np.arange(SIZE) // 8 % 2, 40, -40)[:, None, None]
    flat = np.full((SIZE, SIZE, 3), PALE, np.uint8)
    new = (flat + bands).clip(0, 255).astype(np.uint8)
    wet = nothing.copy()
    wet[:, SIZE // 2 :] = 1

    def contrast(old: np.ndarray) -> tuple[float, float]:
        lit, _ = relight(new, old, skin, 90.0, wet, nothing + 1, calm=True)
        return float(lab(lit)[20:-20, 10:50, 0].std()), float(lab(lit)[20:-20, 70:110, 0].std())

    calmed, shining = contrast(flat)
    kept, _ = contrast(new)
    assert 0.65 < calmed / kept < 0.8
    assert shining > 0.9 * kept
