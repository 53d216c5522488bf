"""Weights that a training goes on from."""

from __future__ import annotations

from pathlib import Path

import torch

from faceanon.models import sketch
from faceanon.models.inpaint_net import WIDTHS, Generator
from faceanon.models.inpainter import conditioning_of, load_generator

# points of the mesh whose heatmaps stand, in a net that was told the sketch, for each keypoint; none tells of shoulders
_NEAR: tuple[tuple[int, ...], ...] = ((1,), (33, 159, 133, 145), (362, 386, 263, 374), (234,), (454,), (), ())


def net_from(path: Path, conditioning: str) -> Generator:
    """The net of a file, in f32. One that was told the sketch goes on with keypoints if that is asked. Raises WeightsUnavailable."""
    if conditioning == "keypoints" and conditioning_of(path) == "sketch":
        return told_keypoints(load_generator(path, "sketch"))
    return load_generator(path, conditioning)


def told_keypoints(net: Generator) -> Generator:
    """The same net without the sketch's planes; a keypoint's heatmap acts as those of the points around it did."""
    new = Generator("keypoints")
    state = net.state_dict()
    state["stem.weight"] = state["stem.weight"][:, : new.stem.in_channels]  # the picture and the hole come first
    for name, before in (("encode.0.weight", WIDTHS[1]), ("join.1.weight", 2 * WIDTHS[1])):
        maps = state[name][:, before:]
        near = [maps[:, [sketch.LANDMARKS.index(point) for point in points]].sum(1, keepdim=True) for points in _NEAR]
        state[name] = torch.cat([state[name][:, :before], *near], 1)
    new.load_state_dict(state)
    return new
