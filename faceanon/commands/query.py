"""`faceanon query OUT "SQL"`: the ledger's tables by name, read only."""

from __future__ import annotations

import argparse

from faceanon.archive.store import open_store
from faceanon.core.errors import UsageError
from faceanon.ledger.query import format_table, query


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="OUT", help="where a job wrote")
    parser.add_argument("sql", metavar="SQL", help="one SELECT; tables: videos, runs, models, segments, shots, tracks, outputs, verdicts")
    parser.add_argument("--format", choices=("table", "json", "csv"), default="table")


def run(arguments: argparse.Namespace) -> int:
    store = open_store(arguments.out)
    if not store.list("ledger"):
        raise UsageError("holds no ledger: it is not where a job wrote", source=arguments.out)
    print(format_table(query(store.root, arguments.sql), arguments.format))
    return 0
