"""Other runs on the same OUT and work root: those that died left things behind, those that live must not be disturbed.

Every run leaves a mark that names the process which drives it and takes it away at its end. A mark whose process is certainly dead belongs
to a dead run. A mark of another machine may belong to a live one; what such runs leave is swept by age (`faceanon sweep`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress

from faceanon.archive.store import tidy
from faceanon.core.jsonable import to_json
from faceanon.flow import layout
from faceanon.flow.host import is_dead, this_process
from faceanon.flow.job import Context
from faceanon.ledger.commit import log_of, read_record


def mark(context: Context) -> None:
    """Both roots are marked, since runs may share either."""
    run, data = context.spec.run.run_id, json.dumps(to_json(this_process())).encode()
    context.work.replace(layout.driver_mark(run), data)
    context.out.replace(layout.out_mark(run), data)


def unmark(context: Context) -> None:
    _forget(context, context.spec.run.run_id)


def clear(context: Context, names: Iterable[str]) -> None:
    """This run ends well: what it and dead runs wrote of attempts goes and, where no other run lives, so do half-written files and half-made work of the videos `names`.

    Such work is of other settings or of bytes that the source no longer has; work of videos that this run was not asked for stays.
    """
    runs = {name.split("/")[1] for name in context.work.list("attempts/")}
    runs |= {name.removeprefix("runs/").removesuffix(layout.MARK) for name in context.out.list("runs/") if name.endswith(layout.MARK)}
    over = {run for run in runs if run == context.spec.run.run_id or _is_over(context, run)}
    for run in sorted(over):
        _forget(context, run)
    if over != runs:
        return
    wanted = set(names)
    for output in sorted({name.split("/")[1] for name in context.work.list("videos/")}):
        if _name_of(context, output) in {*wanted, ""}:
            context.work.delete_tree(layout.video_folder(output))
    for root in (context.out.root, context.work.root):
        tidy(root, older_than_s=0.0)


def _forget(context: Context, run: str) -> None:
    context.work.delete_tree(layout.attempts(run))
    context.out.delete(layout.out_mark(run))


def published_meanwhile(context: Context, name: str, output_id: str) -> bool:
    """Whether another run has published this very output by now."""
    log = [path for path in context.out.list(log_of(name)) if path.endswith(".json")]
    newest = read_record(context.out, log[-1]) if log else {}
    return newest.get("kind") == "published" and newest["output_id"] == output_id


def _is_over(context: Context, run: str) -> bool:
    """Without a mark: what late workers of a dead driver wrote after its run was cleared."""
    for store, name in ((context.work, layout.driver_mark(run)), (context.out, layout.out_mark(run))):
        with suppress(FileNotFoundError):
            if not is_dead(json.loads(store.read(name))):
                return False
    return True


def _name_of(context: Context, output: str) -> str:
    """The video that a work folder is of; "" for one without a plan, which nothing can take up."""
    try:
        return json.loads(context.work.read(layout.plan(output)))["item"]["name"]
    except FileNotFoundError:
        return ""
