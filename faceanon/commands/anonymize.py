"""`faceanon anonymize SRC... --output OUT`: the main job, on Ray or, with --local, in this process."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from faceanon.archive import doctor, shards
from faceanon.archive.scratch import sweep
from faceanon.archive.sources import Resolved, resolve
from faceanon.archive.store import LocalStore, S3Store, allow, open_store, tidy
from faceanon.commands.progress import make_progress
from faceanon.core.errors import UsageError
from faceanon.core.settings import ENGINES, INPAINTING, Settings, load
from faceanon.flow import driver
from faceanon.flow.evidence import Notary
from faceanon.flow.job import Context, JobSpec, Loader, new_run, open_keystore
from faceanon.flow.local import LocalExecutor
from faceanon.flow.request import Work, work_to_do
from faceanon.identity.keystore import Keystore, scope_name
from faceanon.ledger.known import known
from faceanon.media.credentials import check_available
from faceanon.models.catalog import check_licences, load_models
from faceanon.models.given import pinned

OWN_FOLDERS = ("videos", "objects", "ledger", "runs")  # of OUT, should OUT be a SRC as well
LICENCE = "the weights that come with {engine} are for non-commercial use; licences = \"commercial\" refuses them, blur, pixelate and fill stay"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sources", nargs="+", metavar="SRC", help="files, folders, globs, manifests (csv, jsonl, parquet), file: or s3: URIs")
    parser.add_argument("--output", required=True, metavar="OUT", help="folder or s3:// prefix")
    parser.add_argument("--local", action="store_true", help="in this process, without Ray")
    parser.add_argument("--engine", choices=ENGINES, help="what is painted over a face (swap)")
    parser.add_argument("--variant", choices=("best", "keypoints", "paper", "vae"), help="which net of deepprivacy or cleanir")
    parser.add_argument("--weights", metavar="PATH", help="weights for deepprivacy or cleanir: trained here, or published ones that you have")
    parser.add_argument("--mask", choices=("face", "box"), help="what of the crop that deepprivacy and cleanir paint is shown (face)")
    parser.add_argument("--scope", choices=("video", "collection", "archive"), help="how far a person keeps the same new face (video)")
    parser.add_argument("--detector", help="yunet, centerface, mtcnn or a union such as yunet+centerface")
    parser.add_argument("--key-file", type=Path, help="keystore; made once if absent (FACEANON_KEY, or ~/.config/faceanon/keystore.json)")
    parser.add_argument("--settings", type=Path, metavar="FILE.toml", help="any setting; `faceanon settings` prints them all")
    parser.add_argument("--segment-seconds", type=float, help="about how long a unit of work is")
    parser.add_argument("--workers", type=int, help="actors, or 0 to use what the machine has")
    parser.add_argument("--shard", metavar="K/N", help="the K-th of N disjoint parts only (by name; by collection with --scope collection); all share one OUT")
    parser.add_argument("--audio", choices=("copy", "mute"))
    parser.add_argument("--subtitles", choices=("copy", "drop"))
    parser.add_argument("--retry-quarantined", action="store_true", help="try again what an earlier run put in quarantine")
    parser.add_argument("--work", metavar="URI", help="half-made things and sealed embeddings (OUT/.work)")
    parser.add_argument("--no-progress", action="store_true")
    parser.add_argument("--format", choices=("table", "json"), default="table", help="how the summary is printed")


def run(arguments: argparse.Namespace, loader: Loader = load_models) -> int:
    settings = _settings(arguments)
    shard = _shard(arguments.shard, settings)
    check_licences(settings)
    if settings.c2pa.sign:
        check_available()
    allow(settings.store)
    out = open_store(arguments.output)
    if Path(out.root).is_file():
        raise UsageError("is a file; OUT is a folder or an s3:// prefix", source=arguments.output)
    work_root = open_store(arguments.work or out.uri(".work")).root
    resolved = resolve(arguments.sources, settings, exclude=(out.root, work_root, *(out.uri(folder) for folder in OWN_FOLDERS)))
    resolved = shards.own(resolved, shard, settings.identity.scope) if shard else resolved
    keystore = open_keystore(str(arguments.key_file.absolute()) if arguments.key_file else "", create=True)
    ray_version = "" if arguments.local else version("ray")
    spec, work = prepared(out, work_root, resolved, settings, keystore, ray_version=ray_version, retry_quarantined=arguments.retry_quarantined)
    summary = _carry_out(spec, work, arguments, loader)
    if arguments.format == "json":
        print(json.dumps(summary, indent=2))
    else:
        _show(summary)
    return summary["exit_code"]


def prepared(
    out: LocalStore | S3Store, work_root: str, resolved: Resolved, settings: Settings, keystore: Keystore, *, ray_version: str, retry_quarantined: bool
) -> tuple[JobSpec, Work]:
    """One run that begins now, and what there is to do. Raises StoreUnfit where a root cannot keep what the job promises."""
    scopes = {scope_name(settings, item, "") for item in resolved.items}
    keystore.ensure_scopes(scopes)
    Notary.of(settings, keystore).check()
    run_info = replace(new_run(settings, keystore.keystore_id), ray_version=ray_version)
    spec = JobSpec(out.root, work_root, str(keystore.path or ""), tuple(sorted(scopes)), keystore.fingerprint(scopes), settings, run_info)
    sweep(Path(settings.run.scratch_dir) if settings.run.scratch_dir else None)
    doctor.require(out.root, work_root)
    for root in (out.root, work_root):
        tidy(root)
    return spec, work_to_do(resolved, known(out), settings, keystore.keystore_id, retry_quarantined=retry_quarantined)


def _shard(text: str | None, settings: Settings) -> shards.Shard | None:
    """Raises UsageError, before anything is read."""
    if not text:
        return None
    shards.check_scope(settings.identity.scope)
    return shards.parse(text)


def _settings(arguments: argparse.Namespace) -> Settings:
    base = load(arguments.settings) if arguments.settings else Settings()
    changed = base.with_values(
        render__engine=arguments.engine,
        render__variant=arguments.variant,
        render__weights=arguments.weights,
        render__mask=arguments.mask,
        identity__scope=arguments.scope,
        detect__detector=arguments.detector,
        plan__segment_seconds=arguments.segment_seconds,
        run__workers=arguments.workers,
        run__wave_videos=1 if arguments.local else None,  # one process finishes a video before it begins the next; scopes stay together all the same
        encode__audio=arguments.audio,
        encode__subtitles=arguments.subtitles,
    )
    return pinned(changed)


def _carry_out(spec: JobSpec, work: Work, arguments: argparse.Namespace, loader: Loader) -> dict[str, Any]:
    progress = make_progress(arguments.no_progress)
    try:
        with Context(spec, loader) as context:
            if arguments.local or not work.new:
                return driver.run(context, LocalExecutor(context), work, progress)
            from faceanon.rayflow import executor, metrics  # only now: --local needs no Ray

            with executor.joined(os.environ.get("RAY_ADDRESS")):
                executor.check_nodes(spec)
                return metrics.run(context, executor.RayExecutor(spec, loader), work, progress)
    finally:
        progress.close()


def _show(summary: dict[str, Any]) -> None:
    for entry in summary["quarantined"]:
        print(f"quarantined  {entry['name']}  ({entry['stage']}) {entry['reason']}", file=sys.stderr)
    if "problem" in summary["evidence"]:
        print(f"the evidence log: {summary['evidence']['problem']}", file=sys.stderr)
    if summary["skipped"]:
        print(f"{summary['skipped']} files are not called like videos and were left out; name them, or list them in a manifest, to take them in", file=sys.stderr)
    if not summary["requested"]:
        print("nothing to do: no videos were found")
        return
    if not summary["published"] and not summary["quarantined"]:
        print(f"nothing to do: all {summary['unchanged']} videos are already in {summary['out']}")
        return
    cells = {
        "videos": summary["published"], "unchanged": summary["unchanged"], "quarantined": len(summary["quarantined"]), "frames": summary["frames"],
        "faces": summary["faces"], "people": summary["people"], "seconds": f"{summary['wall_seconds']:.1f}", "x real time": f"{summary['times_real_time']:.2f}",
    }  # fmt: skip
    for line in (list(cells), [str(value) for value in cells.values()]):
        print("  ".join(text.rjust(max(len(name), len(str(value)))) for text, (name, value) in zip(line, cells.items(), strict=True)))
    print(f"videos in {summary['out']}/videos, the ledger in {summary['out']}/ledger, this summary in {summary['out']}/runs/{summary['run_id']}.json")
    if summary["engine"] in ("swap", *INPAINTING):
        print(f"licence: {LICENCE.format(engine=summary['engine'])}")


