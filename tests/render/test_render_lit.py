"""Light and colour of the place on a painted face: taken from where it may be taken, and laid on the face alone."""

from __future__ import annotations

import numpy as np

from faceanon.core import facecrop
from faceanon.models.fakes import mean_mesh
from faceanon.render import lit

HOLE = facecrop.hole()
MESH = (mean_mesh()[:, :2] * (76, 95) + (64, 70)).astype(np.float32)
CHEEKS, BESIDE = np.s_[74:84, 44:54], np.s_[4:20, 4:20]
SKIN, DARKER = (140, 165, 215), (110, 140, 190)  # BGR


def flat(colour) -> np.ndarray:
    return np.full((128, 128, 3), colour, np.uint8)


def around(colour) -> np.ndarray:
    return np.where(HOLE[..., None] > 0, 0, flat(colour)).astype(np.uint8)


def test_in_a_grey_picture_a_face_is_grey():
    """Colour goes where the surroundings have none, stays where they have some, and is never touched outside of the hole."""
    new = flat(SKIN)

    grey, colourful = lit.as_vivid_as(new, around((90, 90, 90)), HOLE), lit.as_vivid_as(new, around((40, 160, 90)), HOLE)

    assert np.ptp(grey[CHEEKS], axis=2).max() <= 2
    assert np.array_equal(colourful, new)
    assert np.array_equal(grey[BESIDE], new[BESIDE])


def test_the_light_of_the_place_is_kept():
    """A face lit from one side gives a new face lit from that side, of its colour, and only the face."""
    old, new = flat(DARKER), flat(SKIN)
    old[:, 64:] = (np.array(DARKER) * 0.8).astype(np.uint8)

    painted = lit.in_light_of(new, old, MESH)

    left, right = painted[74:84, 40:50].mean(), painted[74:84, 78:88].mean()
    assert right < 0.92 * left
    face = np.s_[60:90, 36:92]
    assert abs(painted[face].mean() - old[face].mean()) < 0.4 * abs(new[face].mean() - old[face].mean())
    assert np.array_equal(painted[BESIDE], new[BESIDE])
