"""Originals as the ledger knows them, by the folder they lie in. Nothing is selected by looking at a store: what the ledger does not name is nobody's here.

Rows come from the tables, but for names whose newest records no fold has taken yet; their logs are read. The age of an original counts from when it
came in: as a manifest said, else the time of the first record about these bytes. Never from a file's own times.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from faceanon.archive.versions import ObjectVersion
from faceanon.core.ports import Store
from faceanon.ledger.commit import RECORDS, log_of, read_record, record_id, record_path
from faceanon.retention.ledger_rows import table_rows
from faceanon.retention.policy import Subject

_READERS = 8

_SQL = """SELECT v.name, v.uri, v.collection, v.tags, v.video_id, v.state, v.stage, v.size, v.store_version_id, v.ingested_at, v.ingested_at_source, f.first_at
FROM videos v LEFT JOIN (SELECT name, video_id, min(committed_at) AS first_at FROM commits WHERE name IS NOT NULL GROUP BY name, video_id) f
  ON f.name = v.name AND f.video_id = v.video_id
ORDER BY regexp_replace(v.uri, '/[^/]*$', ''), v.uri, v.name"""

Record = dict[str, Any]


@dataclass(frozen=True)
class Known:
    """One name and the original that its newest decision is about. size: -1 where it was never read. word: its version, as ObjectVersion.word."""

    subject: Subject
    video_id: str
    state: str
    size: int
    word: str
    ingested_at: datetime

    def is_about(self, version: ObjectVersion) -> bool:
        return (self.size, self.word) == (version.size, version.word)


@dataclass(frozen=True)
class Original:
    """One address, with every name that was ever published or quarantined from it."""

    uri: str
    known: tuple[Known, ...]

    @property
    def subjects(self) -> tuple[Subject, ...]:
        return tuple(k.subject for k in self.known)


def folders(store: Store) -> Iterator[tuple[str, list[Original]]]:
    """(folder, originals directly in it), by address."""
    behind = _behind(store)
    names = {k.subject.name for k in behind}
    there = (_known(row) for row in table_rows(store, _SQL) if row["stage"] != "manifest" and row["name"] not in names)
    everything = heapq.merge(there, sorted(behind, key=_place), key=_place)
    originals = (Original(uri, tuple(known)) for uri, known in groupby(everything, key=lambda k: k.subject.uri))
    for folder, some in groupby(originals, key=lambda o: _folder(o.uri)):
        yield folder or "/", list(some)


def named(store: Store, uri: str) -> Original | None:
    """The original at one address."""
    return next((o for _, some in folders(store) for o in some if o.uri == uri), None)


def log(store: Store, name: str) -> list[Record]:
    """Every record of a name, oldest first."""
    return [read_record(store, path) for path in store.list(log_of(name)) if path.endswith(".json")]


def about(records: Sequence[Record], version: ObjectVersion, digest: Callable[[], str] | None = None) -> list[Record]:
    """Those about these bytes: of the same size and version word or, where no word fits, of the digest that `digest` finds by reading them.

    A file that was touched, or copied back, has another word and the same bytes.
    """
    sources = [(r["source"], r) for r in records if (r["source"]["uri"], r["source"]["size"]) == (version.uri, version.size)]
    found = [r for source, r in sources if source["version"] == version.word]
    if found or digest is None or not any(source["sha256"] for source, _ in sources):
        return found
    sha256 = digest()
    return [r for source, r in sources if source["sha256"] == sha256]


def came_in(records: Sequence[Record]) -> datetime | None:
    """When these bytes came in, of all records about them; where manifests differ the latest, which keeps them longest. None without a record."""
    told = [datetime.fromisoformat(r["ingested_at"]).astimezone(UTC) for r in records if r.get("ingested_at")]
    return max(told) if told else min((datetime.fromisoformat(r["committed_at"]) for r in records), default=None)


def subject_of(record: Record) -> Subject:
    return Subject(record["source"]["uri"], record["name"], record["collection"] or "", frozenset(record["tags"] or ()))


def _folder(uri: str) -> str:
    return uri.rpartition("/")[0]


def _place(known: Known) -> tuple[str, str, str]:
    return _folder(known.subject.uri), known.subject.uri, known.subject.name


def _known(row: dict[str, Any]) -> Known:
    came = row["ingested_at"] if row["ingested_at_source"] == "manifest" else row["first_at"] or row["ingested_at"]
    subject = Subject(row["uri"], row["name"], row["collection"] or "", frozenset(row["tags"] or ()))
    size = -1 if row["size"] is None else row["size"]
    return Known(subject, row["video_id"] or "", row["state"], size, row["store_version_id"] or "", came.astimezone(UTC))


def _behind(store: Store) -> list[Known]:
    """Names with a record that the tables lack."""
    folded = {row["record_id"] for row in table_rows(store, "SELECT record_id FROM commits")}
    missing = [i for path in store.list(RECORDS) if path.endswith(".json") and (i := record_id(path)) not in folded]
    with ThreadPoolExecutor(_READERS) as readers:
        names = sorted(set(readers.map(lambda i: read_record(store, record_path(i))["name"], _last_of_each(missing))))
        return [_newest(records) for records in readers.map(lambda name: log(store, name), names) if records[-1].get("stage") != "manifest"]


def _last_of_each(ids: Iterable[str]) -> list[str]:
    return [list(some)[-1] for _, some in groupby(sorted(ids), key=lambda i: i.rsplit("-", 1)[0])]


def _newest(records: list[Record]) -> Known:
    newest = records[-1]
    source = newest["source"]
    same = [r for r in records if r["video_id"] == newest["video_id"]]
    came = came_in([newest] if newest.get("ingested_at") else same)
    assert came is not None
    return Known(subject_of(newest), newest["video_id"] or "", newest["kind"], source["size"], source["version"], came)
