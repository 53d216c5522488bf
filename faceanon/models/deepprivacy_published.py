"""DeepPrivacy's generator as it was published (Hukkelås, Mester and Lindseth, 2019; arXiv 1909.04538), for checkpoints that a user has,
and, narrower, for weights of our own training.

A U-Net grown from 4 to 128 px. Every unit is a convolution of equalised learning rate, LeakyReLU 0.2 and a normalisation over channels; seven keypoints enter as a
one-hot map at each scale, noise at the smallest.

The paper's keypoints came from a body-pose net. Here nose and eyes are the mesh's, ears its points before the ears, and shoulders are where those of
an upright body below the head would be. Crops are upright, where the original took a square along the picture's axes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from faceanon.core import facecrop
from faceanon.core.errors import WeightsUnavailable
from faceanon.core.geometry import similarity
from faceanon.core.settings import ModelSettings
from faceanon.models import deepprivacy_checkpoint as checkpoint
from faceanon.models import halves, registry, sketch, weights
from faceanon.models.given import OURS
from faceanon.models.keyed import normals

OWN = "deepprivacy_paper"  # weights that come with the package
POSES, NOISE = sketch.KEYPOINTS, 32
STEPS = 5  # from 4 px to 128 px
_ZOOM, _MIDDLE = 0.73, (64.0, 71.0)  # of the published crop, which is 1.7 times as large as a face's box, in px of ours
_BOX = (35, 26, 93, 102)  # a face's box in the published crop
_GREY = 128


def channels(side_px: int, start: int) -> int:
    """Of the layers at that size, for a net of that width (256: the paper's 12 M parameters, 512: the large one)."""
    share = {64: 2, 128: 4}.get(side_px, 1)
    return start // share // 8 * 8 if share > 1 else start


class Conv(nn.Module):
    """Weights of unit variance, scaled when they are used, as He et al., 2015, would scale them at the start."""

    def __init__(self, into: int, out: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(into, out, kernel, padding=kernel // 2, bias=False)
        self.bias = nn.Parameter(torch.zeros(1, out, 1, 1))
        nn.init.normal_(self.conv.weight)
        self.scale = (2 / (into * kernel * kernel)) ** 0.5

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.conv.weight * self.scale, self.bias.flatten(), padding=self.conv.padding)


class PixelNorm(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


def _unit(into: int, out: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(Conv(into, out, kernel), nn.LeakyReLU(0.2), PixelNorm())


def _pair(into: int, out: int) -> nn.Sequential:
    return nn.Sequential(_unit(into, out, 3), _unit(out, out, 3))


def _up(into: int, out: int, joined: int) -> nn.Sequential:
    return nn.Sequential(_unit(joined, into, 1), _pair(into, out))


class Generator(nn.Module):
    """forward(pictures (N, 3, R, R) RGB -1..1 with the face grey, keypoints (N, 7, 2) 0..1, noise (N, 32, 4, 4)) gives (N, 3, R, R); R = 4 << steps."""

    def __init__(self, start: int = 256, steps: int = STEPS) -> None:
        super().__init__()
        c = {side: channels(side, start) for side in (4 << k for k in range(steps + 1))}
        self.width, self.side_px = start, 4 << steps
        side = self.side_px
        self.transition_value = 1.0
        self.core_blocks_down = nn.ModuleList([*(_pair(c[4 << k], c[2 << k]) for k in range(steps - 1, 0, -1)), _pair(start, start)])
        self.core_blocks_up = nn.ModuleList(
            [_up(start, start, start + POSES + NOISE), *(_up(c[2 << k], c[4 << k], 2 * c[2 << k] + POSES) for k in range(1, steps))]
        )
        self.from_rgb_new, self.to_rgb_new = _unit(3, c[side], 1), Conv(c[side], 3, 1)
        self.from_rgb_old, self.to_rgb_old = _unit(3, c[side // 2], 1), Conv(c[side // 2], 3, 1)
        self.new_down = _pair(c[side], c[side // 2])
        self.new_up = _up(c[side // 2], c[side], 2 * c[side // 2] + POSES)

    def forward(self, pictures: Tensor, keypoints: Tensor, noise: Tensor) -> Tensor:
        x = skip = self.new_down(self.from_rgb_new(pictures))
        x, skips = functional.avg_pool2d(x, 2), [skip]
        if self.transition_value < 1:
            x = torch.lerp(self.from_rgb_old(functional.avg_pool2d(pictures, 2)), x, self.transition_value)
        for block in self.core_blocks_down[:-1]:
            x = block(x)
            skips.append(x)
            x = functional.avg_pool2d(x, 2)
        x = self.core_blocks_down[-1](x)
        x = self.core_blocks_up[0](torch.cat([x, one_hot(keypoints, 4), noise], 1))
        for block in self.core_blocks_up[1:]:
            x = self._joined(x, skips.pop(), keypoints, block)
        small = x
        new = self.to_rgb_new(self._joined(x, skips.pop(), keypoints, self.new_up))
        if self.transition_value >= 1:
            return new
        return torch.lerp(self.to_rgb_old(functional.interpolate(small, scale_factor=2)), new, self.transition_value)

    @staticmethod
    def _joined(x: Tensor, skip: Tensor, keypoints: Tensor, block: nn.Module) -> Tensor:
        return block(torch.cat([functional.interpolate(x, scale_factor=2), skip, one_hot(keypoints, skip.shape[-1])], 1))


def one_hot(keypoints: Tensor, side_px: int) -> Tensor:
    """(N, 7, R, R): 1 where a keypoint lies; nothing for one outside of the crop."""
    at = (keypoints * side_px).floor().long()
    inside = ((keypoints >= 0) & (keypoints < 1)).all(2)
    maps = torch.zeros(*keypoints.shape[:2], side_px, side_px)
    n, k = torch.nonzero(inside, as_tuple=True)
    maps[n, k, at[n, k, 1], at[n, k, 0]] = 1
    return maps


def to_crop(mesh: NDArray[np.float32]) -> NDArray[np.float32]:
    """(2, 3) picture to crop px: more around the face than in crops of our own nets."""
    points = (facecrop.POINTS - _MIDDLE) * _ZOOM + facecrop.SIDE_PX / 2
    return similarity(facecrop.points_of(mesh), points.astype(np.float32))


def hole(side_px: int = facecrop.SIDE_PX) -> NDArray[np.float32]:
    """(S, S) float32: 1 where the face is blanked, 0 elsewhere. In small crops every px that the box touches is."""
    share = facecrop.SIDE_PX // side_px
    mask = np.zeros((side_px, side_px), np.float32)
    mask[_BOX[1] // share : -(-_BOX[3] // share), _BOX[0] // share : -(-_BOX[2] // share)] = 1
    return mask


def blanked(pictures: Tensor) -> Tensor:
    """Pictures (N, 3, S, S) with a grey box instead of the face."""
    return torch.where(torch.from_numpy(hole(pictures.shape[-1])) > 0, _GREY / 127.5 - 1, pictures)


class PublishedDeepPrivacy:
    """Fulfils core.ports.FaceInpainter. The code is what the noise is drawn from. Without a path, with weights of our own. Raises LicenceRefused, WeightsUnavailable."""

    name = "deepprivacy_published"
    side_px = facecrop.SIDE_PX

    def __init__(self, path: Path | None, models: ModelSettings) -> None:
        if path is None:
            registry.require(OWN, models.licences)
            path = weights.path_of(OWN)
        self._net = load(path)
        if self._net.side_px != self.side_px:
            raise WeightsUnavailable(f"{path} paints {self._net.side_px} px, not yet {self.side_px}")
        torch.set_num_threads(models.threads)

    def to_crop(self, mesh: NDArray[np.float32]) -> NDArray[np.float32]:
        return to_crop(mesh)

    def hole(self) -> NDArray[np.float32]:
        return hole()

    @torch.inference_mode()
    def inpaint(self, crops: NDArray[np.uint8], meshes: NDArray[np.float32], codes: NDArray[np.float32]) -> NDArray[np.uint8]:
        painted = np.empty_like(crops)
        for k, (crop, mesh, code) in enumerate(zip(crops, meshes, codes, strict=True)):
            picture = torch.from_numpy(crop[..., ::-1].astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
            noise = torch.from_numpy(normals(code, NOISE * 16)).reshape(1, NOISE, 4, 4)
            new = self._net(blanked(picture), torch.from_numpy(sketch.keypoints(mesh) / self.side_px)[None], noise)[0]
            painted[k] = ((new.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()[..., ::-1]
        return painted


def save(net: Generator, path: Path) -> None:
    halves.save(net, path, "variant", "paper")


def load(path: Path) -> Generator:
    """From a published checkpoint, or what `save` wrote. Raises WeightsUnavailable with everything that is missing, too much, or of another shape."""
    if path.suffix == OURS:
        halves.require(path, "variant", "paper")
        net = Generator(halves.shape_of(path, "core_blocks_up.0.0.0.conv.weight")[0])
        halves.fill(net, path)
        return net.eval().requires_grad_(False)
    steps, value, stored = checkpoint.read(path)
    if not 1 <= steps <= STEPS:
        raise WeightsUnavailable(f"{path} was grown {steps} times, which is not from 8 to 128 px")
    net = Generator(checkpoint.width_of(stored), steps)
    net.transition_value = value
    net.load_state_dict(checkpoint.renamed(net, stored, path))
    return net.eval().requires_grad_(False)
