"""What the nets are told: how far a painted face is from the true one, by px, by the discriminator's and the student's features, and by identity.

Faces painted with somebody else's code have no true picture; they are held to the light of the true one, and the discriminator judges them like the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from faceanon.core import facecrop
from faceanon.models.inpaint_net import Student


@dataclass(frozen=True)
class Weights:
    """Of the generator's terms."""

    pixels: float = 4.0
    matching: float = 2.0  # the discriminator's features
    adversarial: float = 0.5
    features: float = 0.8  # the student's
    identity: float = 0.8
    change: float = 2.0  # of identity, from the face that was there to a stranger
    tone: float = 3.0  # light and colour of faces painted with another's code


def where(hole: Tensor, planes: Tensor) -> Tensor:
    """(N, 1, S, S) how much each px counts: 1, one more in the hole, two more on lips, eyes and brows."""
    if not planes.shape[1]:
        return 1 + hole
    near = functional.max_pool2d(planes.amax(1, keepdim=True), 5, 1, 2)
    return 1 + hole + 2 * near * hole


def pixels(painted: Tensor, true: Tensor, weight: Tensor) -> Tensor:
    return (weight * (painted - true).abs()).mean()


def tone(painted: Tensor, true: Tensor) -> Tensor:
    """Mean distance of light and colour over squares of an eighth of the crop: whoever is painted stands in the light of the place."""
    cell = painted.shape[-1] // 8
    return (functional.avg_pool2d(painted, cell) - functional.avg_pool2d(true, cell)).abs().mean()


def matching(painted: list[Tensor], true: list[Tensor]) -> Tensor:
    """Mean distance of features, each layer over the size of what it sees in the true picture."""
    return sum(((p.float() - t.float()).abs().mean() / t.float().abs().mean().clamp(min=1e-3) for p, t in zip(painted, true, strict=True)), torch.zeros(())) / len(true)


def identity(painted: Tensor, true: Tensor) -> Tensor:
    """1 less the cosine of normalised codes."""
    return (1 - functional.cosine_similarity(painted.float(), true.float())).mean()


def change(painted: Tensor, wanted: Tensor) -> Tensor:
    """How a change (N, D) of identity in pictures falls short of that of the codes: by direction, and by length along it. What the context tells cancels out."""
    painted, wanted = painted.float(), wanted.float()
    length = (painted * wanted).sum(1) / wanted.square().sum(1).clamp(min=1e-3)
    return identity(painted, wanted) + functional.relu(1 - length).mean()


def judge(of_true: Tensor, of_painted: Tensor) -> Tensor:
    """The discriminator's own loss: hinge."""
    return functional.relu(1 - of_true.float()).mean() + functional.relu(1 + of_painted.float()).mean()


def chips(pictures: Tensor) -> Tensor:
    """(N, 3, 64, 64): the embedder's view of crops of any side."""
    x, y, side = (round(v * pictures.shape[-1] / facecrop.SIDE_PX) for v in facecrop.CHIP)
    part = pictures[:, :, y : y + side, x : x + side]
    return functional.interpolate(part, (Student.SIDE_PX,) * 2, mode="bilinear", align_corners=False, antialias=True)
