"""What a video's analysis does not depend on."""

from dataclasses import fields

import numpy as np
import pytest
from analyze_scenes import FlatMesh, HalfReader, MeanColourEmbedder, RedDiscDetector, busy_clip, segment
from hypothesis import given, settings
from hypothesis import strategies as st

from faceanon.analyze.joining import join
from faceanon.analyze.segment import LOOKAHEAD, analyze_segment
from faceanon.core.settings import Settings

CLIP = busy_clip()
NUM = len(CLIP.images)
SETTINGS = Settings().with_values(detect__width_px=240, detect__far_width_px=480, identity__min_face_px=24)


def analyzed(lengths, **options):
    """The joined analysis of the clip in segments of these lengths, the last one going on to the end."""
    parts, start = [], 0
    lengths = iter(lengths)
    while start < NUM:
        length = min(next(lengths, NUM), NUM - start)
        pictures = CLIP.pictures(start, start + length + LOOKAHEAD)
        models = {"detector": RedDiscDetector(moody=True), "mesh": FlatMesh(), "embedder": MeanColourEmbedder(), "reader": HalfReader(), "settings": SETTINGS}
        parts.append(analyze_segment(pictures, segment(start, length, len(parts)), **models | options))
        start += length
    assert sum(p.num_frames_decoded for p in parts) == NUM
    return join(parts, NUM)


def assert_same(a, b):
    for f in fields(a.detections):
        np.testing.assert_array_equal(getattr(a.detections, f.name), getattr(b.detections, f.name), f.name)
    for f in fields(a.samples):
        np.testing.assert_array_equal(getattr(a.samples, f.name), getattr(b.samples, f.name), f.name)
    np.testing.assert_array_equal(a.cut_frame, b.cut_frame)
    np.testing.assert_array_equal(a.cut_score, b.cut_score)


@pytest.fixture(scope="module")
def whole():
    return analyzed([NUM])


def test_the_trap_is_set(whole):
    """The clip that is cut up holds a cut, followed faces, doubted faces and samples."""
    assert whole.cut_frame.tolist() == [66]
    assert {0, 1} == set(whole.detections.origin.tolist())
    assert np.isfinite(whole.detections.mesh_score).any()
    assert len(whole.samples.row) > 5


@pytest.mark.parametrize("length", [1, 7, 16, 40, 100])
def test_segments_of_one_length_give_the_same_analysis(whole, length):
    """Segments of any one length add up to the analysis of the whole video, array for array."""
    assert_same(whole, analyzed([length] * NUM))


@settings(max_examples=5, deadline=None)
@given(lengths=st.lists(st.sampled_from([1, 5, 16, 17, 31, 48, 90]), min_size=1, max_size=8))
def test_any_segmentation_gives_the_same_analysis(whole, lengths):
    """Wherever the borders lie, the joined arrays are the same."""
    assert_same(whole, analyzed(lengths))


def test_gradual_changes_do_not_depend_on_segments():
    """The optional net sees each window with its neighbours, whoever asks."""

    def net(pictures):
        level = np.array([picture.mean() for picture in pictures])
        return (np.abs(level - np.roll(level, 2)) > 0.6 * np.abs(level - level.mean()).max()).astype(np.float32)

    options = {"settings": SETTINGS.with_values(shots__detector="transnet"), "shot_net": net}
    whole = analyzed([NUM], **options)

    assert len(whole.cut_frame) > 1
    assert_same(whole, analyzed([40] * NUM, **options))
