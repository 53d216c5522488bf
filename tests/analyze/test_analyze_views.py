"""Which views are kept, that they come back as they went in, and that segments do not matter."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from analyze_scenes import FlatMesh, HalfReader, MeanColourEmbedder, RedDiscDetector, busy_clip, segment

from faceanon.analyze.samples import Crop
from faceanon.analyze.segment import LOOKAHEAD, analyze_segment
from faceanon.analyze.views import FACE_PX, ViewKeeper, cell_of, opened
from faceanon.analyze.windows import WINDOW, answering, windows_of
from faceanon.core.settings import Settings

CLIP = busy_clip()
NUM = len(CLIP.images)
SETTINGS = Settings().with_values(detect__width_px=240, detect__far_width_px=480, identity__min_face_px=24)
POINTS = np.array([[4, 4], [12, 4], [8, 8], [5, 12], [11, 12]], np.float32)


def kept(length: int) -> list[tuple]:
    """What the clip's segments of this length keep: (number of the segment, frame, box, JPEG)."""
    rows = []
    for number, start in enumerate(range(0, NUM, length)):
        keeper = ViewKeeper(20)
        models = {"detector": RedDiscDetector(moody=True), "mesh": FlatMesh(), "embedder": MeanColourEmbedder(), "reader": HalfReader()}
        span = segment(start, min(length, NUM - start), number)
        analyze_segment(CLIP.pictures(start, start + length + LOOKAHEAD), span, **models, settings=SETTINGS, keeper=keeper)
        views = keeper.views()
        stops = np.cumsum(views.size)
        rows += [
            (number, int(views.frame[i]), views.box[i].tolist(), views.jpeg[stops[i] - views.size[i] : stops[i]].tobytes()) for i in range(len(views.frame))
        ]
    return rows


@pytest.fixture(scope="module")
def whole():
    return kept(NUM)


def test_a_clip_keeps_one_look_of_each_eight_frames(whole):
    """Cells are eight frames long; of each the first look is kept, with its faces, and no second one."""
    frames = sorted({frame for _, frame, *_ in whole})

    assert len(frames) > 4
    assert len({cell_of(frame) for frame in frames}) == len(frames)


@pytest.mark.parametrize("length", [7, 16, 40])
def test_any_segments_keep_the_same_views(whole, length):
    """The views of all segments together are those of the whole video, and each lies where it will be looked for."""
    parts = kept(length)
    segments = [segment(start, min(length, NUM - start), number) for number, start in enumerate(range(0, NUM, length))]

    assert [row[1:] for row in sorted(parts, key=lambda row: row[1:])] == [row[1:] for row in whole]
    assert all(answering(cell_of(frame), segments) == number for number, frame, *_ in parts)


def test_every_window_has_one_segment_that_answers():
    segments = [segment(start, 10, number) for number, start in enumerate(range(0, 200, 10))]
    answered = [window for one in segments for window in windows_of(one)]

    assert sorted(answered)[: 200 // WINDOW] == list(range(200 // WINDOW))
    assert len(answered) == len(set(answered))


def test_an_hour_has_longer_cells_than_its_beginning():
    """From frame 512 on a cell is 32 frames, two windows, and only the window in which it begins may keep a look."""
    assert [cell_of(frame) for frame in (0, 7, 8, 511, 512, 543, 544)] == [0, 0, 8, 504, 512, 512, 544]
    keeper = ViewKeeper(10)
    box, view = np.array([[10, 10, 26, 26]], np.float32), Crop(np.zeros((40, 40, 3), np.uint8), POINTS, np.array([4, 4, 20, 20], np.float32))
    keeper.add(530, box, [view], range(528, 544))
    assert len(keeper.views().frame) == 0
    for frame in (515, 520):
        keeper.add(frame, box, [view], range(512, 528))
    assert keeper.views().frame.tolist() == [515]
    keeper.add(544, np.zeros((0, 4), np.float32), [], range(544, 560))
    keeper.add(550, box, [view], range(544, 560))
    assert keeper.views().frame.tolist() == [515]


def test_small_faces_are_not_kept_and_large_ones_shrink():
    """Points and box stay on the face; a face that the engine never replaces leaves nothing behind."""
    keeper = ViewKeeper(24)
    image = np.zeros((400, 400, 3), np.uint8)
    image[100:324, 100:324] = 200
    large = Crop(image, POINTS * 14 + 100, np.array([100, 100, 324, 324], np.float32))
    tiny = Crop(image[:40, :40], POINTS, np.array([0, 0, 16, 16], np.float32))
    keeper.add(3, np.array([[0, 0, 224, 224], [300, 0, 316, 16]], np.float32), [large, tiny], range(16))
    keeper.add(9, np.zeros((1, 4), np.float32), [None], range(16))

    views = keeper.views()
    view = opened(views, 0)

    assert views.frame.tolist() == [3]
    assert view.box[2] - view.box[0] == pytest.approx(FACE_PX)
    assert view.points == pytest.approx(large.points / 2, abs=0.01)
    assert view.image[60:150, 60:150].mean() > 195 > view.image[:40].mean()


def test_no_faces_no_views():
    views = ViewKeeper(24).views()

    assert {f.name: len(getattr(views, f.name)) for f in fields(views)} == dict.fromkeys(("frame", "box", "points", "face", "size", "jpeg"), 0)
