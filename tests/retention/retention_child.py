"""`faceanon retention run OUT --execute` in a process of its own, which can be killed at any moment."""

from __future__ import annotations

import multiprocessing
import os
import sys


def context():
    """Processes that start in milliseconds: the program is imported once, before anything runs."""
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(["faceanon.commands.retention", "s3fs"])
    return made


def run(environment: dict[str, str], arguments: list[str]) -> None:
    os.environ.update(environment)
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (until the process ends)
    from faceanon.cli import main

    sys.exit(main(arguments))
