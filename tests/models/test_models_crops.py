"""Crops: the right part of the image, without aliasing, and from beyond its edges."""

from __future__ import annotations

import numpy as np
import pytest

from faceanon.models.crops import shrink_warp


def scaled(factor: float, x: float, y: float) -> np.ndarray:
    """(2, 3): the image shrunk by `factor`, with its px (x, y) in the left upper corner."""
    return np.array([[1 / factor, 0, -x / factor], [0, 1 / factor, -y / factor]], np.float32)


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.9, 2.0, 3.3, 7.0])
def test_a_place_stays_in_its_place(factor):
    """A smooth slope comes out as the same slope, whether or not it was averaged on the way."""
    rows, columns = np.mgrid[0:600, 0:600]
    image = np.stack([rows * 0.4, columns * 0.4, np.full((600, 600), 90)], axis=2).astype(np.float32)  # not rounded, so that only places count

    crop = shrink_warp(image, scaled(factor, 30, 50), 64)

    expected_rows = (50 + np.arange(64) * factor) * 0.4
    assert crop.shape == (64, 64, 3)
    assert np.abs(crop[:, 20, 0] - expected_rows).max() < 0.4 * 0.1  # a tenth of a px
    assert crop[..., 2] == pytest.approx(90)


def test_fine_noise_is_averaged_not_sampled():
    """A checkerboard of single px, shrunk eight times, is grey."""
    image = np.repeat(((np.indices((512, 512)).sum(0) % 2) * 255).astype(np.uint8)[..., None], 3, axis=2)

    crop = shrink_warp(image, scaled(8, 0, 0), 64)

    assert np.abs(crop.astype(int) - 127).max() <= 2


@pytest.mark.parametrize("factor", [1.0, 6.0])
def test_beyond_the_edge_is_the_edge(factor):
    """A crop that leaves the image, or lies wholly outside, repeats the border."""
    image = np.full((40, 40, 3), 77, np.uint8)

    partly = shrink_warp(image, scaled(factor, -20, -20), 32)
    wholly = shrink_warp(image, scaled(factor, 900, 900), 32)

    assert (partly == 77).all()
    assert (wholly == 77).all()
