"""The evidence log: what was committed, in which order, so that nothing can be changed, dropped or added without showing.

    OUT/ledger/evidence/log/<000000>/<000000000001, ...>.json       entries, each by put-if-absent, numbered without gaps
    OUT/ledger/evidence/checkpoints/<size>-<key id>.note            signed tree heads

An entry holds leaves, and the tree's peaks after them, so that who appends reads the newest entry only. Leaves are small JSON objects:

    begin     the first one; names the log
    record    a committed record: the digest of its bytes, and of the rows that each table takes from it
    run       a run's row, when it is first heard of and when it has ended
    model     a model's row
    schema    columns of the tables, whenever they have grown
    compact   a table's day is written anew in fewer files
    expire    rows of track_boxes before a day go

A record's leaf is written after its rows and before the row of `commits` that calls it folded: a fold that dies leaves it to the next one. Two
folds at once may both write it; the same leaf twice says nothing new.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from faceanon.core.errors import AlreadyExists, StoreError
from faceanon.core.ids import digest
from faceanon.core.ports import Store
from faceanon.ledger.evidence_note import Checkpoint, Signer, parse_note
from faceanon.ledger.evidence_rows import Digest, canonical
from faceanon.ledger.evidence_tree import Peaks, leaf_hash
from faceanon.ledger.tables import TABLES

EVIDENCE = "ledger/evidence/"
LOG, CHECKPOINTS = f"{EVIDENCE}log/", f"{EVIDENCE}checkpoints/"
_SHARD = 1000  # entries in a folder
_RACES = 100
_NEWEST = 3  # entries in which a leaf that is there already is looked for

Leaf = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """One object of the log. tree: after its leaves."""

    number: int
    log: str
    schema: str
    leaves: tuple[Leaf, ...]
    tree: Peaks

    def to_bytes(self) -> bytes:
        peaks = [peak.hex() for peak in self.tree.hashes]
        return canonical({"number": self.number, "log": self.log, "schema": self.schema, "size": self.tree.size, "peaks": peaks, "leaves": list(self.leaves)})

    @classmethod
    def from_bytes(cls, data: bytes, source: str = "") -> Entry:
        """Raises StoreError where these bytes are not an entry as this program writes it."""
        try:
            row = json.loads(data)
            tree = Peaks(row["size"], tuple(bytes.fromhex(peak) for peak in row["peaks"]))
            entry = cls(row["number"], row["log"], row["schema"], tuple(row["leaves"]), tree)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(f"is not an entry of the evidence log: {error}", source=source) from error
        if entry.to_bytes() != data:
            raise StoreError("is not an entry of the evidence log: it holds more than it should, or in another form", source=source)
        return entry


def record_leaf(record: str, sha256: str, rows: dict[str, Digest]) -> Leaf:
    """record: its id. sha256: of its bytes. rows: by table."""
    return {"kind": "record", "record": record, "sha256": sha256, "rows": {name: list(digest) for name, digest in rows.items()}}


def hash_of(leaf: Leaf) -> bytes:
    return leaf_hash(canonical(leaf))


def entry_path(number: int) -> str:
    return f"{LOG}{number // _SHARD:06d}/{number:012d}.json"


def origin(log: str) -> str:
    return f"faceanon-ledger/{log}"


def read_entry(store: Store, number: int) -> Entry:
    return Entry.from_bytes(store.read(entry_path(number)), store.uri(entry_path(number)))


def newest_entry(store: Store) -> int:
    """Its number, 0 where the log is empty. By asking whether names exist, twice as often as its number has bits: a listing would grow with the log."""
    high = 1
    while store.exists(entry_path(high)):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if store.exists(entry_path(middle)) else (low, middle)
    return low


def append(store: Store, leaves: Sequence[Leaf]) -> int:
    """Add leaves, without those that the newest entries hold already. Returns how many were added; a loser of a race looks again."""
    for _ in range(_RACES):
        number = newest_entry(store)
        entries = [read_entry(store, n) for n in range(max(1, number - _NEWEST + 1), number + 1)]
        there = {canonical(leaf) for entry in entries for leaf in entry.leaves}
        fresh = [leaf for leaf in leaves if canonical(leaf) not in there]
        if not fresh:
            return 0
        entry = _next(entries[-1] if entries else None, fresh)
        data = entry.to_bytes()
        try:
            store.create(entry_path(entry.number), data)
        except AlreadyExists:
            if store.read(entry_path(entry.number)) != data:  # else our own write, whose answer was lost
                continue
        return len(fresh)
    raise StoreError(f"{_RACES} other writers of the evidence log came first", source=store.uri(LOG.rstrip("/")))


def checkpoint(store: Store, signer: Signer) -> tuple[str, bytes] | None:
    """Sign the log as it is now; (name below OUT, note), or None where it is empty. Raises StoreError where it does not extend what this key signed last."""
    last = _last_signed(store, signer)  # before the log: another driver may append and sign meanwhile
    number = newest_entry(store)
    if not number:
        if last is not None:
            raise StoreError(f"is empty, and {last.size} leaves were signed: ask `faceanon verify`", source=store.uri(LOG.rstrip("/")))
        return None
    newest = read_entry(store, number)
    if last is not None:
        _check_extends(store, newest, last)
    note = signer.note(origin(newest.log), newest.tree.size, newest.tree.root)
    name = f"{CHECKPOINTS}{newest.tree.size:012d}-{signer.public.key_id.hex()}.note"
    try:
        store.create(name, note)
    except AlreadyExists:
        if store.read(name) != note:
            raise StoreError("holds another checkpoint of the same size: the evidence log was rewritten", source=store.uri(name)) from None
    return name, note


def read_checkpoints(store: Store) -> Iterator[tuple[str, bytes]]:
    """(name, note) by size."""
    for name in store.list(CHECKPOINTS):
        if name.endswith(".note"):
            yield name, store.read(name)


def schema_digest() -> str:
    return digest("schema", canonical(_schema()))[:32]


def _schema() -> dict[str, list[str]]:
    return {name: [f"{f.name} {f.type}" for f in schema] for name, schema in TABLES.items()}


def _next(before: Entry | None, fresh: list[Leaf]) -> Entry:
    log = before.log if before else secrets.token_hex(8)
    head: list[Leaf] = [] if before else [{"kind": "begin", "log": log}]
    if before is None or before.schema != schema_digest():
        head.append({"kind": "schema", "schema": schema_digest(), "tables": _schema()})
    leaves = (*head, *fresh)
    tree = (before.tree if before else Peaks()).append(hash_of(leaf) for leaf in leaves)
    return Entry(before.number + 1 if before else 1, log, schema_digest(), leaves, tree)


def _last_signed(store: Store, signer: Signer) -> Checkpoint | None:
    own = [name for name in store.list(CHECKPOINTS) if name.endswith(f"-{signer.public.key_id.hex()}.note")]
    found = parse_note(store.read(own[-1]), store.uri(own[-1])) if own else None
    return found if found and found.is_signed_by(signer.public) else None


def _check_extends(store: Store, newest: Entry, last: Checkpoint) -> None:
    """Goes back to the entry that was signed, and computes the tree again from there."""
    entries = [newest]
    while entries[-1].tree.size > last.size and entries[-1].number > 1:
        entries.append(read_entry(store, entries[-1].number - 1))
    signed, later = entries[-1], entries[-2::-1]
    tree = signed.tree.append(hash_of(leaf) for entry in later for leaf in entry.leaves)
    if (signed.tree.size, signed.tree.root) != (last.size, last.root) or tree != newest.tree or origin(newest.log) != last.origin:
        reason = f"no longer extends the {last.size} leaves that were signed: it was shortened or changed; ask `faceanon verify`"
        raise StoreError(reason, source=store.uri(LOG.rstrip("/")))
