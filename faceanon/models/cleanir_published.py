"""CLEANIR's encoder and decoder as they were published (Cho, Lee, Kim and Lee, 2020; Appl. Sci. 10(3) 1120), for Keras files that a user has,
and, smaller, for weights of our own training.

A variational autoencoder at 64 px. Half of the latent, normalised, is the identity, the other half everything else. The identity is turned by an angle in a
plane that follows from the person's code; Gram and Schmidt's vector is brought to unit length here, so that the turned identity keeps its length.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from faceanon.core.facecrop import points_of
from faceanon.core.geometry import similarity
from faceanon.core.settings import ModelSettings
from faceanon.models import halves, registry, weights
from faceanon.models.cleanir_keras import fill
from faceanon.models.given import CLEANIR_FILES, OURS
from faceanon.models.keyed import normals

OWN = "cleanir_vae"  # weights that come with the package
SIDE_PX = 64
LATENT, WIDTH = 1024, 256  # numbers of the latent, the first half of them identity; channels of the widest stage
ENCODER, DECODER = (64, 128, 192, 256), (512, 256, 128, 64, 32)  # channels of the stages, the decoder's first being what comes out of its dense layer
_SLOPE, _EPS, _MOMENTUM = 0.2, 1e-3, 0.8
# (5, 2) px of the crop, which is dlib's box of a face: eyes, tip of the nose, corners of the mouth
_POINTS = np.array([[18.8, 16.5], [45.2, 16.5], [32.0, 31.8], [20.8, 43.2], [43.2, 43.2]], np.float32)


def _same(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Padded as Keras pads for "same": what is odd goes behind."""
    total = [max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in x.shape[-2:]]
    return functional.pad(x, (total[1] // 2, total[1] - total[1] // 2, total[0] // 2, total[0] - total[0] // 2))


class Conv(nn.Conv2d):
    """With Keras's padding."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(_same(x, self.kernel_size[0], self.stride[0]))


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=_EPS, momentum=1 - _MOMENTUM)


class Block(nn.Module):
    """Two convolutions beside a shortcut. change: "down" halves, "up" doubles, "" keeps the size and has nothing on the shortcut."""

    def __init__(self, into: int, out: int, change: str) -> None:
        super().__init__()
        self.change = change
        stride = 2 if change == "down" else 1
        self.first, self.first_norm = Conv(into, out, 3, stride), _norm(out)
        self.second, self.second_norm = Conv(out, out, 3), _norm(out)
        if change:
            self.shortcut, self.shortcut_norm = Conv(into, out, 3, stride), _norm(out)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.interpolate(x, scale_factor=2) if self.change == "up" else x
        y = functional.leaky_relu(self.first_norm(self.first(x)), _SLOPE)
        y = functional.leaky_relu(self.second_norm(self.second(y)), _SLOPE)
        return functional.leaky_relu(y + (self.shortcut_norm(self.shortcut(x)) if self.change else x), _SLOPE)


class Encoder(nn.Module):
    """(N, 3, 64, 64) RGB -1..1 to mean and log-variance (N, L)."""

    def __init__(self, latent: int = LATENT, width: int = WIDTH) -> None:
        super().__init__()
        stages = _narrowed(ENCODER, width)
        self.stem, self.stem_norm = Conv(3, stages[0], 7, 2), _norm(stages[0])
        before = (stages[0], *stages)
        self.blocks = nn.ModuleList(b for i, o in zip(before, stages, strict=False) for b in (Block(i, o, "down"), Block(o, o, "")))
        self.dense, self.dense_norm = nn.Linear(stages[-1], latent), nn.BatchNorm1d(latent, eps=_EPS, momentum=1 - _MOMENTUM)
        self.mean, self.log_variance = nn.Linear(latent, latent), nn.Linear(latent, latent)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        x = functional.leaky_relu(self.stem_norm(self.stem(pictures)), _SLOPE)
        for block in self.blocks:
            x = block(x)
        x = self.dense_norm(functional.leaky_relu(self.dense(x.mean((2, 3))), _SLOPE))
        return self.mean(x), self.log_variance(x)


class Decoder(nn.Module):
    """(N, L) identity and attributes to (N, 3, 64, 64) RGB -1..1."""

    def __init__(self, latent: int = LATENT, width: int = WIDTH) -> None:
        super().__init__()
        stages = _narrowed(DECODER, width)
        self.dense = nn.Linear(latent, 16 * stages[0])
        self.blocks = nn.ModuleList(b for i, o in pairwise(stages) for b in (Block(i, o, "up"), Block(o, o, "")))
        self.out = Conv(stages[-1], 3, 7)

    def forward(self, latent: Tensor) -> Tensor:
        x = functional.leaky_relu(self.dense(latent), _SLOPE)
        x = x.reshape(len(x), 4, 4, -1).permute(0, 3, 1, 2)  # Keras lays out channels last
        for block in self.blocks:
            x = block(x)
        return torch.tanh(self.out(x))


def _narrowed(stages: tuple[int, ...], width: int) -> tuple[int, ...]:
    return tuple(channels * width // WIDTH for channels in stages)


def parted(latent: Tensor) -> tuple[Tensor, Tensor]:
    """(N, L) as identity (N, L/2), of unit length, and all else (N, L/2)."""
    identity, rest = latent.chunk(2, 1)
    return functional.normalize(identity), rest


def turned(identity: Tensor, code: NDArray[np.float32], angle_degrees: float) -> Tensor:
    """Identities (N, D) of unit length, turned in the plane that the code draws with each."""
    drawn = torch.from_numpy(normals(code, identity.shape[1]))[None]
    across = functional.normalize(drawn - (drawn * identity).sum(1, keepdim=True) * identity)
    angle = np.radians(angle_degrees)
    return identity * float(np.cos(angle)) + across * float(np.sin(angle))


class PublishedCleanir:
    """Fulfils core.ports.FaceInpainter, but for its promise: this net sees the face. The whole crop is painted anew. Without a path, with weights of our own."""

    name = "cleanir_published"
    side_px = SIDE_PX
    sees_face = True

    def __init__(self, path: Path | None, angle_degrees: float, models: ModelSettings) -> None:
        if path is None:
            registry.require(OWN, models.licences)
            path = weights.path_of(OWN)
        self._encoder, self._decoder = load(path)
        self._angle = angle_degrees
        torch.set_num_threads(models.threads)

    def to_crop(self, mesh: NDArray[np.float32]) -> NDArray[np.float32]:
        return to_crop(mesh)

    def hole(self) -> NDArray[np.float32]:
        return np.ones((SIDE_PX, SIDE_PX), np.float32)

    @torch.inference_mode()
    def inpaint(self, crops: NDArray[np.uint8], meshes: NDArray[np.float32], codes: NDArray[np.float32]) -> NDArray[np.uint8]:
        painted = np.empty_like(crops)
        for k, (crop, code) in enumerate(zip(crops, codes, strict=True)):
            picture = torch.from_numpy(crop[..., ::-1].astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
            latent, _ = self._encoder(picture)
            identity, rest = parted(latent)
            new = self._decoder(torch.cat([turned(identity, code, self._angle), rest], 1))[0]
            painted[k] = ((new + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()[..., ::-1]
        return painted


def to_crop(mesh: NDArray[np.float32]) -> NDArray[np.float32]:
    """(2, 3) picture to crop px."""
    return similarity(points_of(mesh), _POINTS)


def save(encoder: Encoder, decoder: Decoder, path: Path) -> None:
    halves.save(_both(encoder, decoder), path, "variant", "vae")


def load(path: Path) -> tuple[Encoder, Decoder]:
    """From the folder of encoder.h5 and decoder.h5, or what `save` wrote. Raises WeightsUnavailable with everything that is missing, too much, or of another shape."""
    if path.suffix == OURS:
        halves.require(path, "variant", "vae")
        latent, width = halves.shape_of(path, "encoder.dense.weight")
        nets = Encoder(latent, width), Decoder(latent, width)
        halves.fill(_both(*nets), path)
    else:
        nets = Encoder(), Decoder()
        for net, name in zip(nets, CLEANIR_FILES, strict=True):
            fill(net, path / name)
    for net in nets:
        net.eval().requires_grad_(False)
    return nets


def _both(encoder: Encoder, decoder: Decoder) -> nn.ModuleDict:
    return nn.ModuleDict({"encoder": encoder, "decoder": decoder})
