"""Is the evidence log the one that was signed: every entry read, the tree computed anew, and compared with every checkpoint at hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from faceanon.core.errors import FaceanonError, StoreError, StoreUnavailable
from faceanon.core.ports import Store
from faceanon.ledger.evidence import LOG, Entry, Leaf, entry_path, hash_of, origin
from faceanon.ledger.evidence_note import Checkpoint, PublicKey, parse_note
from faceanon.ledger.evidence_rows import Digest
from faceanon.ledger.evidence_tree import Peaks

_READERS, _READ = 8, 64


@dataclass(frozen=True)
class Problem:
    """Something that is not as the evidence says. kind: log, checkpoint, record, row, correction or output."""

    kind: str
    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.kind}  {self.name}  {self.reason}"


@dataclass
class Evidence:
    """What the log says. Of a record, a model or a run that ended, the first leaf counts: who can write may add leaves, but not before others."""

    log: str = ""
    tree: Peaks = field(default_factory=Peaks)
    roots: dict[int, bytes] = field(default_factory=dict)  # by size, after each entry
    records: dict[str, tuple[str, dict[str, Digest]]] = field(default_factory=dict)  # id -> digest of its bytes, digests of its rows by table
    models: dict[str, Digest] = field(default_factory=dict)
    runs: dict[str, list[Digest]] = field(default_factory=dict)  # before it ended, and when it had
    ended: set[str] = field(default_factory=set)
    expired: set[str] = field(default_factory=set)  # days of track_boxes, ISO 8601

    def learn(self, leaf: Leaf) -> None:
        """Raises KeyError, TypeError or ValueError where it is no leaf that this program writes."""
        kind = leaf["kind"]
        if kind == "record":
            self.records.setdefault(leaf["record"], (leaf["sha256"], {name: (int(n), str(d)) for name, (n, d) in leaf["rows"].items()}))
        elif kind == "model":
            self.models.setdefault(leaf["model_id"], _digest(leaf))
        elif kind == "run" and leaf["run_id"] not in self.ended:
            self.runs.setdefault(leaf["run_id"], []).append(_digest(leaf))
            self.ended |= {leaf["run_id"]} if leaf["ended"] else set()
        elif kind == "expire":
            self.expired.add(leaf["ingest_date"])


def read_evidence(store: Store) -> tuple[Evidence, list[Problem]]:
    """The whole log, and what is wrong with it by itself."""
    found, problems = Evidence(), []
    names = [name for name in store.list(LOG) if name.endswith(".json")]
    last = len(names)
    expected = [entry_path(number) for number in range(1, last + 1)]
    if names != expected:
        missing = sorted(set(expected) - set(names)) or sorted(set(names) - set(expected))
        problems.append(Problem("log", missing[0], "is missing: entries are numbered without gaps" if missing[0] in expected else "is no entry of the log"))
        last = next((n for n, name in enumerate(expected) if name not in set(names)), last)
    for number, entry in enumerate(_entries(store, last), 1):
        if isinstance(entry, Problem):
            problems.append(entry)
            break
        problems += _take(found, number, entry)
    return found, problems


def check_notes(found: Evidence, notes: Sequence[tuple[str, bytes]], keys: Sequence[PublicKey]) -> tuple[list[Problem], list[tuple[str, Checkpoint]]]:
    """Checkpoints against the log: (where it lies, note). keys: whose signatures count; none given: the key that the note itself names.

    Also returns those that hold, by size. A note that nobody of `keys` signed is a problem, since somebody else's says nothing.
    """
    problems, good = [], []
    for where, note in notes:
        try:
            read = parse_note(note)
        except FaceanonError as error:
            problems.append(Problem("checkpoint", where, error.reason))
            continue
        reason = _fault(found, read, keys)
        if reason:
            problems.append(Problem("checkpoint", where, reason))
        else:
            good.append((where, read))
    return problems, sorted(good, key=lambda pair: pair[1].size)


def _fault(found: Evidence, read: Checkpoint, keys: Sequence[PublicKey]) -> str:
    trusted = list(keys) or ([read.key] if read.key else [])
    if not any(read.is_signed_by(key) for key in trusted):
        return "is not signed by a key that you trust" if keys else "its signature does not hold"
    if read.origin != origin(found.log):
        return f"is of another log: {read.origin}, here is {origin(found.log) if found.log else 'none'}"
    if read.size > found.tree.size:
        return f"{read.size} leaves were signed, the log holds {found.tree.size}: it was shortened"
    if found.roots.get(read.size) != read.root:
        return f"the first {read.size} leaves are not those that were signed: the log was changed"
    return ""


def _entries(store: Store, last: int) -> Iterator[Entry | Problem]:
    def read(number: int) -> Entry | Problem:
        name = entry_path(number)
        try:
            return Entry.from_bytes(store.read(name), name)
        except FileNotFoundError:
            return Problem("log", name, "vanished while it was read")
        except StoreUnavailable:
            raise
        except StoreError as error:
            return Problem("log", name, error.reason)

    with ThreadPoolExecutor(_READERS) as readers:
        for start in range(1, last + 1, _READ):
            yield from readers.map(read, range(start, min(start + _READ, last + 1)))


def _take(found: Evidence, number: int, entry: Entry) -> list[Problem]:
    problems = []
    if number == 1:
        found.log = entry.log
    if (entry.number, entry.log) != (number, found.log):
        problems.append(Problem("log", entry_path(number), "is an entry of another place"))
    for leaf in entry.leaves:
        found.tree = found.tree.append([hash_of(leaf)])
        try:
            found.learn(leaf)
        except (KeyError, TypeError, ValueError, AttributeError):
            problems.append(Problem("log", entry_path(number), f"leaf {found.tree.size} is none that this program writes"))
    found.roots[found.tree.size] = found.tree.root
    if entry.tree != found.tree:
        problems.append(Problem("log", entry_path(number), "its tree is not that of its leaves and those before it: it was changed"))
        found.tree = entry.tree  # so that only what was changed is named
    return problems


def _digest(leaf: Leaf) -> Digest:
    count, sha256 = leaf["rows"]
    return int(count), str(sha256)
