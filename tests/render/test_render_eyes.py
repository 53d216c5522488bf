"""What becomes of shut eyes: lids of plain skin, and never for a mere squint."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from faceanon.core.portrait import Portrait
from faceanon.core.records import Persona
from faceanon.models.fakes import FakePeople
from faceanon.render import align
from faceanon.render import topology as topo
from faceanon.render.expression import Expression, closedness
from faceanon.render.texture import SIDE_PX, prepare
from faceanon.render.warp import dense_map

EYES = (topo.RIGHT_EYE, topo.LEFT_EYE)


def _opening(points: np.ndarray) -> float:
    return float(np.mean([np.linalg.norm(points[upper, :2] - points[lower, :2]) for upper, lower in ((159, 145), (386, 374))]))


def test_shut_eyes_become_narrow():
    """Lids come down to a share of the person's own opening; what is left of the eye is painted as lid."""
    texture = prepare(FakePeople().portrait(Persona(0, 1, 0.0)))
    opened, shut = (_opening(align.target_vertices(texture.shape, texture, 0.7, 0.0, closed)) for closed in (0.0, 1.0))

    assert shut == pytest.approx(align.NARROWEST * opened, rel=0.05)


def _with_black_eyes() -> Portrait:
    """Somebody of one colour but for the eyes, which are black."""
    person = FakePeople().portrait(Persona(0, 1, 0.0))
    image = np.full_like(person.images[0], (120, 150, 200))
    for ring in EYES:
        cv2.fillPoly(image, [np.rint(person.meshes[0][list(ring), :2]).astype(np.int32)], (0, 0, 0))
    return replace(person, images=(image,) * len(person.images))


def test_lids_are_skin_over_the_whole_eye():
    """Of a black eye nothing is left but the line of the lashes, which lies low; outside the sockets no px changes."""
    texture = prepare(_with_black_eyes())
    awake, asleep = (texture.face(0, 0.0, closed)[..., 1].astype(int) for closed in (0.0, 1.0))
    skin = int(np.median(awake))
    near = np.zeros((SIDE_PX, SIDE_PX), bool)

    for ring, socket in zip(EYES, (topo.RIGHT_SOCKET, topo.LEFT_SOCKET), strict=True):
        upper, lower = texture.layout[[ring[12], ring[4]]]
        lid, before = (image[int(0.3 * lower[1] + 0.7 * upper[1]), int(upper[0])] for image in (asleep, awake))
        low, high = texture.layout[list(socket)].min(0).astype(int) - 26, texture.layout[list(socket)].max(0).astype(int) + 26
        near[low[1] : high[1], low[0] : high[0]] = True
        assert before < 0.3 * skin
        assert lid > 0.9 * skin
    assert np.array_equal(awake[~near], asleep[~near])


@pytest.mark.parametrize(("height", "usual", "shut"), [(0.20, 0.22, False), (0.12, 0.21, False), (0.07, 0.11, False), (0.03, 0.21, True), (0.01, 0.11, True)])
def test_narrow_eyes_are_not_shut(height, usual, shut):
    """What counts is how far the eyes are from what they usually are."""
    reading = closedness(Expression(height, (0.0, 0.0), np.nan, 0.07), usual, 0.11)

    assert reading > 0.9 if shut else reading < 0.1


@pytest.mark.parametrize(("lids", "usual", "shut"), [(0.11, 0.21, False), (0.12, 0.21, False), (0.08, 0.21, True), (0.11, 0.05, True), (np.nan, 0.21, True)])
def test_eyes_torn_open_are_not_shut(lids, usual, shut):
    """Lids as far apart as usual are open, whatever is dark between them; of somebody who always looks down that says nothing."""
    reading = closedness(Expression(0.01, (0.0, 0.0), np.nan, lids), usual, 0.11)

    assert reading > 0.9 if shut else reading < 0.1


def test_a_fold_of_the_mesh_brings_nothing_from_elsewhere():
    """A triangle that is seen edge on, or from behind, covers no other; each px comes from within its triangle."""
    source = np.array([[0, 0], [100, 0], [0, 100], [300, 300]], np.float32)
    target = np.array([[5, 5], [25, 5], [5, 25], [15, 15]], np.float32)  # the last corner lies on the side of the first triangle

    map_x, map_y, inside = dense_map(target, source, np.array([[0, 1, 2], [1, 3, 2]]), (32, 32), np.array([0, 0, 0, -50], np.float32))

    assert inside[14, 14] & inside[6, 6]
    assert max(map_x[inside].max(), map_y[inside].max()) < 101
