"""`faceanon sweep OUT`: removes what dead runs left there: objects without a record, half-made work, unfinished uploads.

Never what a record names and never a live run's; only what is older than an age, by the store's clock. Prints what went, and how much.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from dataclasses import asdict

from faceanon.archive.store import open_store
from faceanon.flow.sweep import Swept, sweep

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="OUT", help="where a job wrote")
    parser.add_argument("--work", metavar="URI", help="the job's work root (OUT/.work)")
    parser.add_argument("--older-than", type=_age_s, default=_age_s("7d"), metavar="AGE", help="a number with s, m, h, d or w (7d)")
    parser.add_argument("--dry-run", action="store_true", help="say what would go, and leave it")
    parser.add_argument("--format", choices=("table", "json"), default="table")


def run(arguments: argparse.Namespace) -> int:
    out = open_store(arguments.out)
    work = open_store(arguments.work or out.uri(".work"))
    gone = list(sweep(out, work, older_than_s=arguments.older_than, dry_run=arguments.dry_run))
    if arguments.format == "json":
        print(json.dumps({"dry_run": arguments.dry_run, "swept": [asdict(entry) for entry in gone]}, indent=2))
    else:
        print(_table(gone, dry_run=arguments.dry_run))
    return 0


def _table(gone: Sequence[Swept], *, dry_run: bool) -> str:
    lines = [f"{entry.what:<26} {'?' if entry.size < 0 else entry.size:>14} bytes  {entry.age_s / 86400:6.1f} days  {entry.uri}" for entry in gone]
    total = sum(max(0, entry.size) for entry in gone)
    return "\n".join([*lines, f"{'would remove' if dry_run else 'removed'} {len(gone)} things, {total} bytes"])


def _age_s(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text)
    if not match:
        raise argparse.ArgumentTypeError(f"a number with s, m, h, d or w, such as 7d: got {text!r}")
    return float(match[1]) * _UNITS_S[match[2]]
