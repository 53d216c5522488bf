"""`faceanon models list | fetch`: what is used, under which licence, and where it came from."""

from __future__ import annotations

import argparse
import json

from faceanon.models import weights


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "fetch"))
    parser.add_argument("names", nargs="*", help="which weights; none = all")
    parser.add_argument("--format", choices=("table", "json"), default="table")


def run(arguments: argparse.Namespace) -> int:
    if arguments.action == "fetch":
        weights.fetch(arguments.names or None, lambda name, how: print(f"{name}: {how}"))
        return 0
    rows = [row for row in weights.listing() if not arguments.names or row["name"] in arguments.names]
    if arguments.format == "json":
        print(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        cached = "  cached" if row["cached"] else ""
        print(f"{row['name']:<22} {row['task']:<34} {row['licence']:<46} {row['size'] / 1e6:>6.1f} MB  {row['sha256'][:12]}  {row['carrier']}{cached}")
    return 0
