"""`faceanon samples OUT`: clips of synthetic people with known truth."""

from __future__ import annotations

import argparse
from pathlib import Path

from faceanon.core.settings import ModelSettings
from faceanon.samples.archive import build_sample_archive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the clips, truth.parquet and cuts.parquet")
    parser.add_argument("--size", choices=("tiny", "demo", "long"), default="demo")


def finished(clip: str, frames: int, total: int) -> None:
    """One line a clip."""
    if frames == total:
        print(f"   {clip}  {total} frames", flush=True)


def run(arguments: argparse.Namespace) -> int:
    build_sample_archive(arguments.out, size=arguments.size, models=ModelSettings(), on_progress=finished)
    print(f"clips in {arguments.out}, truth in {arguments.out}/truth.parquet and {arguments.out}/cuts.parquet")
    return 0
