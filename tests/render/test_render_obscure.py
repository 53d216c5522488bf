"""What obscuring promises: enough is gone, nothing else is touched, every region is painted."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest
from render_scenes import FORMATS, copied, noise_picture, regions

from faceanon.core.geometry import grow
from faceanon.core.picture import Picture
from faceanon.core.records import Method, Painted, RegionTable
from faceanon.core.settings import RenderSettings
from faceanon.render.engines import make_engine
from faceanon.render.obscure import CELLS, FADE, obscure, painted_box, whole_cover

HOWS = sorted(CELLS)


@pytest.mark.parametrize("how", HOWS)
def test_two_textures_with_the_same_cell_means_give_the_same_paint(how):
    """What is left of a face is its few cells: two that differ only within cells are one and the same afterwards."""
    pictures = [noise_picture(200, 200, FORMATS[3], seed=s) for s in (1, 2)]
    faces = [np.array([40, 40, 40 + side, 40 + side], np.float32) for side in range(80, 120)]
    boxes = [painted_box(pictures[0], whole_cover(face, face)) for face in faces]
    face, box = next((f, b) for f, b in zip(faces, boxes, strict=True) if (b[2] - b[0]) % 24 == 0)  # cells end between px
    cells = CELLS[how]
    for picture in pictures:
        for plane in range(3):
            part = picture.plane_box(plane, box)
            part[...] = _with_flat_means(part, cells)
    before = [p.plane_box(0, box).copy() for p in pictures]

    for picture in pictures:
        obscure(picture, face, face, how)

    inside = slice(50, 126)
    assert np.abs(before[0].astype(int) - before[1]).mean() > 20
    for a, b in zip(pictures[0].planes, pictures[1].planes, strict=True):
        assert np.abs(a[inside, inside].astype(int) - b[inside, inside]).max() == 0


def _with_flat_means(part: np.ndarray, cells: int) -> np.ndarray:
    """Noise of the values 64 and 192 in equal numbers in every cell, shuffled."""
    out = np.empty_like(part)
    edges = np.linspace(0, part.shape[0], cells + 1).astype(int)
    random = np.random.default_rng(int(part.astype(int).sum()))
    for y0, y1 in pairwise(edges):
        for x0, x1 in pairwise(edges):
            values = np.resize(np.array([64, 192], part.dtype), (y1 - y0) * (x1 - x0))
            random.shuffle(values)
            out[y0:y1, x0:x1] = values.reshape(y1 - y0, x1 - x0)
    return out


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("size", [12, 40, 160, 400])
def test_the_cells_across_a_face_never_grow_with_its_size(how, size):
    """A larger face does not leave more detail: shrunk to 16 px and enlarged again, the paint is what it was."""
    picture = noise_picture(600, 600, FORMATS[3])
    face = np.array([100, 100, 100 + size, 100 + size], np.float32)

    obscure(picture, face, grow(face[None], 0.18)[0], how)

    part = picture.plane_box(0, (100, 100, 100 + size, 100 + size)).astype(np.float32)
    few = cv2.resize(part, (min(16, size), min(16, size)), interpolation=cv2.INTER_AREA)
    again = cv2.resize(few, (size, size), interpolation=cv2.INTER_LINEAR)
    assert np.abs(again - part).mean() < 4


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
@pytest.mark.parametrize("how", HOWS)
def test_nothing_outside_the_reported_box_changes_and_the_cover_does(how, fmt):
    """In every pixel format the whole face is painted over and no sample outside the box that was reported."""
    picture = noise_picture(151, 113, fmt)
    before = copied(picture)
    face = np.array([50, 30, 90, 80], np.float32)
    cover = grow(face[None], 0.18)[0]

    x0, y0, x1, y1 = obscure(picture, face, cover, how)

    wide = (FADE + 0.02) * (cover[2:] - cover[:2]) / 2 + 4
    assert np.all(np.array([x0, y0]) >= cover[:2] - wide)
    assert np.all(np.array([x1, y1]) <= cover[2:] + wide)
    for plane, old in zip(picture.planes, before, strict=True):
        sx, sy = (1, 1) if plane.shape == before[0].shape else fmt.chroma
        changed = plane != old
        outside = changed.copy()
        outside[y0 // sy : -(-y1 // sy), x0 // sx : -(-x1 // sx)] = False
        assert not outside.any()
        assert changed[30 // sy : 80 // sy, 50 // sx : 90 // sx].mean() > 0.95
        assert plane.max() < 1 << fmt.depth


@pytest.mark.parametrize(
    "box", [(-20, -20, 15, 18), (140, 100, 400, 300), (-50, 20, 300, 40), (-90, -90, -40, -40), (30, 30, 30, 60), (20, 20, 21, 21), (np.nan, 0, 4, 4)], ids=str
)
@pytest.mark.parametrize("how", HOWS)
def test_regions_over_the_border_are_painted_and_empty_ones_do_no_harm(how, box):
    """What of a region lies inside the picture is painted; what lies outside, or is empty, changes nothing and fails nothing."""
    picture = noise_picture(161, 121)
    before = copied(picture)
    face = np.array(box, np.float32)

    x0, y0, x1, y1 = obscure(picture, face, face, how)

    assert 0 <= x0 <= x1 <= 161
    assert 0 <= y0 <= y1 <= 121
    part = np.s_[max(0, int(box[1])) : max(0, int(box[3])), max(0, int(np.nan_to_num(box[0], nan=161))) : max(0, int(box[2]))]
    if before[0][part].size:
        assert (picture.planes[0] != before[0])[part].mean() > 0.9
    if (x0, y0, x1, y1) == (0, 0, 0, 0):
        assert all(np.array_equal(a, b) for a, b in zip(picture.planes, before, strict=True))


def test_grey_stays_grey():
    """A picture without colour gets none by being obscured."""
    picture = noise_picture(96, 96)
    for plane in picture.planes[1:]:
        plane[...] = 128

    obscure(picture, np.array([20, 20, 70, 70], np.float32), np.array([15, 15, 75, 75], np.float32))

    assert all((plane == 128).all() for plane in picture.planes[1:])


def test_planes_seen_through_turned_views_are_painted_too():
    """A rotated video's planes are views with negative strides; the paint goes through them."""
    upright = noise_picture(64, 48, FORMATS[3])
    turned = Picture(0, 0, tuple(np.rot90(p, 2) for p in upright.planes), upright.format)
    before = copied(turned)

    obscure(turned, np.array([10, 10, 40, 40], np.float32), np.array([8, 8, 42, 42], np.float32))

    assert (turned.planes[0] != before[0])[12:38, 12:38].mean() > 0.9
    assert np.array_equal(np.rot90(turned.planes[0], 2), upright.planes[0])


@pytest.mark.parametrize("engine", ["blur", "pixelate", "fill"])
def test_each_region_gives_one_row_and_repairs_are_always_obscured(engine):
    """Each region of a frame ends painted, with one row; OBSCURE and REPAIR are hidden in their own colours whatever the engine."""
    table = RegionTable.concatenate(
        [
            regions([0, 1], [(10, 10, 40, 40)] * 2, [0, 0]),
            regions([1], [(50, 50, 80, 80)], [1], Method.REPAIR),
            regions([1, 2], [(80, 10, 110, 40)] * 2, [2, 2], Method.OBSCURE),
        ]
    )
    painter = make_engine(RenderSettings(engine=engine), mesh=None, embedder=None, segmenter=None, portraits={})

    out = list(painter.paint((noise_picture(120, 90, index=i) for i in range(4)), table))

    assert [p.index for p, _ in out] == [0, 1, 2, 3]
    assert [[r.track for r in rows] for _, rows in out] == [[0], [0, 1, 2], [2], []]
    assert [[r.painted for r in rows] for _, rows in out][1] == [Painted.FACE, Painted.OBSCURED, Painted.OBSCURED]
    assert [(t.track, t.num_face, t.num_obscured) for t in painter.summary()] == [(0, 2, 0), (1, 0, 1), (2, 0, 2)]
