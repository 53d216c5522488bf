"""The discriminator of DeepPrivacy's paper (Hukkelås, Mester and Lindseth, 2019; arXiv 1909.04538), and how its nets grow.

Progressive growing (Karras et al., 2018; arXiv 1710.10196): layers for twice the size are new, the others go on, and what the new ones say is faded in.
The discriminator sees a picture beside the same picture with its face blanked, and the pose at each scale.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from faceanon.models.deepprivacy_published import POSES, Conv, Generator, channels, one_hot


def _unit(into: int, out: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(Conv(into, out, kernel), nn.LeakyReLU(0.2))


class Judge(nn.Module):
    """forward(pictures, blanked (N, 3, R, R), keypoints (N, 7, 2)) gives (N,) logits; R = 4 << steps."""

    def __init__(self, start: int, steps: int) -> None:
        super().__init__()
        self.start, self.steps, self.transition_value = start, steps, 1.0
        width = int(start * 2**0.5) // 8 * 8
        c = {side: channels(side, width) for side in (4 << k for k in range(steps + 1))}
        side = 4 << steps
        self.from_rgb_new, self.from_rgb_old = _unit(6, c[side], 1), _unit(6, c[side // 2], 1)
        levels = (4 << k for k in range(steps, 0, -1))
        self.blocks = nn.ModuleList(nn.Sequential(_unit(c[r] + POSES, c[r], 3), _unit(c[r], c[r // 2], 3)) for r in levels)
        self.last = _unit(width + POSES, width, 3)
        self.score = nn.Sequential(_unit(16 * width, width, 1), Conv(width, 1, 1))  # over all 4 x 4 px

    def forward(self, pictures: Tensor, blanked: Tensor, keypoints: Tensor) -> Tensor:
        seen = torch.cat([pictures, blanked], 1)
        x = self.from_rgb_new(seen)
        for number, block in enumerate(self.blocks):
            x = functional.avg_pool2d(block(_posed(x, keypoints)), 2)
            if number == 0 and self.transition_value < 1:
                x = torch.lerp(self.from_rgb_old(functional.avg_pool2d(seen, 2)), x, self.transition_value)
        return self.score(self.last(_posed(x, keypoints)).flatten(1)[:, :, None, None]).flatten()


def _posed(x: Tensor, keypoints: Tensor) -> Tensor:
    return torch.cat([x, one_hot(keypoints, x.shape[-1]).to(x.dtype)], 1)


def grown_generator(net: Generator, steps: int) -> Generator:
    """Grown so many times; what is new is untrained, and its colours begin as grey, not as noise."""
    while net.side_px < 4 << steps:
        new = Generator(net.width, (net.side_px // 4).bit_length())
        new.core_blocks_down = nn.ModuleList([net.new_down, *net.core_blocks_down])
        new.core_blocks_up = nn.ModuleList([*net.core_blocks_up, net.new_up])
        new.from_rgb_old, new.to_rgb_old = net.from_rgb_new, net.to_rgb_new
        nn.init.zeros_(new.to_rgb_new.conv.weight)
        net = new
    return net


def grown_judge(net: Judge, steps: int) -> Judge:
    while net.steps < steps:
        new = Judge(net.start, net.steps + 1)
        new.blocks = nn.ModuleList([new.blocks[0], *net.blocks])
        new.last, new.score, new.from_rgb_old = net.last, net.score, net.from_rgb_new
        net = new
    return net
