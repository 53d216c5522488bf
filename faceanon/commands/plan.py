"""`faceanon plan SRC...`: what a run will cost before it runs; the shards of a large archive; or, with --simulate, what planning itself costs.

Headers are looked at, nothing is decoded and nothing is written but the shards that are asked for. Sums of a sample come with their 95 % interval.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from faceanon.archive import shards
from faceanon.archive.scratch import Scratch
from faceanon.archive.sources import Resolved, resolve
from faceanon.archive.store import open_store
from faceanon.commands.anonymize import OWN_FOLDERS
from faceanon.core.errors import KeystoreUnavailable, UsageError
from faceanon.core.settings import ENGINES, Settings
from faceanon.core.settings import load as load_settings
from faceanon.estimate import arithmetic, rates, simulate
from faceanon.estimate.survey import Survey, survey
from faceanon.flow.job import open_keystore
from faceanon.ledger.known import known, nothing

SIZES = (10_000, 100_000)  # simulated before the size that was asked for, to show that the cost of a segment does not grow


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sources", nargs="*", metavar="SRC", help="files, folders, globs, manifests (csv, jsonl, parquet), file: or s3: URIs")
    parser.add_argument("--output", metavar="OUT", help="what is published there already is taken off")
    parser.add_argument("--engine", choices=ENGINES)
    parser.add_argument("--scope", choices=("video", "collection", "archive"))
    parser.add_argument("--key-file", type=Path, help="keystore of the run, to tell what is done in OUT")
    parser.add_argument("--settings", type=Path, metavar="FILE.toml")
    parser.add_argument("--segment-seconds", type=float)
    parser.add_argument("--cpus", type=int, default=os.cpu_count() or 1, help="CPUs that the wall time is reckoned for (this machine's)")
    parser.add_argument("--faces", type=float, default=1.0, metavar="SHARE", help="share of segments that hold faces, 0 to 1; the others are copied (1)")
    parser.add_argument("--rates", type=Path, metavar="FILE.json", help="measured elsewhere; same form as faceanon/estimate/rates.json, any part of it")
    parser.add_argument("--sample", type=int, default=200, metavar="N", help="headers that are looked at; all, if there are no more videos than that (200)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--shards", type=int, metavar="N", help="with --write: so many manifests, one for each job")
    parser.add_argument("--write", type=Path, metavar="DIR", help="where the shards' manifests go")
    parser.add_argument("--simulate", type=int, metavar="N", help="no SRC: plan N made-up segments and measure it")
    parser.add_argument("--format", choices=("table", "json"), default="table")


def run(arguments: argparse.Namespace) -> int:
    _check(arguments)
    if arguments.simulate:
        return _simulate(arguments)
    settings = _settings(arguments)
    table = rates.load(arguments.rates)
    out = open_store(arguments.output) if arguments.output else None
    walls = (out.root, out.uri(".work"), *(out.uri(folder) for folder in OWN_FOLDERS)) if out else ()
    resolved = resolve(arguments.sources, settings, exclude=walls)
    if arguments.shards:
        return _write_shards(arguments, resolved, settings)
    done, keystore_id = (known(out), _keystore_id(arguments)) if out else (nothing(), "")
    scratch_dir = Path(settings.run.scratch_dir) if settings.run.scratch_dir else None
    with Scratch(scratch_dir, int(settings.run.scratch_gb * 1e9)) as scratch:
        found = survey(resolved, done, settings, keystore_id, scratch, limit=arguments.sample, seed=arguments.seed)
    costs = arithmetic.lines(found.left, table, engine=settings.render.engine, faces_share=arguments.faces, cpus=arguments.cpus)
    print(json.dumps(_as_json(found, costs, table), indent=2) if arguments.format == "json" else _as_table(found, costs, settings))
    return 0


def _check(arguments: argparse.Namespace) -> None:
    rules = [
        (bool(arguments.simulate) != bool(arguments.sources), "give SRC, or --simulate N"),
        (arguments.simulate is None or arguments.simulate >= 1, "--simulate must be 1 or more"),
        ((arguments.shards is None) == (arguments.write is None), "--shards and --write belong together"),
        (arguments.shards is None or 1 <= arguments.shards <= 100_000, "--shards must be 1 to 100000"),
        (0 <= arguments.faces <= 1, "--faces must be 0 to 1"),
        (arguments.cpus >= 1, "--cpus must be 1 or more"),
        (arguments.sample >= 2, "--sample must be 2 or more"),
    ]
    for holds, rule in rules:
        if not holds:
            raise UsageError(rule)


def _settings(arguments: argparse.Namespace) -> Settings:
    base = load_settings(arguments.settings) if arguments.settings else Settings()
    return base.with_values(render__engine=arguments.engine, identity__scope=arguments.scope, plan__segment_seconds=arguments.segment_seconds)


def _keystore_id(arguments: argparse.Namespace) -> str:
    """ "" where there is no keystore yet: then nothing can have been done with it."""
    try:
        return open_keystore(str(arguments.key_file.absolute()) if arguments.key_file else "", create=False).keystore_id
    except KeystoreUnavailable as error:
        print(f"nothing counts as done: {error}", file=sys.stderr)
        return ""


def _write_shards(arguments: argparse.Namespace, resolved: Resolved, settings: Settings) -> int:
    written = shards.write(resolved.items, arguments.shards, settings.identity.scope, arguments.write)
    for line in resolved.rejected:
        print(f"left out  {line.reason}", file=sys.stderr)
    out = shlex.quote(arguments.output or "OUT")
    options = "".join(f" {name} {shlex.quote(str(value))}" for name, value in _passed_on(arguments) if value is not None)
    for path, rows in written:
        print(f"ray job submit --no-wait --working-dir . -- python jobs/anonymize.py {shlex.quote(str(path.absolute()))} --output {out}{options}  # {rows} videos")
    return 0


def _passed_on(arguments: argparse.Namespace) -> list[tuple[str, Any]]:
    options = [("--engine", arguments.engine), ("--scope", arguments.scope), ("--settings", arguments.settings)]
    return [*options, ("--segment-seconds", arguments.segment_seconds), ("--key-file", arguments.key_file)]


def _as_json(found: Survey, costs: list[arithmetic.Line], table: rates.Rates) -> dict[str, Any]:
    return {**asdict(found), "is_sample": found.is_sample, "lines": [asdict(line) for line in costs], "measured": table.measured}


def _as_table(found: Survey, costs: list[arithmetic.Line], settings: Settings) -> str:
    head = f"{found.asked:,} videos asked for, {found.done:,.0f} done, {found.quarantined:,.0f} in quarantine, {found.rejected:,} lines make no sense"
    seen = f"{found.looked_at:,} headers looked at, {found.unreadable} of them cannot be read; sums are scaled up, hours within {found.within:.0%} (95 %)"
    rows = [(line.name, arithmetic.shown(line), line.unit, line.basis) for line in costs]
    wide = [max(len(row[i]) for row in rows) for i in range(3)]
    body = [f"  {name:<{wide[0]}}  {value:>{wide[1]}} {unit:<{wide[2]}}  {basis}" for name, value, unit, basis in rows]
    what = f"left to do with engine {settings.render.engine}, segments of {settings.plan.segment_seconds:g} s:"
    return "\n".join([head, seen if found.is_sample or found.unreadable else "every header was looked at", what, *body])


def _simulate(arguments: argparse.Namespace) -> int:
    sizes = [*(size for size in SIZES if size < arguments.simulate), arguments.simulate]
    found = [simulate.in_own_process(size) for size in sizes]
    print(json.dumps(found, indent=2) if arguments.format == "json" else _simulated(found))
    return 0


def _simulated(found: list[dict[str, Any]]) -> str:
    head = f"{'segments':>10} {'videos':>8} {'wall s':>8} {'plan':>8} {'fold':>8} {'records':>8} {'ms/segment':>11} {'peak MB':>8}"
    lines = [
        f"{f['segments']:>10,} {f['videos']:>8,} {f['wall_s']:>8.1f} {f['plan_cpu_s']:>8.1f} {f['fold_cpu_s']:>8.1f} {f['records_cpu_s']:>8.1f} "
        f"{1000 * (f['plan_cpu_s'] + f['fold_cpu_s']) / f['segments']:>11.4f} {f['peak_mb']:>8.0f}"
        for f in found
    ]
    asked = "  ".join(f"{kind} {count:,}" for kind, count in found[-1]["requests"].items())
    return "\n".join([head, *lines, NOTE, f"requests to the ledger of {found[-1]['videos']:,} videos: {asked}"])


NOTE = """plan, fold and records are CPU seconds: plan (manifest, outcomes, segments, waves, units, tally) and fold (records into tables) are the driver's,
and make up ms/segment; records (checking, writing) are the workers'. Real: all of that and the tables on disk. Counted, not sent: requests to
an object store. Not in it: Ray's own cost a unit, and what workers read and write beside the record."""
