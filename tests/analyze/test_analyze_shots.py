"""Cuts in generated clips."""

import cv2
import numpy as np
import pytest
from analyze_scenes import texture

from faceanon.analyze.gradual import gradual_changes
from faceanon.analyze.shots import CONTEXT, ShotScorer
from faceanon.core.errors import SettingsError
from faceanon.core.settings import ShotSettings
from faceanon.evaluation.shots import score_cuts

W, H = 160, 90


def scene(seed, frames, pan_px=0.0):
    """A wide landscape seen through a window that moves, with something crossing it and some noise."""
    rng = np.random.default_rng(seed)
    wide = np.clip(texture(seed, 100 + W + round(pan_px * frames) + 1, H, grain=int(rng.integers(8, 22))).astype(int) + rng.integers(-40, 40, 3), 0, 255).astype(np.uint8)
    images = []
    for f in range(frames):
        x = 100 + pan_px * f
        image = cv2.warpAffine(wide, np.float32([[1, 0, -x], [0, 1, 0]]), (W, H))
        cv2.circle(image, (int(20 + 3 * f) % W, 40 + seed % 30), 12, (200, 180, 60 * (seed % 4)), -1)
        images.append(np.clip(image + rng.normal(0, 2, image.shape), 0, 255).astype(np.uint8))
    return images


def blend(a, b, share):
    return cv2.addWeighted(a, 1 - share, b, share, 0)


def clip_with(kind, seed):
    """(images, first frames of new shots) of one clip in which `kind` happens in the middle."""
    before, after = scene(seed, 40), scene(seed + 500, 40)
    rng = np.random.default_rng(seed)
    if kind == "cut":
        return before[:20] + after[:20], [20]
    if kind == "cut into a pan":
        return before[:20] + scene(seed + 500, 20, pan_px=9), [20]
    if kind == "short shot":
        return before[:16] + after[:6] + scene(seed + 900, 16), [16, 22]
    if kind == "flash":
        length = int(rng.integers(1, 4))
        return before[:18] + [np.full_like(before[0], 245)] * length + before[18:], []
    if kind == "camera flash":
        return before[:18] + [cv2.convertScaleAbs(before[18], alpha=2.2, beta=60)] * 2 + before[20:], []
    if kind == "fade":
        down = [blend(image, np.zeros_like(image), min(1, k / 10)) for k, image in enumerate(before[10:22])]
        up = [blend(np.zeros_like(image), image, min(1, k / 10)) for k, image in enumerate(after[10:22])]
        return before[:10] + down + up + after[22:], []
    if kind == "dissolve":
        length = int(rng.integers(8, 16))
        return before[:12] + [blend(before[12 + k], after[k], k / length) for k in range(length)] + after[length:30], []
    if kind == "fast pan":
        return scene(seed, 40, pan_px=float(rng.integers(12, 34))), []
    return scene(seed, 40, pan_px=1.0), []


KINDS = ("cut", "cut into a pan", "short shot", "flash", "camera flash", "fade", "dissolve", "fast pan", "calm")


def cuts_of(images, **options):
    scorer = ShotScorer(**options)
    found = [cut for index, image in enumerate(images) for cut in scorer.feed_image(index, image)]
    return [frame for frame, _ in found + scorer.finish()]


def test_cuts_are_found_and_nothing_else_is_called_one():
    """On cuts, flashes, fades, dissolves and pans F1 is at least 0.97."""
    scores = []
    for kind in KINDS:
        for seed in range(5):
            images, truth = clip_with(kind, 17 * seed + 3)
            scores.append((kind, score_cuts(kind, cuts_of(images), truth)))

    found, missed, invented = (sum(n) for n in zip(*[(s.found, len(s.missed), len(s.invented)) for _, s in scores], strict=True))
    assert 2 * found / (2 * found + missed + invented) >= 0.97, [(k, s) for k, s in scores if s.missed or s.invented]


def test_a_two_frame_flash_is_no_cut():
    """What looks like before after two white frames is the same shot."""
    calm = scene(5, 40)
    flashed = [*calm[:18], *[np.full_like(calm[0], 250)] * 2, *calm[20:]]

    assert cuts_of(flashed) == []


def test_one_frame_between_two_scenes_makes_two_cuts():
    """A shot of one frame is a shot."""
    images = scene(5, 20) + scene(77, 1) + scene(1234, 20)

    assert cuts_of(images) == [20, 21]


def test_a_flat_colour_that_changes_at_once_is_a_cut():
    """Pictures without structure are told apart by their colour."""
    images = [np.full((H, W, 3), (90, 100, 95), np.uint8)] * 20 + [np.full((H, W, 3), (90, 90, 200), np.uint8)] * 20

    assert cuts_of(images) == [20]


@pytest.mark.parametrize("start", [0, 3, 12, 20 - CONTEXT])
def test_a_decision_needs_only_its_context(start):
    """Whoever starts reading CONTEXT frames before a cut sees the same cut as one who read from the start."""
    images = scene(8, 20) + scene(9, 60)
    scorer = ShotScorer()
    found = [cut for index in range(start, 80) for cut in scorer.feed_image(index, images[index])]

    whole = ShotScorer()
    assert found == [cut for index, image in enumerate(images) for cut in whole.feed_image(index, image)]


def test_the_net_must_be_there_when_it_is_asked_for():
    """Asking for gradual changes without their model is an error of settings."""
    with pytest.raises(SettingsError):
        ShotScorer(ShotSettings(detector="transnet"))


def test_a_run_of_likely_frames_is_one_gradual_change():
    """Its middle belongs to one window, and a hard cut beside it takes its place."""
    thumbnails = {f: np.zeros((27, 48, 3), np.uint8) for f in range(16, 65)}

    def net(pictures):
        return np.array([0.9 if f == 40 else 0.6 if 38 <= f < 43 else 0.0 for f in range(16, 16 + len(pictures))], np.float32)

    assert gradual_changes(net, thumbnails, range(32, 48), []) == [(41, pytest.approx(0.9))]
    assert gradual_changes(net, thumbnails, range(48, 64), []) == []
    assert gradual_changes(net, thumbnails, range(32, 48), [44]) == []
