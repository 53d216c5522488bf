"""TransNet V2 (Souček and Lokoč, 2020: an effective deep network architecture for fast shot transition detection), in torch.

For every frame the probability that a shot ends there; gradual changes are marked in their middle. Frames are tiny, 27x48 px. The net
sees windows of 100 frames, of which the middle 50 count; the first and last frame of what is given are repeated at the ends. About
13 ms a frame on one CPU thread.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from faceanon.core.settings import ModelSettings
from faceanon.models import device as devices
from faceanon.models import registry, weights

HEIGHT_PX, WIDTH_PX = 27, 48
_WINDOW, _STEP, _MARGIN = 100, 50, 25
_LOOK = 50  # frames on either side that a frame is compared with
_DILATIONS = (1, 2, 4, 8)


class TransNet:
    """Fulfils analyze's ShotNet: called with n pictures (27, 48, 3) uint8 BGR it gives (n,) float32 0..1."""

    name = "transnetv2"
    model_sha256: tuple[str, ...] = (registry.weight("transnetv2").sha256,)

    def __init__(self, models: ModelSettings, device: str = "cpu") -> None:
        registry.require("transnetv2", models.licences)
        torch.set_num_threads(models.threads)
        self._device = devices.torch_device(device)
        self._net = _Net().to(self._device).eval()
        self._net.load_state_dict(torch.load(weights.path_of("transnetv2"), map_location=self._device, weights_only=True))

    def __call__(self, pictures: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        return self.scores(np.stack(pictures)) if pictures else np.zeros(0, np.float32)

    @torch.inference_mode()
    def scores(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N,) float32 0..1 for frames (N, 27, 48, 3) uint8 BGR."""
        rgb = np.ascontiguousarray(frames[..., ::-1])
        starts = range(0, len(rgb), _STEP)
        rows = [np.clip(np.arange(start - _MARGIN, start - _MARGIN + _WINDOW), 0, len(rgb) - 1) for start in starts]
        parts = [self._net(torch.from_numpy(rgb[row][None]).to(self._device))[0].cpu().numpy() for row in rows]
        middle = [part[_MARGIN : _MARGIN + _STEP] for part in parts]
        return np.concatenate(middle)[: len(rgb)] if middle else np.zeros(0, np.float32)


class _Net(nn.Module):
    """Three stacks of dilated convolutions; likeness of frames by features and by colour; two dense layers."""

    def __init__(self) -> None:
        super().__init__()
        self.SDDCNN = nn.ModuleList([_Stack(3, 16), _Stack(64, 32), _Stack(128, 64)])
        self.frame_sim_layer = _FeatureLikeness(64 + 128 + 256)
        self.color_hist_layer = _ColourLikeness()
        self.fc1 = nn.Linear(3 * 6 * 256 + 128 + 128, 1024)
        self.cls_layer1 = nn.Linear(1024, 1)
        self.cls_layer2 = nn.Linear(1024, 1)  # marks all frames of a gradual change; part of the file, not used here

    def forward(self, frames: Tensor) -> Tensor:
        """(B, T) probabilities for frames (B, T, 27, 48, 3) uint8 RGB."""
        x = frames.permute(0, 4, 1, 2, 3).float() / 255
        features = []
        for stack in self.SDDCNN:
            x = stack(x)
            features.append(x)
        flat = x.permute(0, 2, 3, 4, 1).flatten(2)
        x = torch.cat([self.color_hist_layer(frames), self.frame_sim_layer(features), flat], dim=2)
        return torch.sigmoid(self.cls_layer1(functional.relu(self.fc1(x))))[..., 0]


class _Stack(nn.Module):
    """Two blocks with a short cut round the second, then half the height and width."""

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        self.DDCNN = nn.ModuleList([_Block(channels, filters), _Block(4 * filters, filters)])

    def forward(self, x: Tensor) -> Tensor:
        first = functional.relu(self.DDCNN[0](x))
        x = functional.relu(self.DDCNN[1](first)) + first
        return functional.avg_pool3d(x, (1, 2, 2))


class _Block(nn.Module):
    """The same convolution at four dilations in time, side by side."""

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        for dilation in _DILATIONS:
            setattr(self, f"Conv3D_{dilation}", _Separable(channels, filters, dilation))
        self.bn = nn.BatchNorm3d(4 * filters, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(torch.cat([getattr(self, f"Conv3D_{dilation}")(x) for dilation in _DILATIONS], dim=1))


class _Separable(nn.Module):
    """3x3 in space, then 3 in time."""

    def __init__(self, channels: int, filters: int, dilation: int) -> None:
        super().__init__()
        space = nn.Conv3d(channels, 2 * filters, (1, 3, 3), padding=(0, 1, 1), bias=False)
        time = nn.Conv3d(2 * filters, filters, (3, 1, 1), dilation=(dilation, 1, 1), padding=(dilation, 0, 0), bias=False)
        self.layers = nn.ModuleList([space, time])

    def forward(self, x: Tensor) -> Tensor:
        return self.layers[1](self.layers[0](x))


class _FeatureLikeness(nn.Module):
    """(B, T, 128) from the cosines between a frame's features and those of its neighbours."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.projection = nn.Linear(channels, 128)
        self.fc = nn.Linear(2 * _LOOK + 1, 128)

    def forward(self, features: list[Tensor]) -> Tensor:
        means = torch.cat([x.mean((3, 4)) for x in features], dim=1).transpose(1, 2)  # (B, T, channels)
        return functional.relu(self.fc(_neighbours(self.projection(means))))


class _ColourLikeness(nn.Module):
    """(B, T, 128) from the cosines between histograms of 512 colours."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2 * _LOOK + 1, 128)

    def forward(self, frames: Tensor) -> Tensor:
        level = frames.long() >> 5
        colour = ((level[..., 0] << 6) + (level[..., 1] << 3) + level[..., 2]).flatten(2)  # (B, T, px) 0..511
        counts = torch.zeros(*colour.shape[:2], 512, device=frames.device).scatter_add_(2, colour, torch.ones_like(colour, dtype=torch.float32))
        return functional.relu(self.fc(_neighbours(counts)))


def _neighbours(x: Tensor) -> Tensor:
    """(B, T, 101): cosines of each row of x (B, T, D) with the 50 rows before it, itself and the 50 after; 0 beyond the ends."""
    x = functional.normalize(x, dim=2)
    cosines = functional.pad(x @ x.transpose(1, 2), (_LOOK, _LOOK))
    steps = torch.arange(x.shape[1], device=x.device)[:, None] + torch.arange(2 * _LOOK + 1, device=x.device)[None]
    return cosines.gather(2, steps.expand(len(x), -1, -1))
