"""Trains a small variational autoencoder as CLEANIR's was (Cho, Lee, Kim and Lee, 2020; Appl. Sci. 10(3) 1120): px, divergence, and identity.

The first half of the latent learns to point where the embedder's code of the face points, once codes are made as wide in every direction: then any direction
is somebody's, as it must be to turn an identity towards a random one.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from faceanon.models import cleanir_published as published
from faceanon.models.cleanir_published import OWN, SIDE_PX, Decoder, Encoder, parted
from faceanon.training import baseline, ranks, sheets
from faceanon.training.baseline import View
from faceanon.training.faces import Faces

VIEW = View(published.to_crop, SIDE_PX)


@dataclass(frozen=True)
class Plan:
    """What one training is."""

    steps: int = 10_000
    latent: int = 256  # CLEANIR has 1024
    width: int = 128  # channels of the widest stage; CLEANIR has 256
    batch: int = 32
    seed: int = 1
    rate: float = 1e-3
    average: float = 0.998
    divergence: float = 0.07  # to one of px; CLEANIR's weights, for one picture
    identity: float = 100.0
    bf16: bool = False


class Vae:
    """Fulfils baseline.Recipe."""

    name = OWN

    def __init__(self, plan: Plan, faces: Faces) -> None:
        self._plan, self._faces, self.steps = plan, faces, plan.steps
        self._codes = functional.pad(torch.from_numpy(rounded(faces.codes)), (0, plan.latent // 2 - faces.codes.shape[1]))
        torch.manual_seed(plan.seed)
        self._nets = torch.nn.ModuleList([Encoder(plan.latent, plan.width), Decoder(plan.latent, plan.width)]).to(memory_format=torch.channels_last)
        self._mean = copy.deepcopy(self._nets).eval().requires_grad_(False)
        self._best = torch.optim.Adam(self._nets.parameters(), plan.rate)

    def begin(self, step: int) -> None:
        """It does not grow."""

    def kept(self) -> dict[str, torch.nn.Module | torch.optim.Optimizer]:
        return {"nets": self._nets, "mean": self._mean, "best": self._best}

    def one(self, step: int) -> dict[str, Tensor]:
        plan = self._plan
        for group in self._best.param_groups:
            group["lr"] = plan.rate * baseline.ramp(step) * (0.05 + 0.475 * (1 + math.cos(math.pi * step / plan.steps)))
        random = np.random.default_rng((plan.seed, step, ranks.here()[0]))
        rows = baseline.rows_of(self._faces, random, plan.batch)
        pictures, _ = baseline.draw(self._faces, rows, random, VIEW)
        encoder, decoder = self._nets
        with torch.autocast("cpu", torch.bfloat16, enabled=plan.bf16):
            middle, log_variance = (part.float() for part in encoder(pictures.contiguous(memory_format=torch.channels_last)))
            identity, rest = parted(middle + (log_variance / 2).exp() * baseline.normals(random, *middle.shape))
            new = decoder(torch.cat([identity, rest], 1)).float()
        share, wanted = ((part.clamp(-1, 1) + 1) / 2 for part in (new, pictures))
        terms = {
            "pixels": functional.binary_cross_entropy(share, wanted, reduction="none").sum((1, 2, 3)).mean(),
            "divergence": (middle.square() + log_variance.exp() - 1 - log_variance).sum(1).mean() / 2,
            "identity": (1 - functional.cosine_similarity(identity, self._codes[rows])).mean(),
        }
        baseline.update(self._nets, self._best, terms["pixels"] + plan.divergence * terms["divergence"] + plan.identity * terms["identity"])
        baseline.follow(self._mean, self._nets, plan.average, step)
        return {**{name: term.detach() for name, term in terms.items()}, "off": (new - pictures).abs().mean().detach()}

    def save(self, path: Path) -> None:
        encoder, decoder = self._mean
        published.save(encoder, decoder, path)

    @torch.no_grad()
    def sheet(self, path: Path) -> None:
        """Each row: a face, what comes back, and the face turned by 120 degrees towards three directions."""
        random = np.random.default_rng(0)
        rows = random.choice(len(self._faces), sheets.ROWS)
        pictures, _ = baseline.draw(self._faces, rows, random, VIEW, steady=True)
        encoder, decoder = self._mean
        identity, rest = parted(encoder(pictures)[0])
        turned = [published.turned(identity, code, 120.0) for code in np.eye(3, dtype=np.float32)]
        columns = [pictures, *(decoder(torch.cat([who, rest], 1)) for who in (identity, *turned))]
        cv2.imwrite(str(path), sheets.of_columns([column.flip(1) for column in columns]))


def rounded(codes: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, 128) of unit length: codes without their mean, as wide in every direction; where they are hardly wide at all, less so."""
    apart = codes - codes.mean(0)
    values, vectors = np.linalg.eigh(np.cov(apart.T).astype(np.float64).reshape(codes.shape[1], -1))
    wide = apart @ (vectors / np.sqrt(values.clip(0) + np.median(values) + 1e-6))
    return (wide / np.linalg.norm(wide, axis=1, keepdims=True).clip(1e-6)).astype(np.float32)
