"""`faceanon audit OUT`: published videos are looked at again, by a detector of a family that their run did not use.

Exit codes: 0 all that were looked at passed, 3 some did not (fail, or unknown), 1 a fault, or a video whose run left no family of detectors, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from itertools import islice
from pathlib import Path

from faceanon.archive.scratch import Scratch
from faceanon.archive.store import LocalStore, S3Store
from faceanon.commands.opened import open_out, settings_of
from faceanon.commands.sealing import fold_and_sign
from faceanon.core.errors import UsageError
from faceanon.core.ports import FaceDetector
from faceanon.core.settings import Settings
from faceanon.flow.audit import AUDITORS, Audited, audit, auditor_of, queue, record_of
from faceanon.media import guarded
from faceanon.models.detectors import make_detector
from faceanon.models.device import choose
from faceanon.retention.verdicts import Verdicts

SAMPLE = 20  # videos a night

Maker = Callable[..., FaceDetector]  # (name, threshold=..., models=..., device=...), as detectors.make_detector


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Exit codes: 0 all that were looked at passed; 3 some did not; 1 a fault, or a video whose run left no family of detectors; 2 wrong usage. "
        "First come videos that nobody has audited, then those whose audit is oldest."
    )
    parser.add_argument("out", metavar="OUT", help="where jobs wrote")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--sample", type=_whole, default=SAMPLE, metavar="N", help=f"how many videos ({SAMPLE})")
    which.add_argument("--all", action="store_true", help="every video that is shown")
    parser.add_argument("--every-frame", action="store_true", help="look at all frames, not at one in verify.every_s (a second)")
    parser.add_argument("--detector", choices=AUDITORS, help="who looks; default: the first whom the video's run did not use")
    parser.add_argument("--key-file", type=Path, help="keystore whose key signs the evidence afterwards (FACEANON_KEY, or ~/.config/faceanon/keystore.json)")
    parser.add_argument("--settings", type=Path, metavar="FILE.toml", help="verify.every_s, verify.threshold, verify.width_px, and where the stores are")
    parser.add_argument("--format", choices=("table", "json"), default="table")


def run(arguments: argparse.Namespace, maker: Maker = make_detector) -> int:
    settings = settings_of(arguments.settings)
    guarded.configure(settings.run)
    out = open_out(arguments.out)
    audited, refused = _audited(arguments, settings, out, maker)
    if refused and not audited:
        raise UsageError(f"nothing could be audited: {refused[0]}")
    signed = fold_and_sign(out, settings, arguments.key_file)
    if arguments.format == "json":
        print(json.dumps({"audited": [asdict(one) for one in audited], "refused": refused}, indent=1, ensure_ascii=False))
    else:
        lines = [f"{one.decision:<8} {one.name}  {one.auditor} looked at {one.frames} frames{f': {one.reason}' if one.reason else ''}" for one in audited]
        print("\n".join([*lines, *(f"refused  {why}" for why in refused), _counts(audited, refused), signed]))
    if refused:
        return 1
    return 3 if any(one.decision != "pass" for one in audited) else 0


def _audited(arguments: argparse.Namespace, settings: Settings, out: LocalStore | S3Store, maker: Maker) -> tuple[list[Audited], list[str]]:
    """What was looked at, and why the others could not be."""
    chosen = islice(queue(out, Verdicts(out).newest_audit), None if arguments.all else arguments.sample)
    made: dict[str, FaceDetector] = {}
    audited, refused = [], []
    with Scratch(Path(settings.run.scratch_dir) if settings.run.scratch_dir else None, int(settings.run.scratch_gb * 1e9)) as scratch:
        for entry in chosen:
            record = record_of(out, entry)
            try:
                name = auditor_of(record, arguments.detector or "")
            except UsageError as error:
                refused.append(str(error))
                continue
            if name not in made:
                made[name] = maker(name, threshold=settings.verify.threshold, models=settings.models, device=choose(settings.run.device))
            audited.append(audit(out, record, made[name], settings, scratch, every_frame=arguments.every_frame))
    return audited, refused


def _counts(audited: list[Audited], refused: list[str]) -> str:
    found = [f"{count} {word}" for word in ("pass", "fail", "unknown") if (count := sum(one.decision == word for one in audited))]
    return ", ".join([*found, *([f"{len(refused)} refused"] if refused else [])]) or "nothing is published"


def _whole(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number above 0: got {text!r}")
    return int(text)
