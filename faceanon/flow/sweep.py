"""What nobody needs any more below OUT and the work root: found, and removed.

Only what is older than an age, by the store's own clock, and never what a record names, whatever its state, nor a live run's. A run is
live unless its process is certainly dead or it has written nothing for that age. While a run lives, half-made work stays, since nobody can
tell whose it is; an object without a record goes only if nothing below the work root could still publish it. People who are known across
videos (the gallery) are never touched.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from faceanon.archive.doctor import PROBES
from faceanon.archive.entries import Entry
from faceanon.core.ports import Store
from faceanon.flow import layout
from faceanon.flow.host import is_dead
from faceanon.ledger.commit import RECORDS, read_record

_READERS = 8


class SweptStore(Store, Protocol):
    """A Store that also tells ages and sizes."""

    def entries(self, prefix: str) -> list[Entry]: ...

    def clock_s(self) -> float: ...

    def unfinished(self, older_than_s: float) -> list[Entry]: ...

    def drop(self, entry: Entry) -> None: ...


@dataclass(frozen=True)
class Swept:
    """One thing that goes. what: its kind, in words. size: bytes, -1 where the store does not say. age_s: by the store's clock."""

    what: str
    uri: str
    size: int
    age_s: float


@dataclass(frozen=True)
class _Found:
    swept: Swept
    store: SweptStore
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class _Places:
    """out_limit_s, work_limit_s: what was written before is old. live: runs that may still be going on."""

    out: SweptStore
    work: SweptStore
    older_than_s: float
    out_limit_s: float
    work_limit_s: float
    live: frozenset[str]


def sweep(out: SweptStore, work: SweptStore, *, older_than_s: float, dry_run: bool = False) -> Iterator[Swept]:
    """Every thing that is old and nobody's, as it goes; with `dry_run`, as it would go."""
    out_limit_s, work_limit_s = out.clock_s() - older_than_s, work.clock_s() - older_than_s
    live = _live_runs(out, work, out_limit_s, work_limit_s)
    places = _Places(out, work, older_than_s, out_limit_s, work_limit_s, live)
    for find in (_unfinished, _probes, _attempts, _half_made, _orphans):
        for found in find(places):
            if not dry_run:
                _remove(found)
            yield found.swept


def _remove(found: _Found) -> None:
    for entry in found.entries:
        if found.swept.what == _UNFINISHED:
            found.store.drop(entry)
        else:
            found.store.delete(entry.name)


_UNFINISHED = "unfinished file or upload"


def _unfinished(places: _Places) -> Iterator[_Found]:
    for store in (places.out, places.work):
        for entry in store.unfinished(places.older_than_s):
            if store is places.work or not _below(store, entry, places.work):
                yield _found(_UNFINISHED, store, [entry], places)


def _below(store: SweptStore, entry: Entry, inner: SweptStore) -> bool:
    """The work root may lie below OUT; then it is seen once."""
    return f"{store.root.rstrip('/')}/{entry.name}".startswith(f"{inner.root.rstrip('/')}/")


def _probes(places: _Places) -> Iterator[_Found]:
    """What a doctor left that was killed."""
    for store, limit_s in ((places.out, places.out_limit_s), (places.work, places.work_limit_s)):
        old = [entry for entry in store.entries(PROBES) if entry.modified_s < limit_s]
        if old:
            yield _found("probe of a store", store, old, places)


def _attempts(places: _Places) -> Iterator[_Found]:
    """Notes of dead runs, and their marks."""
    for run, entries in sorted(_by_folder(places.work.entries("attempts"), "attempts/").items()):
        if run not in places.live and all(entry.modified_s < places.work_limit_s for entry in entries):
            yield _found("notes of a dead run", places.work, entries, places)
    for entry in places.out.entries("runs"):
        run = entry.name.removeprefix("runs/").removesuffix(layout.MARK)
        if entry.name.endswith(layout.MARK) and run not in places.live and entry.modified_s < places.out_limit_s:
            yield _found("mark of a dead run", places.out, [entry], places)


def _half_made(places: _Places) -> Iterator[_Found]:
    """Plans, sealed analyses, staged segments. Asked again for each folder whether a run has begun meanwhile."""
    for _, entries in sorted(_by_folder(places.work.entries("videos"), "videos/").items()):
        if all(entry.modified_s < places.work_limit_s for entry in entries):
            if _live_runs(places.out, places.work, places.out_limit_s, places.work_limit_s):
                return
            yield _found("half-made work", places.work, entries, places)


def _orphans(places: _Places) -> Iterator[_Found]:
    """Objects that no record names: what a run uploaded before it died, or before another one won.

    A run that publishes has its work folder from its first step until its record is made. So where there is no folder, and then no
    record, nobody is about to name the object.
    """
    old = [entry for entry in places.out.entries("objects") if entry.modified_s < places.out_limit_s]
    here = {name.split("/")[1] for name in places.work.list("attempts")}
    if not old or not places.live <= here:  # a live run works under another root, where it cannot be seen
        return
    busy = {name.split("/")[1] for name in places.work.list("videos")}
    named = _named(places.out)
    for entry in old:
        if entry.name not in named and entry.name.rsplit("/", 1)[-1].split("-")[0].split(".")[0] not in busy:
            yield _found("object without a record", places.out, [entry], places)


def _named(out: Store) -> frozenset[str]:
    """Objects that any record names, also one that is superseded."""
    paths = [path for path in out.list(RECORDS) if path.endswith(".json")]
    with ThreadPoolExecutor(_READERS) as readers:
        records = readers.map(lambda path: read_record(out, path), paths)
        return frozenset(record["output"]["object"] for record in records if record["kind"] == "published")


def _live_runs(out: SweptStore, work: SweptStore, out_limit_s: float, work_limit_s: float) -> frozenset[str]:
    """Runs of which something was written lately, and whose process is not certainly dead."""
    live = {run for run, entries in _by_folder(work.entries("attempts"), "attempts/").items() if any(entry.modified_s >= work_limit_s for entry in entries)}
    marks = [entry for entry in out.entries("runs") if entry.name.endswith(layout.MARK)]
    live |= {entry.name.removeprefix("runs/").removesuffix(layout.MARK) for entry in marks if entry.modified_s >= out_limit_s}
    return frozenset(run for run in live if not _is_over(out, work, run))


def _is_over(out: Store, work: Store, run: str) -> bool:
    """Certainly: a mark names a process of this machine that is gone. A run without a mark has ended, and taken it away."""
    marks = []
    for store, name in ((work, layout.driver_mark(run)), (out, layout.out_mark(run))):
        try:
            marks.append(json.loads(store.read(name)))
        except FileNotFoundError:
            continue
    return all(is_dead(mark) for mark in marks)


def _by_folder(entries: list[Entry], prefix: str) -> dict[str, list[Entry]]:
    folders: dict[str, list[Entry]] = {}
    for entry in entries:
        folders.setdefault(entry.name.removeprefix(prefix).split("/")[0], []).append(entry)
    return folders


def _found(what: str, store: SweptStore, entries: list[Entry], places: _Places) -> _Found:
    limit_s = places.out_limit_s if store is places.out else places.work_limit_s
    newest_s = max(entry.modified_s for entry in entries)
    size = -1 if any(entry.size < 0 for entry in entries) else sum(entry.size for entry in entries)
    name = entries[0].name if len(entries) == 1 else "/".join(entries[0].name.split("/")[:2])
    return _Found(Swept(what, store.uri(name), size, limit_s + places.older_than_s - newest_s), store, tuple(entries))
