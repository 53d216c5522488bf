"""What becomes of shut eyes: the person's own, where there are such; else narrow ones, and never for a mere squint."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from faceanon.core.portrait import Portrait
from faceanon.core.records import Persona
from faceanon.models.fakes import FakePeople
from faceanon.render import align
from faceanon.render import topology as topo
from faceanon.render.expression import Expression, closedness
from faceanon.render.texture import SIDE_PX, Texture, prepare
from faceanon.render.warp import dense_map

SHUT_GAP = 0.2  # of the lids in the portrait with shut eyes, over that of the open ones
EYES = (topo.RIGHT_EYE, topo.LEFT_EYE)


def _awake() -> Portrait:
    return FakePeople().portrait(Persona(0, 1, 0.0))


def _with_shut_eyes() -> Portrait:
    """The same person, with blue where shut eyes are."""
    awake = _awake()
    mesh = awake.meshes[0].copy()
    for ring in EYES:
        mesh[list(ring), 1] = mesh[ring[0], 1] + SHUT_GAP * (mesh[list(ring), 1] - mesh[ring[0], 1])
    image = awake.images[0].copy()
    for ring in EYES:
        x, y = mesh[list(ring), :2].mean(0).astype(int)
        image[y - 2 : y + 3, x - 5 : x + 6] = (255, 0, 0)
    return replace(awake, shut=image, shut_mesh=mesh)


def _opening(points: np.ndarray) -> float:
    return float(np.mean([np.linalg.norm(points[upper, :2] - points[lower, :2]) for upper, lower in ((159, 145), (386, 374))]))


def _openings(texture: Texture) -> tuple[float, float]:
    """Of the new face's eyes, for a frame with open eyes that are said to be open, and shut."""
    mesh = texture.meshes[0]
    return tuple(_opening(align.target_vertices(mesh, texture, 0.7, 0.0, closed)) for closed in (0.0, 1.0))


def test_shut_eyes_take_the_shape_of_the_persons_own():
    """As open as the portrait with shut eyes shows them, whatever the frame's mesh says."""
    person = _with_shut_eyes()

    opened, shut = _openings(prepare(person))

    assert shut == pytest.approx(_opening(person.shut_mesh), rel=0.05)
    assert shut < 0.4 * opened


def test_eyes_that_cannot_shut_become_narrow():
    """No lids are invented: the eyes of a person without such a portrait keep a part of their opening, and the texture stays."""
    texture = prepare(_awake())
    opened, shut = _openings(texture)

    assert shut == pytest.approx(align.NARROWEST * opened, rel=0.05)
    assert np.array_equal(texture.face(0, 0.0, 1.0), texture.face(0, 0.0, 0.0))


def test_only_the_eyes_of_the_shut_portrait_are_seen():
    """The texture changes around the eyes and nowhere else."""
    texture = prepare(_with_shut_eyes())
    changed = np.any(texture.face(0, 0.0, 1.0) != texture.face(0, 0.0, 0.0), axis=2)
    near = np.zeros((SIDE_PX, SIDE_PX), bool)
    for ring in (topo.RIGHT_SOCKET, topo.LEFT_SOCKET):
        low, high = texture.layout[list(ring)].min(0).astype(int) - 26, texture.layout[list(ring)].max(0).astype(int) + 26
        near[low[1] : high[1], low[0] : high[0]] = True

    assert changed[near].any()
    assert not changed[~near].any()


@pytest.mark.parametrize(("height", "usual", "shut"), [(0.20, 0.22, False), (0.12, 0.21, False), (0.07, 0.11, False), (0.03, 0.21, True), (0.01, 0.11, True)])
def test_narrow_eyes_are_not_shut(height, usual, shut):
    """What counts is how far the eyes are from what they usually are."""
    reading = closedness(Expression(height, (0.0, 0.0), np.nan), usual)

    assert reading > 0.9 if shut else reading < 0.1


def test_a_fold_of_the_mesh_brings_nothing_from_elsewhere():
    """A triangle that is seen edge on, or from behind, covers no other; each px comes from within its triangle."""
    source = np.array([[0, 0], [100, 0], [0, 100], [300, 300]], np.float32)
    target = np.array([[5, 5], [25, 5], [5, 25], [15, 15]], np.float32)  # the last corner lies on the side of the first triangle

    map_x, map_y, inside = dense_map(target, source, np.array([[0, 1, 2], [1, 3, 2]]), (32, 32), np.array([0, 0, 0, -50], np.float32))

    assert inside[14, 14] & inside[6, 6]
    assert max(map_x[inside].max(), map_y[inside].max()) < 101
