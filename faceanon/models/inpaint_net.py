"""One U-Net that paints a face into a hole: context and pose around it, and an identity code that says whose face.

Both engines that paint with a net use it. As in DeepPrivacy (Hukkelås, Mester and Lindseth, 2019; arXiv 1909.04538) the face is blanked and keypoints say how
it is turned; as in CLEANIR (Cho, Lee, Kim and Lee, 2020) who is seen is a vector of its own. The code acts by adaptive normalisation (Huang and
Belongie, 2017; arXiv 1703.06868), over groups of channels, so that the context's colours survive. All nets are convolutional: the same
weights work at 64 and 128 px. Pictures are (N, 3, S, S) BGR in -1..1; maps of points are (N, K, S/4, S/4).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from faceanon.models import sketch as drawn

CODE = 128
WIDTHS = (32, 64, 128, 192)  # channels at 1/2, 1/4, 1/8 and 1/16 of the crop
CONDITIONINGS = ("sketch", "keypoints")
_STYLE = 192
_GROUP = 16  # channels that are normalised together
_SLOPE = 0.2


def planes_of(conditioning: str) -> tuple[int, int]:
    """Planes at the crop's size and heatmaps at a quarter of it."""
    return (drawn.PLANES, len(drawn.LANDMARKS)) if conditioning == "sketch" else (0, drawn.KEYPOINTS)


def _conv(into: int, out: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(into, out, 3, stride, 1)


class _Styled(nn.Module):
    """Normalised over groups of channels, then scaled and shifted by the style."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.groups = channels // _GROUP
        self.style = nn.Linear(_STYLE, 2 * channels)
        nn.init.normal_(self.style.weight, std=0.05)
        nn.init.zeros_(self.style.bias)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scale, shift = self.style(style)[:, :, None, None].chunk(2, 1)
        return torch.addcmul(shift.to(x.dtype), self._normal(x), 1 + scale.to(x.dtype))

    def _normal(self, x: Tensor) -> Tensor:
        if not torch.jit.is_tracing():
            return functional.group_norm(x, self.groups)
        parts = x.flatten(1).unflatten(1, (self.groups, -1))  # in simple steps: OpenVINO 2026.4 crashes on this operation in f32
        apart = parts - parts.mean(2, keepdim=True)
        return (apart * torch.rsqrt(apart.square().mean(2, keepdim=True) + 1e-5)).reshape(x.shape)


class _Block(nn.Module):
    """Residual, two convolutions, both styled."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = _conv(channels, channels), _conv(channels, channels)
        self.norms = nn.ModuleList([_Styled(channels), _Styled(channels)])
        nn.init.normal_(self.second.weight, std=0.01)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        y = self.first(functional.leaky_relu(self.norms[0](x, style), _SLOPE))
        return x + self.second(functional.leaky_relu(self.norms[1](y, style), _SLOPE))


class Generator(nn.Module):
    """forward(picture, hole, planes, maps, code) gives the whole picture; what `picture` shows where hole is 1 is never read."""

    def __init__(self, conditioning: str = "sketch") -> None:
        super().__init__()
        planes, maps = planes_of(conditioning)
        a, b, c, d = WIDTHS
        self.register_buffer("code_mean", torch.zeros(CODE))
        self.register_buffer("code_scale", torch.ones(1))
        self.mapping = nn.Sequential(nn.Linear(CODE, _STYLE), nn.LeakyReLU(_SLOPE), nn.Linear(_STYLE, _STYLE), nn.LeakyReLU(_SLOPE))
        self.stem = _conv(4 * (4 + planes), a)
        self.down = nn.ModuleList([_conv(a, b, 2), _conv(b, c, 2), _conv(c, d, 2)])
        self.encode = nn.ModuleList([_conv(b + maps, b), _conv(c, c)])
        self.middle = nn.ModuleList([_Block(d), _Block(d)])
        self.up = nn.ModuleList([nn.Conv2d(d, c, 1), nn.Conv2d(c, b, 1), nn.Conv2d(b, a, 1)])
        self.join = nn.ModuleList([_conv(2 * c, c), _conv(2 * b + maps, b), _conv(2 * a, a)])
        self.decode = nn.ModuleList([_Block(c), _Block(b), _Block(a)])
        self.spread = nn.Conv2d(a, 64, 1)  # 16 channels of twice the size
        self.head = nn.Sequential(nn.LeakyReLU(_SLOPE), _conv(16, 16), nn.LeakyReLU(_SLOPE), _conv(16, 3))
        with torch.no_grad():  # all px of a 2x2 start alike, so that no grid is seen (Aitken et al., 2017; arXiv 1707.02937)
            self.spread.weight.copy_(self.spread.weight[::4].repeat_interleave(4, 0))
            self.spread.bias.copy_(self.spread.bias[::4].repeat_interleave(4, 0))

    def normal(self, code: Tensor) -> Tensor:
        """Codes with mean zero and spread one."""
        return (code - self.code_mean) * self.code_scale

    def forward(self, picture: Tensor, hole: Tensor, planes: Tensor, maps: Tensor, code: Tensor) -> Tensor:
        style = self.mapping(self.normal(code))
        seen = torch.cat([torch.where(hole > 0, 0.0, picture), hole.expand(len(picture), -1, -1, -1), planes], 1)
        first = _act(self.stem(functional.pixel_unshuffle(seen, 2).contiguous(memory_format=torch.channels_last)))
        maps = maps.to(first.dtype).contiguous(memory_format=torch.channels_last)
        second = _act(self.encode[0](torch.cat([_act(self.down[0](first)), maps], 1)))
        third = _act(self.encode[1](_act(self.down[1](second))))
        x = self.down[2](third)
        for block in self.middle:
            x = block(x, style)
        for level, skip in enumerate(([third], [second, maps], [first])):
            x = functional.interpolate(self.up[level](x), scale_factor=2, mode="nearest")
            x = self.decode[level](self.join[level](torch.cat([x, *skip], 1)), style)
        return self.head(functional.pixel_shuffle(self.spread(_act(x)), 2))


class Discriminator(nn.Module):
    """Judges patches of a picture beside its planes and maps. Gives the scores (N, 1, S/16, S/16) and what the layers before them saw."""

    def __init__(self, conditioning: str = "sketch") -> None:
        super().__init__()
        planes, maps = planes_of(conditioning)
        sizes = (4 * (3 + planes), 48, 96, 160)
        strides = (1, 2, 2)
        more = (0, 0, maps)
        self.layers = nn.ModuleList(spectral_norm(_conv(i + m, o, s)) for i, o, s, m in zip(sizes, sizes[1:], strides, more, strict=False))
        self.last = spectral_norm(_conv(160, 192, 2))
        self.score = spectral_norm(_conv(192, 1))

    def forward(self, picture: Tensor, planes: Tensor, maps: Tensor) -> tuple[Tensor, list[Tensor]]:
        x = functional.pixel_unshuffle(torch.cat([picture, planes], 1), 2).contiguous(memory_format=torch.channels_last)
        maps = maps.to(x.dtype).contiguous(memory_format=torch.channels_last)
        seen = []
        for number, layer in enumerate(self.layers):
            x = _act(layer(torch.cat([x, maps], 1) if number == 2 else x))
            seen.append(x)
        x = _act(self.last(x))
        return self.score(x), [*seen, x]


class Student(nn.Module):
    """Imitates the embedder on chips (N, 3, 64, 64) in -1..1, so that there is something to differentiate. Gives normalised codes and features."""

    SIDE_PX = 64

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList(_stage(i, o, n) for i, o, n in ((3, 32, 0), (32, 64, 1), (64, 128, 1), (128, 192, 1)))
        self.code = nn.Linear(192 * 16, CODE)

    def forward(self, chips: Tensor) -> tuple[Tensor, list[Tensor]]:
        seen, x = [], chips
        for stage in self.stages:
            x = stage(x)
            seen.append(x)
        return self.code(x.flatten(1)), seen


class _Plain(nn.Module):
    """Residual with batch statistics."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv(channels, channels), nn.BatchNorm2d(channels), nn.LeakyReLU(_SLOPE), _conv(channels, channels), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        return _act(x + self.body(x))


def _stage(into: int, out: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(_conv(into, out, 2), nn.BatchNorm2d(out), nn.LeakyReLU(_SLOPE), *(_Plain(out) for _ in range(blocks)))


def _act(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, _SLOPE)
