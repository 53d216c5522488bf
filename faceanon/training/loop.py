"""The training of an inpainting net: resumable, the same for the same seed, faces and number of ranks; on one core or many.

A folder holds state.pt (nets, optimisers, step; never shipped), inpaint_<conditioning>.safetensors (the averaged generator, half precision), losses.jsonl
and sheet_<step>.png. Phases follow each other: small crops first, then large ones with the same weights and a discriminator that starts anew.

Some contexts of a batch are painted twice, once with the code of the face that was there and once with a stranger's. The second painting has no true picture:
its light is that of the place, its identity the code's, and what changes between the two must be what changes between their codes, as the student sees it.
Now and then the student is shown what the net paints by then, with what the embedder makes of it: a net finds the faults of a teacher that stands still.
"""

from __future__ import annotations

import copy
import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from faceanon.core import facecrop
from faceanon.core.ports import FaceEmbedder
from faceanon.models.inpaint_net import Discriminator, Generator, Student
from faceanon.models.inpainter import save_generator
from faceanon.training import batches, losses, paintings, ranks, sheets, student
from faceanon.training.batches import Batch
from faceanon.training.faces import Faces, people_of
from faceanon.training.losses import Weights
from faceanon.training.start import net_from

STATE = "state.pt"
PAINTINGS = "paintings"  # folder
BETAS = (0.5, 0.99)
JUDGE_STEPS = 2  # of the discriminator, to one of the generator
_RAMP = 100  # steps over which a rate rises


@dataclass(frozen=True)
class Phase:
    """Steps at one size of crop."""

    side_px: int
    steps: int
    batch: int  # of one rank
    rate: float = 7e-4
    rate_judge: float = 4e-4
    plain_steps: int = 250  # by px alone, before anybody judges
    weights: Weights = field(default_factory=Weights)


@dataclass(frozen=True)
class Plan:
    """What one training is."""

    phases: tuple[Phase, ...]
    conditioning: str = "sketch"
    seed: int = 1
    average: float = 0.998  # share of the averaged weights that stays, a step
    composites: float = 0.5  # share of a batch
    strangers: float = 0.5  # of a batch, so many contexts are painted once more with somebody else's code, once there is a discriminator
    look_every: int = 150  # steps after which the student is shown new paintings; 0 = never
    keep: float = 0.0  # share of the net it started from in the weights that are written
    reach: float = 1.0  # how much of a code's distance from the mean counts in those
    bf16: bool = False
    save_every: int = 200
    log_every: int = 20

    @property
    def steps(self) -> int:
        return sum(phase.steps for phase in self.phases)

    def at(self, step: int) -> tuple[int, Phase, int]:
        """The number of the phase of a step, the phase, and the step within it."""
        for number, phase in enumerate(self.phases):
            if step < phase.steps:
                return number, phase, step
            step -= phase.steps
        raise IndexError(step)


def growing(steps: int, *, small: float = 0.5, batch: int = 16, plain_steps: int = 250) -> tuple[Phase, ...]:
    """64 px for a share of the steps, then 128 px: the recipe that was found to work. plain_steps: of the small crops; a net that is trained already needs few."""
    few = round(small * steps)
    late = Phase(128, steps - few, max(1, batch // 2), 5e-4, 6e-4, 50, Weights(adversarial=0.7, change=1.5))
    return tuple(phase for phase in (Phase(64, few, batch, plain_steps=plain_steps), late) if phase.steps)


class Training:
    """One rank of it. `run` ends when all steps are done; called again on the same folder it goes on from the last checkpoint."""

    def __init__(
        self, plan: Plan, faces: Faces, imitator: Student | None, folder: Path, start: Path | None = None, embedder: FaceEmbedder | None = None
    ) -> None:
        """embedder: whom the student imitates; without it the student learns nothing more. start: weights to go on from."""
        self._plan, self._faces, self._student, self._folder, self._embedder = plan, faces, imitator, folder, embedder
        self._people, self._started = people_of(faces), start is not None
        self._rank, self._ranks = ranks.here()
        torch.manual_seed(plan.seed)
        self._net = net_from(start, plan.conditioning) if start else Generator(plan.conditioning)
        if not start:
            mean, scale = student.statistics(faces)
            self._net.code_mean.copy_(mean)
            self._net.code_scale.copy_(scale)
        self._net = self._net.float().to(memory_format=torch.channels_last).train()
        for parameter in self._net.parameters():
            parameter.requires_grad_(True)
        self._mean = copy.deepcopy(self._net).eval().requires_grad_(False)
        self._first = copy.deepcopy(self._mean)
        self.step = 0
        self._begin_phase(0)
        folder.mkdir(parents=True, exist_ok=True)
        if self._state.exists():
            self._load()

    @property
    def _state(self) -> Path:
        return self._folder / STATE

    @property
    def weights(self) -> Path:
        return self._folder / f"inpaint_{self._plan.conditioning}.safetensors"

    def _begin_phase(self, number: int) -> None:
        phase = self._plan.phases[number]
        torch.manual_seed(self._plan.seed + 1 + number)
        self._judge = Discriminator(self._plan.conditioning).to(memory_format=torch.channels_last)
        self._best = torch.optim.Adam(self._net.parameters(), phase.rate, BETAS)
        self._best_judge = torch.optim.Adam(self._judge.parameters(), phase.rate_judge, BETAS)
        self._phase = number

    def run(self, on_progress: Callable[[int, int, dict[str, Any]], None]) -> None:
        since, images = time.monotonic(), 0
        while self.step < self._plan.steps:
            number, phase, within = self._plan.at(self.step)
            if number != self._phase:
                self._begin_phase(number)
            looked = {}
            if self._embedder is not None and self._plan.look_every and self.step % self._plan.look_every == 0 and (self.step or self._started):
                looked = self._show_student(phase, self._embedder)
            row = self._one(phase, within)
            self.step += 1
            images += phase.batch * self._ranks
            last = self.step == self._plan.steps
            if self._rank == 0 and (self.step % self._plan.log_every == 0 or last or looked):
                rate = round(images / (time.monotonic() - since), 2)
                row = {"step": self.step, "side_px": phase.side_px, **{name: round(float(term), 4) for name, term in (row | looked).items()}, "images_s": rate}
                with (self._folder / "losses.jsonl").open("a") as log:
                    log.write(json.dumps(row) + "\n")
                on_progress(self.step, self._plan.steps, row)
            if self._rank == 0 and (self.step % self._plan.save_every == 0 or last):
                self._save(phase)

    def batch(self, phase: Phase) -> Batch:
        """The batch of this step and rank; composites are a set share of it, where there are any."""
        random = np.random.default_rng((self._plan.seed, self.step, self._rank))
        few = np.flatnonzero(self._faces.composite)
        plain = np.flatnonzero(~self._faces.composite)
        count = round(self._plan.composites * phase.batch) if len(few) else 0
        rows = np.concatenate([random.choice(few, count) if count else few[:0], random.choice(plain, phase.batch - count)])
        return batches.draw(self._faces, random.permutation(rows), random, phase.side_px, self._plan.conditioning)

    def _show_student(self, phase: Phase, embedder: FaceEmbedder) -> dict[str, float]:
        """Paints strangers, and teaches the student what the embedder makes of them. Every rank does the same.

        Gives cosines: of the identities that were asked and got, as the embedder sees them, and of the student's word on those and the embedder's.
        """
        asked_and_got = math.nan
        folder = self._folder / PAINTINGS
        if self._rank == 0:
            random = np.random.default_rng((self._plan.seed, self.step, 0, 2))
            asked_and_got = paintings.add(folder, self.step, self._net, self._faces, self._people, embedder, random, phase.side_px, self._plan.conditioning)
        ranks.wait()
        known = student.go_on(self._student, self._faces, paintings.latest(folder, self.step), self._net, self._plan.seed + self.step, bf16=self._plan.bf16)
        return {"asked_and_got": asked_and_got, "student": known}

    def _one(self, phase: Phase, within: int) -> dict[str, Tensor]:
        for optimiser, rate in ((self._best, phase.rate), (self._best_judge, phase.rate_judge)):
            for group in optimiser.param_groups:
                group["lr"] = rate * min(1.0, (within + 1) / _RAMP) * (0.05 + 0.475 * (1 + math.cos(math.pi * within / phase.steps)))
        batch = self.batch(phase)
        hole, judging = hole_of(phase.side_px), within >= phase.plain_steps
        others = round(self._plan.strangers * phase.batch) if judging else 0
        own = torch.arange(phase.batch + others) < phase.batch
        random = np.random.default_rng((self._plan.seed, self.step, self._rank, 1))
        strange = torch.from_numpy(batches.strangers(self._people, others, random))
        every = batch.again(others)
        with torch.autocast("cpu", torch.bfloat16, enabled=self._plan.bf16):
            raw = self._net(every.pictures, hole, every.planes, every.maps, torch.cat([batch.codes, strange])).float()
        painted = torch.where(hole > 0, raw, every.pictures)
        terms = {"pixels": losses.pixels(raw[own], batch.pictures, losses.where(hole, batch.planes).expand(phase.batch, -1, -1, -1))}
        if others:
            terms["tone"] = losses.tone(painted[~own], every.pictures[~own])
        if self._student is not None and within >= phase.plain_steps // 2:
            terms |= self._likeness(painted, batch, strange)
        judged = {}
        if judging:
            judged["judge"], wanted = self._teach_judge(batch, every, painted.detach())
            terms |= self._judged(every, painted, own, wanted)
        total = sum((getattr(phase.weights, name) * term for name, term in terms.items()), torch.zeros(()))
        self._update(self._net, self._best, total)
        with torch.no_grad():
            share = min(self._plan.average, (self.step + 1) / (self.step + 10))
            torch._foreach_lerp_(list(self._mean.parameters()), list(self._net.parameters()), 1 - share)
        return {name: term.detach() for name, term in (terms | judged).items()}

    def _likeness(self, painted: Tensor, batch: Batch, strange: Tensor) -> dict[str, Tensor]:
        """Features and identity as in the true picture; a stranger's identity, and what it changes, as in the stranger's code."""
        count, others = len(batch.pictures), len(strange)
        with torch.autocast("cpu", torch.bfloat16, enabled=self._plan.bf16):
            with torch.no_grad():
                code, seen = self._student(losses.chips(batch.pictures))
            its_code, its_seen = self._student(losses.chips(painted))
        its_code, wanted = its_code.float(), self._net.normal(torch.cat([batch.codes, strange]))
        terms = {
            "features": losses.matching([f[:count] for f in its_seen[:3]], seen[:3]),
            "identity": losses.identity(its_code, torch.cat([code.float(), wanted[count:]])),
        }
        if others:
            terms["change"] = losses.change(its_code[count:] - its_code[:others], wanted[count:] - wanted[:others])
        return terms

    def _teach_judge(self, batch: Batch, every: Batch, painted: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Its loss, and what it saw in the true pictures. JUDGE_STEPS at a time: one that lags behind lets identity be drawn with marks that no face has."""
        for _ in range(JUDGE_STEPS):
            with torch.autocast("cpu", torch.bfloat16, enabled=self._plan.bf16):
                true, seen = self._judge(batch.pictures, batch.planes, batch.maps)
                false, _ = self._judge(painted, every.planes, every.maps)
            loss = losses.judge(true, false)
            self._update(self._judge, self._best_judge, loss)
        return loss, [feature.detach() for feature in seen]

    def _judged(self, every: Batch, painted: Tensor, own: Tensor, wanted: list[Tensor]) -> dict[str, Tensor]:
        self._judge.requires_grad_(False)
        with torch.autocast("cpu", torch.bfloat16, enabled=self._plan.bf16):
            score, seen = self._judge(painted, every.planes, every.maps)
        self._judge.requires_grad_(True)
        return {"matching": losses.matching([f[own] for f in seen], wanted), "adversarial": -score.float().mean()}

    def _update(self, net: nn.Module, optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        ranks.average(parameter.grad for parameter in net.parameters())
        optimiser.step()

    def _save(self, phase: Phase) -> None:
        state = {
            "step": self.step, "phase": self._phase, "plan": json.dumps(asdict(self._plan)),
            "net": self._net.state_dict(), "mean": self._mean.state_dict(), "judge": self._judge.state_dict(),
            "best": self._best.state_dict(), "best_judge": self._best_judge.state_dict(),
            "student": self._student.state_dict() if self._student is not None else {},
        }  # fmt: skip
        aside = self._state.with_suffix(".part")
        torch.save(state, aside)
        os.replace(aside, self._state)
        net = self.result()
        save_generator(net, self.weights, self._plan.conditioning)
        sheets.write(self._folder / f"sheet_{self.step:06d}.png", net, self._faces, phase.side_px, self._plan.conditioning)

    def result(self) -> Generator:
        """The averaged net, on the way back to where it started: identity stays and realism returns (Wortsman et al., 2022; arXiv 2109.01903)."""
        net = copy.deepcopy(self._mean)
        with torch.no_grad():
            torch._foreach_lerp_(list(net.parameters()), list(self._first.parameters()), self._plan.keep)
            net.code_scale.mul_(self._plan.reach)
        return net

    def _load(self) -> None:
        state = torch.load(self._state, map_location="cpu", weights_only=True)
        self._begin_phase(state["phase"])
        for mine, name in ((self._net, "net"), (self._mean, "mean"), (self._judge, "judge"), (self._best, "best"), (self._best_judge, "best_judge")):
            mine.load_state_dict(state[name])
        if self._student is not None:
            self._student.load_state_dict(state["student"])
        self.step = state["step"]


def hole_of(side_px: int) -> Tensor:
    """(1, 1, S, S)."""
    return torch.from_numpy(facecrop.hole(side_px))[None, None]
