"""`faceanon models list | fetch | mirror`: what is used, under which licence, and how it reaches nodes without internet."""

from __future__ import annotations

import argparse
import json

from faceanon.archive.store import open_store
from faceanon.models import weights


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="list | fetch | mirror")
    listing = actions.add_parser("list", help="print digests, licences and origins")
    listing.add_argument("--format", choices=("table", "json"), default="table")
    fetching = actions.add_parser("fetch", help="fill this machine's cache")
    fetching.add_argument("--from", dest="mirror", metavar="URI", help="only from this mirror (folder, file: or s3://), for nodes without internet")
    mirroring = actions.add_parser("mirror", help="put the weights into a mirror, each under its digest")
    mirroring.add_argument("mirror", metavar="URI", help="folder, file: or s3:// prefix")
    for action in (listing, fetching, mirroring):
        action.add_argument("names", nargs="*", help="which weights; none = all")


def run(arguments: argparse.Namespace) -> int:
    if arguments.action == "list":
        return _list(arguments)
    mirror = open_store(arguments.mirror) if arguments.mirror else None
    names = arguments.names or None
    if arguments.action == "fetch":
        weights.fetch(names, _say, mirror)
    elif mirror is not None:
        weights.fill_mirror(mirror, names, _say)
    return 0


def _say(name: str, how: str) -> None:
    print(f"{name}: {how}")


def _list(arguments: argparse.Namespace) -> int:
    rows = [row for row in weights.listing() if not arguments.names or row["name"] in arguments.names]
    if arguments.format == "json":
        print(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        cached = "  cached" if row["cached"] else ""
        print(f"{row['name']:<22} {row['task']:<34} {row['licence']:<46} {row['size'] / 1e6:>6.1f} MB  {row['sha256'][:12]}  {row['carrier']}{cached}")
    return 0
