"""`faceanon review OUT`: a page on this machine where a person looks at uncertain places, approves, or draws what is still to be seen."""

from __future__ import annotations

import argparse
import getpass
import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

from faceanon.archive.sources import Resolved
from faceanon.archive.store import LocalStore, S3Store, open_store, version_of
from faceanon.commands.anonymize import prepared
from faceanon.commands.opened import open_out, settings_of
from faceanon.commands.progress import make_progress
from faceanon.core.errors import KeystoreUnavailable, SourceError, UsageError
from faceanon.core.records import SourceItem
from faceanon.core.settings import Settings
from faceanon.flow import driver
from faceanon.flow.corrected import Again, waiting
from faceanon.flow.driver import Progress
from faceanon.flow.job import Context, Loader, open_keystore
from faceanon.flow.local import LocalExecutor
from faceanon.identity.keystore import Keystore
from faceanon.media import guarded
from faceanon.models.catalog import check_licences, load_models
from faceanon.report.review_desk import Desk
from faceanon.report.review_frames import Frames
from faceanon.report.review_server import ReviewServer

_NAME_LETTERS = 100

Render = Callable[[Progress], list[str]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="OUT", help="where a job wrote")
    parser.add_argument("--port", type=int, default=0, help="of 127.0.0.1; 0 for any that is free (0)")
    parser.add_argument("--reviewer", default="", metavar="NAME", help="who decides, as the ledger will say (the name of this user)")
    parser.add_argument("--limit", type=int, default=200, metavar="N", help="about how many places are listed, the most uncertain ones (200)")
    parser.add_argument("--render", action="store_true", help="no page: render, in this process, the videos whose drawn regions wait for it")
    parser.add_argument("--key-file", type=Path, help="keystore of the job, to render (FACEANON_KEY, or ~/.config/faceanon/keystore.json)")
    parser.add_argument("--work", metavar="URI", help="where the job keeps half-made things (OUT/.work)")
    parser.add_argument("--settings", type=Path, metavar="FILE.toml", help="where stores are and how this machine works; what is painted stays as each output has it")


def run(arguments: argparse.Namespace, loader: Loader = load_models) -> int:
    if arguments.limit < 1 or not 0 <= arguments.port < 1 << 16:
        raise UsageError("--limit takes 1 or more, --port 0 to 65535")
    here = settings_of(arguments.settings)
    guarded.configure(here.run)
    out = open_out(arguments.out)
    render = _renderer(arguments, out, here, loader)
    if arguments.render:
        return _render_now(render, _names(waiting(out)))
    with Frames(out, here.plan) as frames, make_server(arguments, out, frames, render) as server:
        print(f"review at {server.url} (this machine only; Ctrl-C ends it)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("ended; every decision is in the ledger")
    return 0


def make_server(arguments: argparse.Namespace, out: LocalStore | S3Store, frames: Frames, render: Render | None) -> ReviewServer:
    """Bound, not yet serving. Raises UsageError for a port that is taken and for a reviewer without a usable name."""
    reviewer = (arguments.reviewer or _user()).strip()
    if not reviewer or len(reviewer) > _NAME_LETTERS or not reviewer.isprintable():
        raise UsageError(f"--reviewer takes a name of at most {_NAME_LETTERS} letters")
    command = shlex.join(["faceanon", "review", arguments.out, "--render", "--key-file", str(arguments.key_file or "KEYS")])
    desk = Desk(out, frames, reviewer, arguments.limit, waiting=lambda: _names(waiting(out)), command=command, render=render)
    try:
        return ReviewServer(desk, arguments.port)
    except OSError as error:
        raise UsageError(f"port {arguments.port} cannot be used: {error.strerror}") from error


def _renderer(arguments: argparse.Namespace, out: LocalStore | S3Store, here: Settings, loader: Loader) -> Render | None:
    """None where there are no keys and none were named."""
    try:
        keystore = open_keystore(str(arguments.key_file.absolute()) if arguments.key_file else "", create=False)
    except KeystoreUnavailable:
        if arguments.key_file or arguments.render:
            raise
        return None
    work_root = open_store(arguments.work or out.uri(".work")).root
    return lambda progress: [problem for job in waiting(out) for problem in _again(job, out, work_root, here, keystore, loader, progress)]


def _again(job: Again, out: LocalStore | S3Store, work_root: str, here: Settings, keystore: Keystore, loader: Loader, progress: Progress) -> Iterator[str]:
    """One job, as `anonymize --local` does it; what did not go well, in sentences."""
    if keystore.keystore_id != job.keystore_id:
        yield f"{_some(job)}: made with the keys of another keystore"
        return
    settings = job.settings(here).with_values(run__wave_videos=1)
    check_licences(settings)
    gone = {item.name: reason for item in job.items if (reason := _unreadable(item))}
    yield from (f"{name}: the source cannot be read, the output stays as it is: {reason}" for name, reason in gone.items())
    items = tuple(item for item in job.items if item.name not in gone)
    if not items:
        return
    spec, work = prepared(out, work_root, Resolved(items, ()), settings, keystore, ray_version="", retry_quarantined=True)
    with Context(spec, loader) as context:
        summary = driver.run(context, LocalExecutor(context), work, progress)
    yield from (f"{entry['name']}: quarantined, the output stays as it is: {entry['reason']}" for entry in summary["quarantined"])
    if "problem" in summary["evidence"]:
        yield f"the evidence log: {summary['evidence']['problem']}"


def _render_now(render: Render | None, names: list[str]) -> int:
    assert render is not None  # without keys it was refused before
    if not names:
        print("nothing waits to be rendered")
        return 0
    progress = make_progress(False)
    try:
        problems = render(progress)
    finally:
        progress.close()
    for problem in problems:
        print(problem)
    print(f"{len(names)} videos waited to be rendered; {len(problems)} problems")
    return 3 if problems else 0


def _unreadable(item: SourceItem) -> str:
    try:
        version_of(item.uri)
    except SourceError as error:
        return error.reason
    return ""


def _names(jobs: tuple[Again, ...]) -> list[str]:
    return sorted(item.name for job in jobs for item in job.items)


def _some(job: Again) -> str:
    return job.items[0].name if len(job.items) == 1 else f"{job.items[0].name} and {len(job.items) - 1} more"


def _user() -> str:
    """A number where the system has no name for who runs this."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
