"""Fades and dissolves, for those who ask for them: a net's probabilities read as changes of shot.

The net sees one window of the video and its neighbours at a time, so that what it says does not depend on how the video is segmented.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from faceanon.analyze.shots import ShotNet
from faceanon.core.picture import Image

CHANGE = 0.5  # probability of a change
APART_FRAMES = 8  # a gradual change so near a hard cut is that cut
_NET_SIZE = (48, 27)  # width, height px


def thumbnail(image: Image) -> NDArray[np.uint8]:
    """(27, 48, 3) uint8 BGR, as the net takes it."""
    return cv2.resize(image, _NET_SIZE, interpolation=cv2.INTER_AREA)


def gradual_changes(net: ShotNet, thumbnails: dict[int, NDArray[np.uint8]], window: range, hard_cuts: list[int]) -> list[tuple[int, float]]:
    """(first frame after the middle of a change, probability) for changes whose middle lies in `window`.

    Each run of probabilities above CHANGE is one change; its middle is its highest frame.
    """
    frames = sorted(thumbnails)
    likely = np.asarray(net([thumbnails[f] for f in frames]), np.float32)  # (n,) 0..1
    changes = []
    edges = np.flatnonzero(np.diff(np.concatenate([[False], likely >= CHANGE, [False]]).astype(np.int8)))
    for start, stop in edges.reshape(-1, 2):
        peak = int(start + np.argmax(likely[start:stop]))
        first = frames[peak] + 1
        if first in window and all(abs(first - cut) > APART_FRAMES for cut in hard_cuts):
            changes.append((first, float(likely[peak])))
    return changes
