"""DeepPrivacy's published checkpoints, read: which tensor belongs where in deepprivacy_published.Generator.

A checkpoint is a torch pickle with an entry "running_average_generator" (else "G") of {transition_step, transition_value, parameters}. Parameters are
found by the published prefixes (from_rgb_new, new_down, core_blocks_down.N, ...), under each prefix in the order in which they are stored, convolution
and bias by turns, and every shape must fit.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from faceanon.core.errors import WeightsUnavailable

ENTRIES = ("running_average_generator", "G")
Groups = dict[str, list[tuple[str, Tensor]]]  # by prefix: names and tensors, in order


def read(path: Path) -> tuple[int, float, Mapping[str, Tensor]]:
    """How often the net was grown, how much of the last time is faded in, and its parameters. Raises WeightsUnavailable."""
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        entry = next(checkpoint[name] for name in ENTRIES if name in checkpoint)
        stored = {name.removeprefix("module."): tensor for name, tensor in entry["parameters"].items()}
        return int(entry["transition_step"]), float(entry["transition_value"]), stored
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError, StopIteration, KeyError, TypeError, ValueError, AttributeError) as error:
        words = f"{type(error).__name__}: {error}".splitlines()[0]
        raise WeightsUnavailable(f"{path} is no checkpoint of DeepPrivacy, with an entry {' or '.join(ENTRIES)}: {words}") from error


def prefix_of(name: str) -> str:
    """The published prefix of a parameter's name."""
    first, *rest = name.split(".")
    return f"{first}.{rest[0]}" if first.startswith("core_blocks") and rest else first


def width_of(stored: Mapping[str, Tensor]) -> int:
    """Channels at 4 px."""
    return next((int(t.shape[0]) for name, t in stored.items() if prefix_of(name) == "core_blocks_up.0" and name.endswith("conv.weight")), 256)


def renamed(net: nn.Module, stored: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Blocks of the way down may be numbered from the largest or from the smallest; whichever fits."""
    wanted, found = _grouped(net.state_dict()), _grouped(stored)
    down = sorted((prefix for prefix in found if prefix.startswith("core_blocks_down")), key=lambda prefix: int(prefix.rpartition(".")[2]))
    turned = {**found, **{prefix: found[other] for prefix, other in zip(down, reversed(down), strict=True)}}
    problems, state = min((_fitted(net, wanted, given) for given in (found, turned)), key=lambda fit: len(fit[0]))
    if problems:
        raise WeightsUnavailable(f"{path} does not fit DeepPrivacy's generator: {'; '.join(sorted(problems))}")
    return state


def _fitted(net: nn.Module, wanted: Groups, found: Groups) -> tuple[list[str], dict[str, Tensor]]:
    """What does not fit, and the state."""
    wrong = [f"missing: {prefix}" for prefix in wanted if prefix not in found and not (prefix.endswith("_old") and net.transition_value >= 1)]
    wrong += [f"unexpected: {prefix}" for prefix in found if prefix not in wanted]
    state = dict(net.state_dict())
    for prefix in wanted.keys() & found.keys():
        own, given = wanted[prefix], found[prefix]
        if len(own) != len(given):
            wrong.append(f"{prefix}: {len(given)} tensors, not {len(own)}: {', '.join(name for name, _ in given)}")
        for (name, want), (their, have) in zip(own, given, strict=False):
            if want.shape != have.shape:
                wrong.append(f"{their}: {tuple(have.shape)}, not {tuple(want.shape)}")
            state[name] = have
    return wrong, state


def _grouped(tensors: Mapping[str, Tensor]) -> Groups:
    """Under each prefix, in order, convolutions before their biases."""
    groups: Groups = {}
    for name, tensor in tensors.items():
        groups.setdefault(prefix_of(name), []).append((name, tensor))
    for prefix, entries in groups.items():
        weights, biases = ([e for e in entries if e[0].endswith(leaf)] for leaf in ("conv.weight", "bias"))
        rest = [e for e in entries if not e[0].endswith(("conv.weight", "bias"))]
        groups[prefix] = [*weights, *biases, *rest]
    return groups
