"""Parity and leaks on real files: what media describes and samples is what verify asks for."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from verify_cases import BrightSquares, regions

from faceanon.core.settings import Settings
from faceanon.media.clips import write_clip
from faceanon.media.describe import describe, sample_pictures
from faceanon.verify.leak import find_leaks
from faceanon.verify.parity import compare

SOUND = (np.sin(np.arange(24000) / 20).astype(np.float32) * 0.2, 24000)


def images(count: int = 25):
    for number in range(count):
        image = np.full((120, 160, 3), 40, np.uint8)
        cv2.rectangle(image, (20 + number, 30), (60 + number, 80), (230, 230, 230), -1)
        yield image


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("clips") / "source.mp4", images(), audio=SOUND, chapters=[(0, 1, "one")])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, ()),
        ({"count": 24}, ("24 frames",)),
        ({"audio": None}, ("the audio streams none",)),
        ({"rate": 24}, ("frame 24 is shown 1.000000 s",)),
        ({"codec": "mpeg4"}, ("mpeg4 in mp4",)),
        ({"metadata": {"comment": "at home"}}, ("the tag comment",)),
        ({"rotation": 90}, ("rotated by",)),
    ],
)
def test_real_files_are_told_apart(source, tmp_path, changes, says):
    """A second file with one thing changed has exactly that problem first."""
    arguments = {"audio": SOUND, "chapters": [(0, 1, "one")], **changes}
    other = write_clip(tmp_path / "other.mp4", images(arguments.pop("count", 25)), **arguments)

    problems = compare(describe(source), describe(other), Settings())
    assert bool(problems) == bool(says)
    assert all(any(words in p for p in problems) for words in says)


def test_a_leak_in_a_real_file_is_found_in_its_frame(source):
    """Of sampled frames those without a cover over the moving square are leaks, at the right place."""
    covered = regions([(n, 0, (20 + n, 30, 61 + n, 81), 4) for n in range(13)])

    leaks, sampled = find_leaks(sample_pictures(source, None, 0.24), covered, BrightSquares(), Settings().verify)
    assert (sampled, [leak.frame for leak in leaks]) == (5, [18, 24])
    assert np.allclose(leaks[0].box, (38, 30, 79, 81), atol=2)
