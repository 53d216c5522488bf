"""Trains the generator of DeepPrivacy's paper: grown from 8 to 128 px, each size faded in.

Unlike the paper: logistic losses, the discriminator held by its gradient at true pictures (Mescheder et al., 2018; arXiv 1801.04406) instead of the
Wasserstein loss, which is slow; px of the true picture count as well; what is judged shows the true context around the box; and rates are those of a
training of thousands of steps, not of millions: weights of unit variance would hardly move at the paper's .00175.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from faceanon.models import deepprivacy_published as published
from faceanon.models.deepprivacy_published import NOISE, OWN, STEPS, Generator
from faceanon.training import baseline, ranks, sheets
from faceanon.training.baseline import View
from faceanon.training.faces import Faces
from faceanon.training.paper_nets import Judge, grown_generator, grown_judge

VIEW = View(published.to_crop, published.PublishedDeepPrivacy.side_px)
BETAS = (0.5, 0.99)
_AROUND = 0.1  # what a px beside the box counts, to one in it
_HELD_EVERY = 8  # steps between looks at the discriminator's gradient


@dataclass(frozen=True)
class Plan:
    """What one training is."""

    steps: int = 10_000
    width: int = 64  # channels at 4 px; the paper has 256
    batch: int = 16  # of one rank up to 32 px; half of it at 64, a quarter at 128
    seed: int = 1
    shares: tuple[float, ...] = (0.12, 0.17, 0.15, 0.19, 0.37)  # of the steps, at 8, 16, 32, 64 and 128 px
    fade: float = 0.3  # share of a size's steps over which it is faded in
    rate: float = 1e-2
    average: float = 0.995
    pixels: float = 4.0
    adversarial: float = 0.2
    held: float = 5.0
    bf16: bool = False

    def at(self, step: int) -> tuple[int, int, float]:
        """How often the nets are grown by then, 1 to STEPS, how many steps ago, and how much of that is faded in."""
        ends = [round(self.steps * sum(self.shares[: k + 1]) / sum(self.shares)) for k in range(STEPS)]
        grown = next((k for k, end in enumerate(ends, 1) if step < end), STEPS)
        begin = ends[grown - 2] if grown > 1 else 0
        faded = (step + 1 - begin) / max(1.0, self.fade * (ends[grown - 1] - begin))
        return grown, step - begin, min(1.0, faded) if grown > 1 else 1.0


class Paper:
    """Fulfils baseline.Recipe."""

    name = OWN

    def __init__(self, plan: Plan, faces: Faces) -> None:
        self._plan, self._faces, self.steps = plan, faces, plan.steps
        self._rank = ranks.here()[0]
        torch.manual_seed(plan.seed)
        self._net, self._judge = Generator(plan.width, 1), Judge(plan.width, 1)
        self._mean = copy.deepcopy(self._net)
        self._optimise()

    def _optimise(self) -> None:
        self._best, self._best_judge = (torch.optim.Adam(net.parameters(), self._plan.rate, BETAS) for net in (self._net, self._judge))

    def begin(self, step: int) -> None:
        grown, _, faded = self._plan.at(step)
        if grown > self._judge.steps:
            torch.manual_seed(self._plan.seed + grown)
            self._net, self._judge = grown_generator(self._net, grown), grown_judge(self._judge, grown)
            old, self._mean = self._mean, copy.deepcopy(self._net)
            for name, value in grown_generator(old, grown).state_dict().items():  # what is new in the average is as new as in the net
                if not name.startswith(("new_", "from_rgb_new", "to_rgb_new")):
                    self._mean.state_dict()[name].copy_(value)
            self._optimise()
        for net in (self._net, self._judge, self._mean):
            net.transition_value = faded

    def kept(self) -> dict[str, torch.nn.Module | torch.optim.Optimizer]:
        return {"net": self._net, "mean": self._mean, "judge": self._judge, "best": self._best, "best_judge": self._best_judge}

    def one(self, step: int) -> dict[str, Tensor]:
        plan, side = self._plan, self._net.side_px
        random = np.random.default_rng((plan.seed, step, self._rank))
        count = max(1, plan.batch // max(1, side // 32))
        pictures, points = baseline.draw(self._faces, baseline.rows_of(self._faces, random, count), random, VIEW)
        pictures = functional.avg_pool2d(pictures, VIEW.side_px // side).contiguous(memory_format=torch.channels_last)
        hole, context, noise = torch.from_numpy(published.hole(side)), published.blanked(pictures), baseline.normals(random, count, NOISE, 4, 4)
        _, within, _ = plan.at(step)
        for optimiser in (self._best, self._best_judge):
            for group in optimiser.param_groups:
                group["lr"] = plan.rate * baseline.ramp(within) * (0.1 + 0.45 * (1 + math.cos(math.pi * step / plan.steps)))
        with torch.autocast("cpu", torch.bfloat16, enabled=plan.bf16):
            raw = self._net(context, points, noise).float()
        painted = torch.where(hole > 0, raw, pictures)
        terms = self._teach_judge(step, pictures, painted.detach(), context, points)
        self._judge.requires_grad_(False)
        terms["adversarial"] = functional.softplus(-self._judged(painted, context, points)).mean()
        self._judge.requires_grad_(True)
        weight = hole + _AROUND
        terms["pixels"] = (weight * (raw - pictures).abs()).mean() / weight.mean()
        baseline.update(self._net, self._best, plan.pixels * terms["pixels"] + plan.adversarial * terms["adversarial"])
        baseline.follow(self._mean, self._net, plan.average, within)
        return {"side_px": torch.tensor(side), **{name: term.detach() for name, term in terms.items()}}

    def _judged(self, pictures: Tensor, context: Tensor, points: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=self._plan.bf16):
            return self._judge(pictures, context, points).float()

    def _teach_judge(self, step: int, true: Tensor, painted: Tensor, context: Tensor, points: Tensor) -> dict[str, Tensor]:
        loss = functional.softplus(-self._judged(true, context, points)).mean() + functional.softplus(self._judged(painted, context, points)).mean()
        total, terms = loss, {"judge": loss}
        if step % _HELD_EVERY == 0:
            true = true.detach().requires_grad_(True)
            slope = torch.autograd.grad(self._judge(true, context, points).sum(), true, create_graph=True)[0]
            terms["held"] = slope.square().sum((1, 2, 3)).mean()
            total = loss + self._plan.held * _HELD_EVERY / 2 * terms["held"]
        baseline.update(self._judge, self._best_judge, total)
        return terms

    def save(self, path: Path) -> None:
        """The whole net; until the last size is faded in, it paints grey."""
        published.save(grown_generator(copy.deepcopy(self._mean), STEPS), path)

    @torch.no_grad()
    def sheet(self, path: Path) -> None:
        """Each row: a face, what the net sees, and what it paints from three noises."""
        random, side = np.random.default_rng(0), self._net.side_px
        rows = random.choice(len(self._faces), sheets.ROWS)
        pictures, points = baseline.draw(self._faces, rows, random, VIEW, steady=True)
        pictures = functional.avg_pool2d(pictures, VIEW.side_px // side)
        hole, context = torch.from_numpy(published.hole(side)), published.blanked(pictures)
        new = [torch.where(hole > 0, self._mean(context, points, baseline.normals(random, len(rows), NOISE, 4, 4)), pictures) for _ in range(3)]
        cv2.imwrite(str(path), sheets.of_columns([column.flip(1) for column in (pictures, context, *new)]))
