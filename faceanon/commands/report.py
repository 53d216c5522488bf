"""`faceanon report OUT`: one page that tells what was done, for a person; opens anywhere, needs nothing else."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from faceanon.commands.opened import open_out, settings_of
from faceanon.core.errors import UsageError
from faceanon.flow.proof import prove
from faceanon.report import gather, page, pictures

NAME = "report.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="OUT", help="where a job wrote")
    parser.add_argument("--to", type=Path, default=Path(NAME), metavar="FILE", help=f"the page ({NAME} in this folder)")
    parser.add_argument("--videos", type=int, default=10_000, metavar="N", help="how many of the newest videos are listed one by one (10000); totals are over all")
    parser.add_argument("--sheets", type=int, default=24, metavar="N", help="how many of those get a picture of their frames, uncertain ones first (24)")
    parser.add_argument("--verify", choices=("ledger", "all", "none"), default="ledger", help="what is checked first: log, records and tables; the outputs, too; nothing")
    parser.add_argument("--settings", type=Path, metavar="FILE.toml", help="of the job: where the stores are")


def run(arguments: argparse.Namespace) -> int:
    if arguments.videos < 1 or arguments.sheets < 0:
        raise UsageError("--videos takes 1 or more, --sheets 0 or more")
    settings_of(arguments.settings)
    out = open_out(arguments.out)
    ask = gather.asker(out.root)
    overview = gather.overview(ask, arguments.videos)
    overview |= {"out": out.root, "made_at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), "proof": _proof(out, arguments.verify)}
    shown = dict(pictures.sheets(out, _wanted(overview["videos"], arguments.sheets)))
    try:
        with arguments.to.open("w", encoding="utf-8") as file:
            file.writelines(page.build(overview, gather.timelines(ask, overview["videos"]["record"]), shown))
    except OSError as error:
        raise UsageError(f"cannot be written: {error.strerror}", source=str(arguments.to)) from error
    print(f"{arguments.to}: {overview['totals']['videos']} videos, {len(shown)} of them with pictures. {overview['proof']['words']}")
    return 0


def _wanted(videos: gather.Columns, count: int) -> list[tuple[str, str, float]]:
    """Records and objects of the videos that a person should look at first: repaired ones, then most obscured ones, then the newest."""
    rows = [i for i, record in enumerate(videos["record"]) if record and videos["file"][i]]
    rows.sort(key=lambda i: (-(videos["repaired"][i] or 0), -(videos["obscured"][i] or 0), i))
    return [(videos["record"][i], videos["file"][i], float(videos["seconds"][i] or 1)) for i in rows[:count]]


def _proof(out: Any, how: str) -> dict[str, Any]:
    if how == "none":
        return {"checked": False, "problems": [], "words": "Nothing was verified for this page; faceanon verify does it."}
    proof = prove(out, outputs=how == "all")
    problems = [(f"{problem.kind} {problem.name}", problem.reason) for problem in proof.problems]
    read = f"{proof.outputs} outputs were read" if how == "all" else "outputs were not read"
    if problems:
        return {"checked": True, "problems": problems, "words": f"{len(problems)} problems: the ledger or its outputs are not as they were written."}
    held = f"{proof.signed} of {proof.leaves} leaves of the evidence log are signed, {proof.records} records hold"
    return {"checked": True, "problems": [], "words": f"Verified: {held}; {read}."}
