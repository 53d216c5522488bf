"""`faceanon trace URI`: the whole story of one video, asked for by what was made or by what it was made of."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from faceanon.archive import uri as uris
from faceanon.archive.store import LocalStore, S3Store, open_store
from faceanon.commands.opened import open_out, settings_of
from faceanon.core.errors import UsageError
from faceanon.ledger.story import OBJECTS, VIEWS, Story, names_of, story


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("uri", metavar="URI", help="a file below OUT/videos/ or OUT/objects/, or with --output a source")
    parser.add_argument("--output", metavar="OUT", help="where the job wrote; a URI below OUT needs none")
    parser.add_argument("--proof", action="store_true", help="also where each decision stands in the evidence log, and the hashes from there to a signed root")
    parser.add_argument("--settings", type=Path, metavar="FILE.toml", help="of the job: where the stores are")
    parser.add_argument("--format", choices=("table", "json"), default="table")


def run(arguments: argparse.Namespace) -> int:
    settings_of(arguments.settings)
    asked = str(uris.parse(arguments.uri))
    out = open_out(arguments.output) if arguments.output else _out_of(asked)
    names = names_of(out.root, out, asked)
    if not names:
        raise UsageError("is neither an output nor a source that this ledger knows", source=arguments.uri)
    stories = [story(out.root, out, name, proven=arguments.proof) for name in names]
    print(json.dumps(stories, indent=1, ensure_ascii=False) if arguments.format == "json" else "\n\n".join("\n".join(_told(one)) for one in stories))
    return 0


def _out_of(asked: str) -> LocalStore | S3Store:
    """The OUT that a URI lies below: the nearest folder that holds a ledger."""
    for folder in (VIEWS, OBJECTS):
        place = asked.rfind(f"/{folder}")
        while place > 0:
            out = open_store(asked[:place])
            if out.holds("ledger"):
                return out
            place = asked.rfind(f"/{folder}", 0, place)
    raise UsageError("lies below no OUT; for a source say which one with --output OUT", source=asked)


def _told(one: Story) -> Iterator[str]:
    yield f"{one['name']}  {one['state']}"
    for decision in one["decisions"]:
        yield ""
        yield from _decided(decision)
    for row in one["audits"]:
        yield f"audited     {row.get('at', '')}  {row.get('auditor', '')}: {row.get('decision', '')} {row.get('reason', '')}".rstrip()
    for row in one["retention"]:
        yield f"retention   {row.get('at', '')}  {row.get('phase', '')}: {row.get('decision', '')} {row.get('reason', '')}".rstrip()


def _decided(decision: Story) -> Iterator[str]:
    source, run = decision["source"], decision["run"]
    yield f"{decision['decision']:<11} {decision['at']}  record {decision['record']}"
    if decision["decision"] == "quarantined":
        yield f"  because   {decision['stage']}: {decision['reason']}"
    else:
        yield from _made(decision)
    code = ", ".join(word for word in (run["code_version"], run["git_commit"], run["image_digest"]) if word)
    yield f"  run       {run['run_id']}  {run['state']}, started {run['started_at']} by {run['actor'] or 'nobody known'} on {run['host_class']}"
    yield f"            faceanon {code}; settings {run['config_sha256']}; Ray {run['ray_version'] or 'not used'}"
    yield f"  keys      keystore {decision['keys']['keystore_id']}, scope {decision['keys']['scope']}"
    yield f"  source    {source['uri']}  version {source['version'] or 'unknown'}, {source['size']} bytes, sha256 {source['sha256'] or 'unknown'}"
    place = decision["evidence"]
    if place:
        yield f"  evidence  leaf {place['index']} of {place['leaves']}, checkpoint {place['checkpoint'] or 'to come'}"
        yield from (f"            {line}" for line in place["proof"] or ())


def _made(decision: Story) -> Iterator[str]:
    output, verdict, segments = decision["output"], decision["verdict"], decision["segments"]
    copied = sum(s["state"] == "copied" for s in segments)
    yield f"  output    {output['out_uri']}  {output['state']}, {output['size']} bytes, sha256 {output['sha256']}"
    yield f"  segments  {len(segments)}: {copied} copied, {len(segments) - copied} encoded by {decision['engine']}; {decision['shots']} shots, {output['frames']} frames"
    for row in decision["people"]:
        who = row["label"] or "nobody's"
        yield f"  face      {who}  {row['method']}, {row['tracks']} tracks, {row['frames_face']} frames replaced, {row['frames_obscured']} obscured"
    yield f"  verdict   {verdict['decision']} by {verdict['auditor']}: {verdict['frames_sampled']} frames looked at, {verdict['repairs']} repairs"
    for model in decision["models"]:
        yield f"  model     {model['name']}  {model['model_id']}"
