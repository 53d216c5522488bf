"""The swap engine with its real models, on synthetic people only: one of them plays the original."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import pytest
from render_scenes import copied

from faceanon.core.facecrop import box_of, points_of
from faceanon.core.geometry import grow
from faceanon.core.picture import Picture, PlaneFormat
from faceanon.core.records import Painted, Persona, RegionTable
from faceanon.core.settings import ModelSettings, RenderSettings
from faceanon.models.embedders import DlibEmbedder
from faceanon.models.fakes import FakeAttributes
from faceanon.models.mesh import TfliteMesh
from faceanon.models.people import SyntheticPeople
from faceanon.render import topology as topo
from faceanon.render.engines import make_engine
from faceanon.render.tryon import LEAST, TryOn

pytestmark = pytest.mark.models

FRAMES = 10


@cache
def _models():
    models = ModelSettings()
    mesh, embedder = TfliteMesh(models), DlibEmbedder(models)
    return mesh, embedder, SyntheticPeople(models, mesh, embedder, FakeAttributes())


@cache
def _person(base: int):
    return _models()[2].portrait(Persona(base, base + 1, 0.3))


def _picture(image: np.ndarray, index: int) -> Picture:
    """image (H, W, 3) BGR as 4:4:4 planes."""
    picture = Picture(index, index, tuple(np.zeros(image.shape[:2], np.uint8) for _ in range(3)), PlaneFormat(8, (1, 1), False, "bt601"))
    picture.paste(0, 0, image, np.ones(image.shape[:2], np.float32))
    return picture


@cache
def _clip() -> tuple[list[np.ndarray], RegionTable]:
    """A synthetic original who opens the mouth, 256 px wide, and the regions of the face."""
    original = _person(0)
    opening = np.linspace(0, len(original.images) - 1, FRAMES).round().astype(int)
    images = [cv2.resize(original.images[v], (256, 256), interpolation=cv2.INTER_AREA) for v in opening]
    meshes = [original.meshes[v] * (256 / original.images[0].shape[0]) for v in opening]
    face = np.stack([box_of(m) for m in meshes])
    points = np.stack([points_of(m) for m in meshes])
    frame, none = np.arange(FRAMES, dtype=np.int32), np.zeros(FRAMES, np.int32)
    byte = np.zeros(FRAMES, np.uint8)
    return images, RegionTable(frame, none, none, face, grow(face, 0.18), points, byte, byte)


def _swap():
    images, table = _clip()
    mesh, embedder, _ = _models()
    engine = make_engine(RenderSettings(), mesh=mesh, embedder=embedder, segmenter=None, portraits={0: _person(5)})
    out = list(engine.paint((_picture(image, i) for i, image in enumerate(images)), table))
    return [(p, rows) for p, rows in out], engine.summary()


@cache
def _swapped():
    return _swap()


def test_the_new_face_is_another_person():
    """The embedder that judges people finds original and new face to be two, and the summary says how far apart."""
    (images, table), (_, embedder, _), (out, (paint,)) = _clip(), _models(), _swapped()

    old = embedder.embed(images[0], table.points[0], table.face[0])
    new = embedder.embed(out[0][0].bgr(), table.points[0], table.face[0])

    assert np.linalg.norm(old - new) > embedder.same_person_distance
    assert paint.num_face == FRAMES
    assert paint.distance_to_original > embedder.same_person_distance


def test_the_new_mouth_opens_when_the_old_one_does():
    """The mouth's openness before and after go together."""
    (images, table), (mesh, _, _), (out, _) = _clip(), _models(), _swapped()
    gaps = [
        [topo.openness(mesh.fit(image, table.points[i], table.face[i])[0]) for i, image in enumerate(pictures)] for pictures in (images, [p.bgr() for p, _ in out])
    ]

    assert np.corrcoef(gaps)[0, 1] > 0.9


def test_the_paint_stays_inside_its_box_and_reaches_the_face():
    """Brows, eyes, nose and mouth are painted over; nothing outside of the reported box changes, hair and background above all."""
    (images, table), (out, _) = _clip(), _swapped()

    for (picture, (row,)), image in zip(out, images, strict=True):
        changed = np.abs(picture.planes[0].astype(int) - _picture(image, 0).planes[0]) > 0
        x0, y0, x1, y1 = row.box
        left, top, right, bottom = table.face[row.frame]
        w, h = right - left, bottom - top
        core = changed[round(top + 0.3 * h) : round(bottom - 0.15 * h), round(left + 0.2 * w) : round(right - 0.2 * w)]
        assert row.painted == Painted.FACE
        assert core.mean() > 0.8
        changed[y0:y1, x0:x1] = False
        assert not changed.any()


def test_real_models_give_the_same_bytes_twice():
    """Same input, same people, same bytes."""
    first, second = _swapped()[0], _swap()[0]

    assert all(np.array_equal(a, b) for (p, _), (q, _) in zip(first, second, strict=True) for a, b in zip(copied(p), copied(q), strict=True))


def _views() -> list[tuple]:
    """The clip's frames, each moved a little in its picture, as views to try faces on."""
    images, table = _clip()
    views = []
    for i, image in enumerate(images):
        shift = np.array([3 * (i % 3), 2 * (i % 4)], np.float32)
        moved = cv2.warpAffine(image, np.column_stack([np.eye(2, dtype=np.float32), shift]), (256, 256), borderMode=cv2.BORDER_REPLICATE)
        views.append((moved, table.points[i] + shift, table.face[i] + np.tile(shift, 2)))
    return views


def test_people_differ_in_how_steady_they_stay_and_one_is_always_as_steady():
    """On the same views two people spread differently, each the same twice; nothing of the views is painted on for good."""
    mesh, embedder, people = _models()
    views = _views()
    before = [image.copy() for image, *_ in views]

    tried = TryOn(views, RenderSettings(), mesh, embedder, people.portrait)
    spreads = [tried.spread(Persona(base, base + 1, 0.3)) for base in (40, 90, 40)]

    assert 0 < tried.original < 0.6
    assert spreads[0] == spreads[2] != spreads[1]
    assert all(0 < spread < 0.6 for spread in spreads)
    assert all(np.array_equal(image, old) for (image, *_), old in zip(views, before, strict=True))


def test_too_few_views_tell_nothing():
    """With a view less than LEAST, or views in which no face can be fitted, the original's spread is unknown."""
    mesh, embedder, people = _models()
    views = _views()
    grey = [(np.full_like(image, 120), points, face) for image, points, face in views]

    for few in (views[: LEAST - 1], [*views[: LEAST - 1], *grey]):
        assert np.isnan(TryOn(few, RenderSettings(), mesh, embedder, people.portrait).original)
