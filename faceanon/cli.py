"""`faceanon JOB ...`; jobs/JOB.py is the same entry point for `ray job submit`.

Exit codes: 0 all well, 1 a fault, 2 wrong usage or settings (said before any work starts), 3 some videos are in quarantine.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence

from faceanon import __version__
from faceanon.core.errors import FaceanonError
from faceanon.core.memory import keep_freed_blocks

JOBS = {
    "anonymize": "replace every face in videos, folders, globs or manifests",
    "plan": "what a run will cost before it runs; manifests of its shards",
    "query": "ask the ledger a question in SQL",
    "trace": "the whole story of one video, by its output or by its source",
    "verify": "check that outputs, ledger and evidence are as they were written and signed",
    "audit": "look at published videos again, with a detector that their run did not use",
    "retention": "which originals may be deleted or moved, and doing it, step by step, with evidence",
    "report": "one page that tells what was done, for a person to open",
    "review": "a page on this machine where a person approves uncertain places or draws faces that were missed",
    "export": "the history of a video or a run as W3C PROV-JSON or OpenLineage events",
    "keys": "show the keys of scopes; destroy one, so that its people can never be linked again",
    "models": "list, fetch or mirror the weights that are used",
    "sweep": "remove what dead runs left: objects without a record, half-made work, unfinished uploads",
    "store": "ask a store whether it can keep what the job promises",
    "settings": "print every setting with its default and meaning",
    "samples": "make the sample archive of synthetic people",
    "demo": "the sample archive, the job on it, and a picture of before and after",
    "evaluate": "measure detection, shots or coverage against known truth, and new faces against their originals",
    "compare": "what several engines make of one video or image, side by side, in step and with sound",
    "train": "make a training set of synthetic people, and train the nets of deepprivacy and cleanir on it",
    "bench": "CPU time by stage for one clip, beside plain decoding and encoding",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one job; never raises for what a user can cause."""
    keep_freed_blocks()
    logging.basicConfig(level=os.environ.get("FACEANON_LOG", "WARNING").upper(), format="%(levelname)s %(message)s")
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog="faceanon", description="Replaces every face in a video archive with a synthetic one, the same one for the same person.")
    parser.add_argument("--version", action="version", version=f"faceanon {__version__}")
    jobs = parser.add_subparsers(dest="job", required=True, metavar="JOB")
    asked = next((a for a in arguments if not a.startswith("-")), None)
    for name, summary in JOBS.items():
        job = jobs.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if name == asked:  # only the job that runs is imported: `faceanon settings` needs no model and no Ray
            importlib.import_module(f"faceanon.commands.{name}").add_arguments(job)
    parsed = parser.parse_args(arguments)
    try:
        return importlib.import_module(f"faceanon.commands.{parsed.job}").run(parsed)
    except FaceanonError as error:
        print(f"faceanon {parsed.job}: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # the reader of a pipe has gone; nothing is left to say
        return 0
    except KeyboardInterrupt:
        print("faceanon: stopped; the same command takes it up again", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
