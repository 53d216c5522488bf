"""`faceanon store doctor URI`: what the store below URI does when it is asked, and what that means for the job's promises.

Exit 0 where all can be kept, 1 where one cannot; the main job asks the same in short before it starts.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict

from faceanon.archive.doctor import examine
from faceanon.archive.probes import Finding
from faceanon.archive.store import open_store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("doctor",))
    parser.add_argument("uri", metavar="URI", help="the folder or s3:// prefix that is meant to be OUT or the work folder")
    parser.add_argument("--role", choices=("output", "work"), default="work", help="work asks for all that output does, and that what is deleted goes")
    parser.add_argument("--format", choices=("table", "json"), default="table")


def run(arguments: argparse.Namespace) -> int:
    root = open_store(arguments.uri).root
    findings = examine(root, arguments.role)
    fit = all(finding.state != "broken" for finding in findings)
    if arguments.format == "json":
        print(json.dumps({"root": root, "role": arguments.role, "fit": fit, "findings": [asdict(f) for f in findings]}, indent=2))
    else:
        print(_table(findings))
        print(f"{root}: {'fit' if fit else 'NOT FIT'} as {arguments.role}")
    return 0 if fit else 1


def _table(findings: Sequence[Finding]) -> str:
    rows = [("probe", "", "what the store did", "what it means"), *((f.probe, f.state, f.found, f.means) for f in findings)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join("  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[3]]) for row in rows)
