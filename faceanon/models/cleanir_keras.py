"""CLEANIR's published files, read into the nets of cleanir_published.

The files are Keras 2.2 HDF5: encoder.h5 and decoder.h5, of a model or of its weights alone. Layers are read in the order in which they were made (the
number in their names), within a kind: in a residual block the main path's two, then the shortcut's. Kernels are stored (height, width, in, out).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from faceanon.core.errors import WeightsUnavailable

_KINDS = {"conv2d": nn.Conv2d, "dense": nn.Linear, "batch_normalization": (nn.BatchNorm1d, nn.BatchNorm2d)}


def fill(net: nn.Module, path: Path) -> None:
    """Raises WeightsUnavailable with everything that is missing, too much, or of another shape."""
    wrong = []
    stored = _stored(path)
    for kind, types in _KINDS.items():
        own = [(name, module) for name, module in net.named_modules() if isinstance(module, types)]
        given = stored.pop(kind, [])
        wrong += [f"missing: the {kind} for {name}" for name, _ in own[len(given) :]] + [f"unexpected: {name}" for name, _ in given[len(own) :]]
        for (name, module), (their, tensors) in zip(own, given, strict=False):
            wrong += [f"{their}: {problem}" for problem in _put(module, tensors, name)]
    wrong += [f"unexpected: {name}" for entries in stored.values() for name, _ in entries]
    if wrong:
        raise WeightsUnavailable(f"{path} does not fit CLEANIR's {type(net).__name__.lower()}: {'; '.join(wrong)}")


def _put(module: nn.Module, tensors: dict[str, NDArray], name: str) -> Iterator[str]:
    """Copy, and say what does not fit."""
    names = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"} if hasattr(module, "running_mean") else {
        "kernel": "weight", "bias": "bias"}  # fmt: skip
    for theirs, ours in names.items():
        if theirs not in tensors:
            yield f"has no {theirs}, for {name}.{ours}"
            continue
        value = torch.from_numpy(np.ascontiguousarray(tensors[theirs], np.float32))
        if value.ndim == 4:
            value = value.permute(3, 2, 0, 1)  # (height, width, in, out) to (out, in, height, width)
        elif value.ndim == 2:
            value = value.T
        target = getattr(module, ours)
        if value.shape != target.shape:
            yield f"{theirs} {tuple(tensors[theirs].shape)} does not fit {name}.{ours} {tuple(target.shape)}"
            continue
        with torch.no_grad():
            target.copy_(value)


def _stored(path: Path) -> dict[str, list[tuple[str, dict[str, NDArray]]]]:
    """By kind of layer, in the order of making: (layer, its arrays by name). Raises WeightsUnavailable."""
    try:
        import h5py
    except ImportError:
        raise WeightsUnavailable("CLEANIR's published files are HDF5, which needs h5py: pip install 'faceanon[cleanir]'") from None
    layers: dict[str, list[tuple[str, dict[str, NDArray]]]] = {}
    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)
            for name, group in root.items():
                paths: list[str] = []
                group.visit(paths.append)  # a weight lies below its layer's name once more, as in conv2d_1/conv2d_1/kernel:0
                tensors = {inner.rsplit("/", 1)[-1].split(":")[0]: group[inner][()] for inner in paths if isinstance(group[inner], h5py.Dataset)}
                if tensors:
                    layers.setdefault(re.sub(r"_\d+$", "", name), []).append((name, tensors))
    except OSError as error:
        raise WeightsUnavailable(f"{path} is no HDF5 file: {error}") from error
    for entries in layers.values():
        entries.sort(key=lambda entry: int(found[1]) if (found := re.search(r"_(\d+)$", entry[0])) else 0)
    return layers
