"""The inpainting net at work: crops with a hole, meshes and identity codes in, crops with a new face out. The weights come with the package.

Deterministic: each face is painted on its own, so what it becomes does not depend on its neighbours, with a set number of threads. OpenVINO computes it, in
bfloat16 on a CPU that has it: half the time of f32, and px within two levels of it. CPUs with and without are two device classes.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from faceanon.core import facecrop
from faceanon.core.settings import ModelSettings
from faceanon.models import halves, registry, sketch, weights
from faceanon.models.inpaint_net import CODE, Generator, planes_of
from faceanon.models.openvino_net import compiled


class Inpainter:
    """Fulfils core.ports.FaceInpainter. Raises LicenceRefused, or WeightsUnavailable where `path` holds no weights of this kind."""

    side_px = facecrop.SIDE_PX

    def __init__(self, models: ModelSettings, conditioning: str = "sketch", path: Path | None = None) -> None:
        self.name = f"inpaint_{conditioning}"
        self._conditioning = conditioning
        if path is None:
            registry.require(self.name, models.licences)
            path = weights.path_of(self.name)
        self._net = _compiled(load_generator(path, conditioning), planes_of(conditioning), models.threads)
        torch.set_num_threads(models.threads)
        self._hole = torch.from_numpy(self.hole())[None, None]

    def hole(self) -> NDArray[np.float32]:
        return facecrop.hole(self.side_px)

    @torch.inference_mode()
    def inpaint(self, crops: NDArray[np.uint8], meshes: NDArray[np.float32], codes: NDArray[np.float32]) -> NDArray[np.uint8]:
        painted = np.array(crops, np.uint8)
        inside = self.hole() > 0
        for image, mesh, code in zip(painted, meshes, codes, strict=True):
            picture = torch.where(self._hole > 0, 0.0, to_tensor(image[None]))
            given = (picture, self._hole, *conditions([mesh], self.side_px, self._conditioning), torch.from_numpy(np.array(code[None], np.float32)))
            new = self._net([one.numpy() for one in given])[0]
            image[inside] = _to_image(torch.from_numpy(new))[inside]
        return painted


def _compiled(net: Generator, conditions: tuple[int, int], threads: int) -> Any:
    """For one face at a time. conditions: planes and maps."""
    import openvino

    side, (planes, maps) = facecrop.SIDE_PX, conditions
    shapes = [(1, 3, side, side), (1, 1, side, side), (1, planes, side, side), (1, maps, side // 4, side // 4), (1, CODE)]
    with torch.no_grad(), warnings.catch_warnings():
        for kind in (torch.jit.TracerWarning, DeprecationWarning):  # of sizes, which are always these, and of how OpenVINO asks torch
            warnings.simplefilter("ignore", kind)
        model = openvino.convert_model(net, example_input=tuple(torch.zeros(shape) for shape in shapes), input=shapes)
    return compiled(openvino.Core(), model, threads, precision="bf16")


def to_tensor(images: NDArray[np.uint8]) -> Tensor:
    """(N, 3, S, S) float32 -1..1 of (N, S, S, 3) uint8, laid out channels last."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def conditions(meshes: Sequence[NDArray[np.float32]], side_px: int, conditioning: str) -> tuple[Tensor, Tensor]:
    """planes (N, P, S, S) and maps (N, K, S/4, S/4), 0..1, for meshes (468, 2) px of crops of side_px."""
    if conditioning == "keypoints":
        return torch.zeros(len(meshes), 0, side_px, side_px), torch.from_numpy(np.stack([sketch.heatmaps(sketch.keypoints(m), side_px) for m in meshes]))
    planes = np.stack([sketch.sketch(m, side_px) for m in meshes])
    maps = np.stack([sketch.heatmaps(sketch.landmarks(m), side_px) for m in meshes])
    return torch.from_numpy(planes).float().div_(255), torch.from_numpy(maps)


def _to_image(new: Tensor) -> NDArray[np.uint8]:
    """(S, S, 3) uint8 BGR of (1, 3, S, S)."""
    return np.asarray(((new[0].clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy(), np.uint8)


def save_generator(net: Generator, path: Path, conditioning: str) -> None:
    halves.save(net, path, "conditioning", conditioning)


def conditioning_of(path: Path) -> str:
    """What a file of weights was trained to be told. Raises WeightsUnavailable."""
    return halves.word_of(path, "conditioning")


def load_generator(path: Path, conditioning: str) -> Generator:
    """In f32, ready to paint. Raises WeightsUnavailable where the file is missing or made for another net."""
    halves.require(path, "conditioning", conditioning)
    net = Generator(conditioning)
    halves.fill(net, path)
    return net.to(memory_format=torch.channels_last).eval().requires_grad_(False)
