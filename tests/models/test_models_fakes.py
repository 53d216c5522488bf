"""The fakes keep the promises of the ports they stand in for."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from faceanon.core.geometry import iou
from faceanon.core.records import Persona
from faceanon.models import fakes
from faceanon.models.fakes import FakeAttributes, FakeDetector, FakeEmbedder, FakeMesh, FakePeople, FakeSegmenter, draw_face

HUES = (0, 60, 120, 240, 300)


def scene() -> tuple[np.ndarray, np.ndarray]:
    image = np.full((200, 460, 3), 110, np.uint8)
    boxes = [draw_face(image, 50 + 90 * i, 100, 60 - 8 * i, hue) for i, hue in enumerate(HUES)]
    return image, np.stack(boxes)


def coded(image: np.ndarray) -> np.ndarray:
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 50])[1], cv2.IMREAD_COLOR)


@pytest.mark.parametrize("change", [lambda image: image, coded], ids=["as drawn", "lossily coded"])
def test_drawn_faces_are_found(change):
    """Every drawn face is found, with a box within two px of the drawing, and nothing else."""
    image, boxes = scene()

    found, points, scores = FakeDetector().detect(change(image))

    assert np.abs(found[np.argsort(found[:, 0])] - boxes).max() <= 2
    assert points.shape == (len(HUES), 5, 2)
    assert (scores > 0.8).all()
    assert (np.diff(scores) <= 0).all()


def test_grey_is_no_face():
    """A picture without colour has no face, no embedding and no mesh."""
    image, box = np.full((50, 50, 3), 90, np.uint8), np.array([10, 10, 40, 40], np.float32)
    points = np.full((5, 2), np.nan, np.float32)

    found, _, _ = FakeDetector().detect(image)

    assert len(found) == 0
    assert FakeMesh().fit(image, points, box)[1] < 0.5
    assert not FakeEmbedder().embed(image, points, box).any()
    assert np.isnan(FakeAttributes().read(image, points, box)[0])


def test_a_hue_is_a_person():
    """Equal hues are one person even after coding, different ones are apart by more than the threshold."""
    image, boxes = scene()
    points = np.full((5, 2), np.nan, np.float32)
    embed = FakeEmbedder().embed

    clean = np.stack([embed(image, points, box) for box in boxes])
    lossy = np.stack([embed(coded(image), points, box) for box in boxes])

    distance = np.linalg.norm(clean[:, None] - lossy[None], axis=2)
    assert np.diag(distance).max() < 0.3
    assert distance[~np.eye(len(HUES), dtype=bool)].min() > 0.6


def test_the_mesh_lies_in_its_box_and_turns():
    """The mesh fills the box; turned eyes turn it."""
    image, boxes = scene()
    box = boxes[0]
    level = box[:2] + fakes.POINTS * (box[2:] - box[:2])
    turned = level.copy()
    turned[1, 1] += turned[1, 0] - turned[0, 0]

    mesh, score = FakeMesh().fit(image, level, box)
    rolled, _ = FakeMesh().fit(image, turned, box)

    around = np.concatenate([mesh[:, :2].min(0), mesh[:, :2].max(0)])[None]
    x, y = rolled[263, :2] - rolled[33, :2]
    assert mesh.shape == (468, 3)
    assert mesh.dtype == np.float32
    assert score > 0.5
    assert iou(around.astype(np.float32), box[None])[0, 0] > 0.7
    assert np.degrees(np.arctan2(y, x)) == pytest.approx(45, abs=2)


def test_fake_people_are_people():
    """A persona always gives the same portrait, whose hue is none of the tests' own and whose mouth opens."""
    persona = Persona(base=2, partner=5, mix=0.3)
    image, boxes = scene()
    points = np.full((5, 2), np.nan, np.float32)

    one, two = FakePeople().portrait(persona), FakePeople().portrait(persona)

    originals = np.stack([FakeEmbedder().embed(image, points, box) for box in boxes])
    assert np.array_equal(one.images[0], two.images[0])
    assert one.openness[0] == pytest.approx(0, abs=0.01)
    assert (np.diff(one.openness) > 0).all()
    assert np.linalg.norm(originals - one.embedding, axis=1).min() > 0.6


def test_the_segmenter_has_the_shape_of_its_picture():
    """The mask is (H, W) float32 0..1."""
    image, _ = scene()

    mask = FakeSegmenter().mask(image)

    assert mask.shape == image.shape[:2]
    assert mask.dtype == np.float32
    assert set(np.unique(mask)) <= {0.0, 1.0}
