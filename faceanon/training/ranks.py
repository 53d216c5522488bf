"""One process, or one of those that torchrun started: gloo on CPUs."""

from __future__ import annotations

import os
from collections.abc import Iterable

import torch
from torch import Tensor, distributed


def join(threads: int) -> bool:
    """Whether this process is the first; it computes with so many threads."""
    torch.set_num_threads(threads)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        distributed.init_process_group("gloo")
    return here()[0] == 0


def here() -> tuple[int, int]:
    """This rank's number, and how many there are."""
    return (distributed.get_rank(), distributed.get_world_size()) if distributed.is_initialized() else (0, 1)


def wait() -> None:
    """Until all ranks are here."""
    if distributed.is_initialized():
        distributed.barrier()


def leave() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()


def average(gradients: Iterable[Tensor | None]) -> None:
    """In place, over all ranks."""
    _, count = here()
    if count == 1:
        return
    for gradient in gradients:
        if gradient is not None:
            distributed.all_reduce(gradient)
            gradient /= count
