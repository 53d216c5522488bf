"""`faceanon train dataset | deepprivacy | cleanir`: the synthetic training set, and the nets of the engines that paint into a hole.

With torchrun, `torchrun --nproc-per-node 2 -m faceanon train deepprivacy ...` trains on as many ranks; each takes a batch of its own.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from faceanon.core.errors import UsageError
from faceanon.core.settings import ModelSettings

if TYPE_CHECKING:
    from faceanon.training.faces import Faces

CONDITIONINGS = ("sketch", "keypoints")
BASELINES = {"deepprivacy": "paper", "cleanir": "vae"}
WIDTHS, NARROWEST = {"deepprivacy": 64, "cleanir": 128}, 32


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="kind", required=True)
    dataset = kinds.add_parser("dataset", help="make a training set: synthetic people, pictures of one's own, or both")
    dataset.add_argument("--synthetic", type=int, default=0, metavar="N", help="portraits of synthetic people, and as many composites of them")
    dataset.add_argument("--faces", type=Path, metavar="DIR_OR_LIST", help="pictures to add: a folder, or a file that names one in each line")
    dataset.add_argument("--output", type=Path, required=True, metavar="DIR")
    for engine, conditionings in (("deepprivacy", CONDITIONINGS), ("cleanir", CONDITIONINGS[:1])):
        train = kinds.add_parser(engine, help=f"train the net of {engine}; the same command takes a training up again")
        train.add_argument("--faces", type=Path, required=True, metavar="DIR_OR_LIST", help="what `train dataset` made, or pictures")
        train.add_argument("--output", type=Path, required=True, metavar="DIR", help="checkpoints, losses.jsonl, sample sheets and the weights")
        train.add_argument("--steps", type=int, default=20_000, help="of the generator, all phases together (20000)")
        train.add_argument("--small", type=float, metavar="SHARE", help="share of the steps at 64 px, before those at 128 px (0.5; 0 with --start)")
        train.add_argument("--batch", type=int, default=16, help="of one rank; half of it at 128 px (of paper: at 64 px, a quarter at 128 px)")
        train.add_argument("--student-steps", type=int, default=1500, help="of the student that stands for the embedder; 0 = no identity loss")
        train.add_argument("--start", type=Path, metavar="FILE.safetensors", help="weights to go on from, such as those that come with the package")
        train.add_argument("--keep", type=float, default=0.0, metavar="SHARE", help="of --start in the weights that are written (0); half of it brings realism back")
        train.add_argument("--reach", type=float, default=1.0, metavar="SHARE", help="of a code's length in what is written (1); less where no student taught the net")
        train.add_argument("--conditioning", choices=conditionings, default="sketch", help="what tells pose and expression")
        train.add_argument("--variant", choices=("best", BASELINES[engine]), default="best", help=f"{BASELINES[engine]}: the net as it was published, as a baseline")
        train.add_argument("--width", type=int, help=f"channels of {BASELINES[engine]}'s widest layers ({WIDTHS[engine]}; 256 as published)")
        train.add_argument("--seed", type=int, default=1)
        train.add_argument("--threads", type=int, default=1, help="of each rank")
        train.add_argument("--save-every", type=int, default=200, metavar="STEPS", help="checkpoint and sample sheet")
        train.add_argument("--bf16", action="store_true", help="half precision where the CPU has it in hardware")
        train.add_argument("--resume", action="store_true", help="refuse to begin anew: there must be a checkpoint in DIR")


def run(arguments: argparse.Namespace) -> int:
    return _dataset(arguments) if arguments.kind == "dataset" else _train(arguments) if arguments.variant == "best" else _train_baseline(arguments)


def _dataset(arguments: argparse.Namespace) -> int:
    from faceanon.training import faces, photos, synthetic

    if not arguments.synthetic and not arguments.faces:
        raise UsageError("nothing to make: name --synthetic N, --faces DIR or both")
    models = ModelSettings()
    if arguments.faces:
        with Bar("pictures") as bar:
            photos.convert(arguments.faces, arguments.output, models, bar)
    if arguments.synthetic:
        with Bar("portraits") as bar:
            synthetic.make(arguments.output, arguments.synthetic, models, bar)
    made = faces.read_all(arguments.output)
    print(f"{len(made)} faces in {arguments.output}, {int(made.composite.sum())} of them composites")
    return 0


def _faces(arguments: argparse.Namespace, first: bool) -> Faces:
    """What --faces names; pictures are converted first."""
    from faceanon.training import faces, photos, ranks
    from faceanon.training.loop import STATE

    folder, source = arguments.output, arguments.faces
    if arguments.resume and not (folder / STATE).exists():
        raise UsageError(f"nothing to resume: there is no {folder / STATE}")
    if not (source.is_dir() and any(source.glob(faces.PATTERN))):
        source = folder / "faces"
        if first:
            with Bar("pictures") as bar:
                photos.convert(arguments.faces, source, ModelSettings(), bar)
        ranks.wait()
    return faces.read_all(source)


def _train_baseline(arguments: argparse.Namespace) -> int:
    from faceanon.training import baseline, paper, ranks, vae

    if arguments.start or arguments.keep or arguments.reach != 1 or arguments.small is not None or arguments.conditioning != "sketch":
        raise UsageError(f"--start, --keep, --reach, --small and --conditioning are not of the variant {arguments.variant}")
    if (width := arguments.width or WIDTHS[arguments.kind]) < NARROWEST:
        raise UsageError(f"--width: got {width}, the least is {NARROWEST}")
    first = ranks.join(arguments.threads)
    known = _faces(arguments, first)
    size = {"steps": arguments.steps, "width": width, "batch": arguments.batch, "seed": arguments.seed, "bf16": arguments.bf16}
    recipe = paper.Paper(paper.Plan(**size), known) if arguments.variant == "paper" else vae.Vae(vae.Plan(**size), known)
    with Bar(arguments.variant, quiet=not first) as bar:
        weights = baseline.run(recipe, arguments.output, bar, save_every=arguments.save_every)
    if first:
        print(f"{weights}, after {recipe.steps} steps; the sheets beside it show what it paints")
    ranks.leave()
    return 0


def _train(arguments: argparse.Namespace) -> int:
    from faceanon.models.embedders import DlibEmbedder
    from faceanon.training import loop, ranks, student

    first = ranks.join(arguments.threads)
    folder = arguments.output
    known = _faces(arguments, first)
    if first and arguments.student_steps and not (folder / student.FILE).exists():
        with Bar("student") as bar:
            student.train(known, folder, arguments.student_steps, arguments.seed, bar, bf16=arguments.bf16)
    ranks.wait()
    imitator = student.load(folder / student.FILE) if arguments.student_steps else None
    small = arguments.small if arguments.small is not None else 0.0 if arguments.start else 0.5
    phases = loop.growing(arguments.steps, small=small, batch=arguments.batch, plain_steps=50 if arguments.start else 250)
    keep = arguments.keep if arguments.start else 0.0
    plan = loop.Plan(phases, arguments.conditioning, arguments.seed, keep=keep, reach=arguments.reach, bf16=arguments.bf16, save_every=arguments.save_every)
    training = loop.Training(plan, known, imitator, folder, arguments.start, DlibEmbedder(ModelSettings()) if imitator is not None else None)
    with Bar(arguments.kind, quiet=not first) as bar:
        training.run(bar)
    if first:
        print(f"{training.weights}, after {training.step} steps; the sheets beside it show what it paints")
    ranks.leave()
    return 0


class Bar:
    """One bar with what is left on a terminal, a line now and then elsewhere; on stderr. Called with steps done, all steps, and what to say."""

    def __init__(self, name: str, quiet: bool = False) -> None:
        self._name, self._quiet, self._terminal = name, quiet, sys.stderr.isatty()
        columns = (TextColumn("{task.description:<12}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[say]}"), TimeElapsedColumn(), TimeRemainingColumn())
        self._bars = Progress(*columns, console=Console(stderr=True), disable=quiet or not self._terminal)
        self._task = self._bars.add_task(name, total=None, say="")
        self._said = 0.0

    def __enter__(self) -> Bar:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def __call__(self, done: int, total: int, row: dict[str, Any] | None = None) -> None:
        say = " ".join(f"{name} {value:.3g}" for name, value in (row or {}).items() if name not in ("step", "side_px"))
        self._bars.update(self._task, completed=done, total=total, say=say)
        if not self._quiet and not self._terminal and (done == total or done >= self._said + total / 50):
            self._said = done
            print(f"{self._name} {done}/{total} {say}", file=sys.stderr, flush=True)
