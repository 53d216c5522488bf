"""`faceanon query OUT "SQL"` or `faceanon query OUT NAME`: the ledger's tables by name, read only, and saved questions."""

from __future__ import annotations

import argparse
import sys

from faceanon.commands.opened import open_out
from faceanon.core.errors import UsageError
from faceanon.ledger.query import format_table, query, to_parquet
from faceanon.ledger.questions import QUESTIONS, parameters
from faceanon.ledger.tables import TABLES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="OUT", help="where a job wrote")
    parser.add_argument("question", nargs="?", metavar="SQL|NAME", help=f"one SELECT over {', '.join(TABLES)}; or the name of a saved question")
    parser.add_argument("--list", action="store_true", help="the saved questions, with what each asks")
    parser.add_argument("--with", dest="words", action="append", default=[], metavar="WORD=VALUE", help="what a saved question needs to know")
    parser.add_argument("--show", action="store_true", help="the SQL of a saved question, to start from")
    parser.add_argument("--format", choices=("table", "json", "csv", "parquet"), default="table")


def run(arguments: argparse.Namespace) -> int:
    store = open_out(arguments.out)
    if arguments.list:
        print("\n".join(f"{q.name:<16}{q.asks}{''.join(f' (--with {word}=...)' for word, _ in q.words)}" for q in QUESTIONS.values()))
        return 0
    if not arguments.question:
        raise UsageError('ask something: "SELECT ...", or a saved question; `faceanon query OUT --list` names them')
    saved = QUESTIONS.get(arguments.question)
    if arguments.show and saved:
        print(saved.sql)
        return 0
    if arguments.words and not saved:
        raise UsageError(f"--with is for saved questions; there are {', '.join(QUESTIONS)}")
    if arguments.format == "parquet" and sys.stdout.isatty():
        raise UsageError("parquet is not for reading: send it to a file with > FILE.parquet")
    answer = query(store.root, saved.sql if saved else arguments.question, parameters(saved, arguments.words) if saved else None)
    if arguments.format == "parquet":
        sys.stdout.buffer.write(to_parquet(answer))
    else:
        print(format_table(answer, arguments.format))
    return 0
