"""`faceanon verify OUT`: is everything as it was written, and signed? Exit code 1 where it is not."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from faceanon.archive.store import open_store
from faceanon.commands.opened import open_out, settings_of
from faceanon.core.errors import UsageError
from faceanon.flow.proof import Note, Proof, prove
from faceanon.ledger.evidence_note import PublicKey, parse_note, public_key


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="OUT", help="where a job wrote")
    parser.add_argument("--checkpoint", action="append", default=[], type=Path, metavar="FILE", help="an earlier checkpoint, kept elsewhere: the log must go on from it")
    parser.add_argument("--key", action="append", default=[], metavar="KEY", help="whose signatures count: name+id+base64, or a file (default: whom a note names)")
    parser.add_argument("--mirror", metavar="URI", help="where the settings keep checkpoints besides OUT")
    parser.add_argument("--settings", type=Path, metavar="FILE.toml", help="of the job: where the mirror and the stores are")
    parser.add_argument("--no-outputs", action="store_true", help="log, records and tables only: no video is read")
    parser.add_argument("--format", choices=("table", "json"), default="table")


def run(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments.settings)
    out = open_out(arguments.out)
    mirror = arguments.mirror or settings.evidence.mirror
    keys = [_key(text) for text in arguments.key]
    notes = [_note(path) for path in arguments.checkpoint]
    proof = prove(out, notes=notes, mirror=open_store(mirror) if mirror else None, keys=keys, outputs=not arguments.no_outputs)
    print(json.dumps(asdict(proof), indent=1) if arguments.format == "json" else _words(proof, pinned=bool(keys)))
    return 1 if proof.problems else 0


def _words(proof: Proof, pinned: bool) -> str:
    lines = [str(problem) for problem in proof.problems]
    lines.append(f"{proof.leaves} leaves, {proof.signed} of them signed, {proof.checkpoints} checkpoints; {proof.records} records, {proof.outputs} outputs read")
    lines += [f"signed by {key}{'' if pinned else ' (compare it with the key that you know, or give it with --key)'}" for key in proof.keys]
    if proof.waiting:
        lines.append(f"{proof.waiting} records wait for the next fold: they are not under a signature yet")
    lines.append(f"{len(proof.problems)} problems" if proof.problems else "all is as it was written")
    return "\n".join(lines)


def _note(path: Path) -> Note:
    try:
        note = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", source=str(path)) from error
    parse_note(note, str(path))
    return str(path), note


def _key(text: str) -> PublicKey:
    path = Path(text)
    try:
        return public_key(path.read_text() if path.is_file() else text, text)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("cannot be read", source=text) from error
