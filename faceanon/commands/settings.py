"""`faceanon settings`: every setting, as a TOML file to start from."""

from __future__ import annotations

import argparse
from pathlib import Path

from faceanon.core.settings import Settings, describe, load


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--settings", type=Path, metavar="FILE.toml", help="show these instead of the defaults")


def run(arguments: argparse.Namespace) -> int:
    print(describe(load(arguments.settings) if arguments.settings else Settings()))
    return 0
