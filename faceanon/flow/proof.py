"""Everything that the ledger promises, checked against what lies there: the log and its signatures, records, rows, and the outputs by reading them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from faceanon.archive.store import LocalStore, S3Store
from faceanon.archive.versions import digest
from faceanon.flow import layout
from faceanon.ledger.evidence import read_checkpoints
from faceanon.ledger.evidence_note import PublicKey
from faceanon.ledger.proof_log import Problem, check_notes, read_evidence
from faceanon.ledger.proof_rows import Committed, check_corrections, check_rows, newest, read_records

AnyStore = LocalStore | S3Store
_READERS = 4

Note = tuple[str, bytes]  # where a checkpoint lies, and what it says


@dataclass(frozen=True)
class Proof:
    """leaves: in the log; signed: of them, under the newest checkpoint that holds. waiting: records that the next fold takes. outputs: how many were read.

    keys: who signed the checkpoints that hold.
    """

    problems: tuple[Problem, ...]
    leaves: int
    signed: int
    checkpoints: int
    records: int
    waiting: int
    outputs: int
    keys: tuple[str, ...]


def prove(out: AnyStore, *, notes: Sequence[Note] = (), mirror: AnyStore | None = None, keys: Sequence[PublicKey] = (), outputs: bool = True) -> Proof:
    """notes: earlier checkpoints, kept elsewhere; mirror: the place that the settings name. keys: whose signatures count; none: the key that a note itself names.

    outputs: read them all, which takes as long as reading takes. Raises StoreUnavailable.
    """
    found, problems = read_evidence(out)
    held = [(out.uri(name), note) for name, note in read_checkpoints(out)] + list(notes)
    held += [(mirror.uri(name), mirror.read(name)) for name in mirror.list("") if name.endswith(".note")] if mirror else []
    wrong, good = check_notes(found, held, keys)
    problems += wrong
    if not good:
        problems.append(Problem("checkpoint", out.root, "nothing is signed: there is no checkpoint that holds"))
    records, wrong = read_records(out, found)
    problems += wrong + check_rows(out.root, out, found, records) + check_corrections(out, records)
    published = [record for record in records.values() if record.kind == "published"] if outputs else []
    problems += check_outputs(out, published)
    return Proof(
        tuple(problems),
        found.tree.size,
        good[-1][1].size if good else 0,
        len(good),
        len(records),
        len(records.keys() - found.records.keys()),
        len(published),
        tuple(sorted({str(read.key) for _, read in good if read.key})),
    )


def check_outputs(out: AnyStore, published: Sequence[Committed]) -> list[Problem]:
    """Every object that a record names, and what videos/ shows of the newest."""
    shown = newest({r.record: r for r in published}, ("published",))
    asked = [(r.object, r, f"{r.object}, the output of {r.name},") for r in published]
    asked += [(layout.view(r.name), r, layout.view(r.name)) for r in shown.values() if not _one_file(out, r.object, layout.view(r.name))]
    with ThreadPoolExecutor(_READERS) as readers:
        found = readers.map(lambda one: _digest(out, one[0]), asked)
        return [Problem("output", one[2], _reason(sha256)) for one, sha256 in zip(asked, found, strict=True) if sha256 != one[1].sha256]


def _digest(out: AnyStore, name: str) -> str:
    try:
        return digest(out, name)
    except FileNotFoundError:
        return ""


def _reason(sha256: str) -> str:
    return f"is not what was published: its sha256 is {sha256[:12]}..." if sha256 else "is missing"


def _one_file(out: AnyStore, name: str, view: str) -> bool:
    """Two names of one file on a disk: it is read once."""
    try:
        return isinstance(out, LocalStore) and os.path.samefile(out.uri(name), out.uri(view))
    except OSError:
        return False
