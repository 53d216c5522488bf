"""`faceanon anonymize` as it is, but on fake people, with planted faults and, if asked, another clock: a process for tests to kill.

    python fault_job.py SRC... --output OUT ...     FAULT_PLAN: JSON list (see support.faults), FAULT_FOLDER: where met ones are written down,
                                                    FAULT_CLOCK_S: seconds that this process's clocks of the day are wrong by
                                                    FAULT_FILE_BYTES: no file may grow beyond
"""

from __future__ import annotations

import datetime as dates
import functools
import json
import os
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.faults import Plant

import faceanon.ledger.commit
from faceanon import cli
from faceanon.commands import anonymize
from faceanon.flow import driver, job


def set_clock(wrong_by_s: float) -> None:
    """Every clock of the day that our own code reads."""
    right = time.time

    class Wrong(dates.datetime):
        @classmethod
        def now(cls, tz=None):
            return dates.datetime.fromtimestamp(right() + wrong_by_s, tz)

    time.time = lambda: right() + wrong_by_s
    for module in (faceanon.ledger.commit, driver, job):
        module.datetime = Wrong


def main() -> int:
    if wrong_by_s := float(os.environ.get("FAULT_CLOCK_S", "0")):
        set_clock(wrong_by_s)
    if limit := int(os.environ.get("FAULT_FILE_BYTES", "0")):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    plant = Plant(json.loads(os.environ.get("FAULT_PLAN", "[]")), os.environ.get("FAULT_FOLDER", ""), here="--local" in sys.argv)
    anonymize.run = functools.partial(anonymize.run, loader=plant)
    return cli.main(["anonymize", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
