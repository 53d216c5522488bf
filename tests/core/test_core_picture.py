from __future__ import annotations

import numpy as np
import pytest

from faceanon.core.picture import Picture, PlaneFormat

FORMATS = [
    PlaneFormat(8, (2, 2), False, "bt709"),
    PlaneFormat(8, (2, 1), True, "bt601"),
    PlaneFormat(8, (1, 1), False, "bt601"),
    PlaneFormat(10, (2, 2), False, "bt2020"),
    PlaneFormat(8, None, True, "bt601"),
]


def a_picture(fmt: PlaneFormat, width: int = 51, height: int = 37) -> Picture:
    rng = np.random.default_rng(7)
    kind = np.uint8 if fmt.depth == 8 else np.uint16
    scale = 1 << (fmt.depth - 8)
    luma = rng.integers(60 * scale, 190 * scale, (height, width)).astype(kind)
    if fmt.chroma is None:
        return Picture(0, 0, (luma,), fmt)
    sx, sy = fmt.chroma
    size = (-(-height // sy), -(-width // sx))
    return Picture(0, 0, (luma, *(rng.integers(110 * scale, 140 * scale, size).astype(kind) for _ in range(2))), fmt)


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_paste_changes_nothing_where_alpha_is_zero(fmt):
    """A paste leaves every sample alone that no pixel with alpha touches."""
    picture = a_picture(fmt)
    before = [p.copy() for p in picture.planes]
    alpha = np.zeros((20, 21), np.float32)
    alpha[6:12, 5:13] = 1

    picture.paste(9, 7, np.full((20, 21, 3), (20, 40, 250), np.uint8), alpha)

    sx, sy = fmt.chroma or (1, 1)
    for number, (old, new) in enumerate(zip(before, picture.planes, strict=True)):
        step_x, step_y = (1, 1) if number == 0 else (sx, sy)
        touched = np.zeros(old.shape, bool)
        touched[(7 + 6) // step_y : -(-(7 + 12) // step_y), (9 + 5) // step_x : -(-(9 + 13) // step_x)] = True
        assert np.array_equal(old[~touched], new[~touched])
    assert not np.array_equal(before[0], picture.planes[0])


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_paste_of_its_own_crop_is_nearly_the_identity(fmt):
    """Crop and paste use one colour matrix: what is cropped and pasted back stays within rounding."""
    picture = a_picture(fmt)
    if fmt.chroma is not None:
        for plane in picture.planes[1:]:
            plane[...] = 125 << (fmt.depth - 8)
    before = picture.planes[0].astype(int)

    crop = picture.crop((3, 5, 48, 36))
    picture.paste(3, 5, crop, np.ones(crop.shape[:2], np.float32))

    assert np.abs(picture.planes[0].astype(int) - before).max() <= 3 << (fmt.depth - 8)


def test_painting_a_turned_picture_paints_the_decoder_s_memory():
    """Planes may be views: painting the upright picture paints the coded one."""
    coded = np.zeros((40, 30), np.uint8)
    picture = Picture(0, 0, (np.rot90(coded),), PlaneFormat(8, None, True, "bt601"))

    picture.paste(0, 0, np.full((2, 2, 3), 255, np.uint8), np.ones((2, 2), np.float32))

    assert coded.sum() == 4 * 255
    assert coded[0:2, -2:].min() == 255


def test_a_crop_outside_is_refused():
    """A box that leaves the picture is the caller's mistake, and is said so."""
    with pytest.raises(ValueError, match="outside the picture"):
        a_picture(FORMATS[0]).crop((0, 0, 99, 10))
