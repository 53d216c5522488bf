"""`faceanon export OUT`: the history of one video, or of a run, for other systems: W3C PROV-JSON, OpenLineage events."""

from __future__ import annotations

import argparse
from pathlib import Path

import pyarrow.dataset as ds

from faceanon.archive import uri as uris
from faceanon.archive.store import LocalStore, S3Store
from faceanon.commands.opened import open_out, settings_of
from faceanon.core.errors import UsageError
from faceanon.ledger.delta import column
from faceanon.ledger.story import Story, names_of, story


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="OUT", help="where a job wrote")
    parser.add_argument("--video", metavar="URI", help="an output or a source")
    parser.add_argument("--run", dest="run_id", metavar="ID", help="everything that a run published")
    parser.add_argument("--format", choices=("prov-json", "openlineage"), default="prov-json", help="openlineage: an event a line")
    parser.add_argument("--settings", type=Path, metavar="FILE.toml", help="of the job: where the stores are")


def run(arguments: argparse.Namespace) -> int:
    settings_of(arguments.settings)
    out = open_out(arguments.out)
    if bool(arguments.video) == bool(arguments.run_id):
        raise UsageError("say what: --video URI or --run ID")
    stories = _of_video(out, arguments.video) if arguments.video else _of_run(out, arguments.run_id)
    print(_written(stories, arguments.run_id or "", arguments.format))
    return 0


def _of_video(out: LocalStore | S3Store, uri: str) -> list[Story]:
    names = names_of(out.root, out, str(uris.parse(uri)))
    if not names:
        raise UsageError("is neither an output nor a source that this ledger knows", source=uri)
    return [story(out.root, out, name) for name in names]


def _of_run(out: LocalStore | S3Store, run_id: str) -> list[Story]:
    names = sorted(set(column(out.root, "outputs", "name", ds.field("run_id") == run_id)))
    if not names:
        raise UsageError("no such run has published anything", source=run_id)
    return [story(out.root, out, name) for name in names]


def _written(stories: list[Story], run_id: str, form: str) -> str:
    try:
        if form == "prov-json":
            from faceanon.ledger.export_prov import prov_json

            return prov_json(stories, run_id)
        from faceanon.ledger.export_openlineage import openlineage_json

        return openlineage_json(stories, run_id)
    except ModuleNotFoundError as error:
        raise UsageError(f"{form} needs a package that is not installed ({error.name}): pip install 'faceanon[exports]'") from error
