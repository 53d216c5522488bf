"""What was decided before: the input of every plan, and what `videos/` is made from.

The records are the truth; the table `videos` is their index. One listing says which record is the newest of each name. Where the table
holds that very record, its row is taken; only newer ones (a fold that is behind, or never came) are read one by one. What comes out is columns
with the face of a mapping: a million names cost about 300 bytes each, and an entry is made when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from faceanon.core.ports import Store
from faceanon.core.records import SourceVersion
from faceanon.ledger.commit import RECORDS, read_record, record_id, record_path
from faceanon.ledger.corrections import known_ids
from faceanon.ledger.delta import dataset, open_table
from faceanon.ledger.rows import rows_of
from faceanon.ledger.tables import to_arrow

_READERS = 8  # reads in flight; an object store answers in tens of milliseconds, whatever the size
_ROWS = 16384  # records that are read one by one, at a time
_INDEX_ROWS = 131_072  # of the table, at a time
_COLUMNS = (
    "record_id", "state", "stands", "name", "stage", "reason", "video_id", "output_id", "seq", "uri", "size", "store_version_id", "sha256",
    "settings_digest", "keystore_id", "scope", "object", "out_sha256",
)  # fmt: skip
_KEPT = _COLUMNS[3:]  # once it is known whether a row counts
_FEW = {"stage", "reason", "settings_digest", "keystore_id", "scope"}  # few different values: kept once each

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Current:
    """The output that a name shows now."""

    name: str
    video_id: str
    output_id: str
    source: SourceVersion
    settings_digest: str
    keystore_id: str
    scope: str
    object: str  # the committed file, relative to OUT
    out_uri: str
    sha256: str
    seq: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The quarantine that is a name's newest decision. `source` has size -1 where it was never read."""

    name: str
    video_id: str
    source: SourceVersion
    settings_digest: str
    keystore_id: str
    scope: str
    stage: str
    reason: str
    seq: int


class Entries(Mapping[str, T]):
    """name -> entry over rows in Arrow batches."""

    def __init__(self, batches: Sequence[pa.RecordBatch], make: Callable[[dict], T]) -> None:
        self._batches = batches
        self._make = make
        self._starts = np.cumsum([0, *(len(b) for b in batches)])
        hashes = np.fromiter((hash(name) for name in self), np.int64, len(self))
        self._order = np.argsort(hashes, kind="stable").astype(np.int32)
        self._hashes = hashes[self._order]

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __iter__(self) -> Iterator[str]:
        for batch in self._batches:
            yield from (name.as_py() for name in batch.column("name"))

    def __getitem__(self, name: str) -> T:
        place = int(np.searchsorted(self._hashes, hash(name)))
        while place < len(self._hashes) and self._hashes[place] == hash(name):
            row = int(self._order[place])
            number = int(np.searchsorted(self._starts, row, side="right")) - 1
            batch, at = self._batches[number], row - int(self._starts[number])
            if batch.column("name")[at].as_py() == name:
                return self._make(batch.slice(at, 1).to_pylist()[0])
            place += 1
        raise KeyError(name)

    def each(self) -> Iterator[T]:
        """Every entry, a batch of rows at a time."""
        for batch in self._batches:
            for start in range(0, len(batch), _ROWS):
                yield from map(self._make, batch.slice(start, _ROWS).to_pylist())


@dataclass(frozen=True)
class Known:
    """`current` also holds a name that was published once and whose newer version is quarantined: its last good output stands.

    corrected: the ids of each video's corrections, by video_id.
    """

    current: Entries[Current]
    quarantined: Entries[Refused]
    corrected: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    records_read: int = field(default=0, compare=False)  # one by one, because no table held them

    def is_published(self, name: str, source: SourceVersion, settings_digest: str, keystore_id: str, scope: str) -> bool:
        """This version of the source is what the name shows, made with these settings and keys. An empty sha256 is not compared."""
        found = self.current.get(name)
        return found is not None and _same(found, source, settings_digest, keystore_id, scope) and name not in self.quarantined

    def is_quarantined(self, name: str, source: SourceVersion, settings_digest: str, keystore_id: str, scope: str) -> bool:
        """This version of the source was refused under these settings, and nothing newer is known."""
        found = self.quarantined.get(name)
        return found is not None and _same(found, source, settings_digest, keystore_id, scope)


def known(store: Store) -> Known:
    """The newest decision of every name, and the newest publication below it where that decision is a quarantine."""
    newest = _newest(store)
    rows, found = _Rows(), [pa.array([], pa.string())]
    for batch in _indexed(store.root, newest):
        found.append(batch.column("record_id"))
        rows.take(batch)
    behind = newest.filter(pc.invert(pc.is_in(newest, value_set=pa.concat_arrays(found)))).to_pylist()
    for some in (behind[start : start + _ROWS] for start in range(0, len(behind), _ROWS)):
        rows.take(_read(store, some))
    read = len(behind) + len(rows.standing)
    rows.take(_read(store, rows.standing))
    return Known(Entries(rows.published, lambda row: _current(store, row)), Entries(rows.quarantined, _refused), known_ids(store), read)


class _Rows:
    """Rows of decisions, sorted into published and quarantined ones, kept small. `standing`: ids of publications below a quarantine."""

    def __init__(self) -> None:
        self.published: list[pa.RecordBatch] = []
        self.quarantined: list[pa.RecordBatch] = []
        self.standing: list[str] = []

    def take(self, batch: pa.RecordBatch) -> None:
        self.published += _kept(batch.filter(pc.equal(batch.column("state"), "published")))
        refused = batch.filter(pc.equal(batch.column("state"), "quarantined"))
        self.quarantined += _kept(refused)
        self.standing += [record for record in refused.column("stands").to_pylist() if record]


def _kept(batch: pa.RecordBatch) -> list[pa.RecordBatch]:
    """What an entry needs, repeated texts once; nothing where there is no row."""
    columns = [batch.column(name).dictionary_encode() if name in _FEW else batch.column(name) for name in _KEPT]
    return [pa.RecordBatch.from_arrays(columns, list(_KEPT))] if len(batch) else []


def _newest(store: Store) -> pa.Array:
    """The id of the newest record of every name."""
    paths = (p for p in store.list(RECORDS) if p.endswith(".json"))
    return pa.array((record_id(list(log)[-1]) for _, log in groupby(paths, key=lambda p: p.rsplit("/", 1)[0])), pa.string())


def _indexed(root_uri: str, newest: pa.Array) -> Iterator[pa.RecordBatch]:
    """The rows that hold one of these records whole; a table of an older version lacks what is asked for, and then counts as behind."""
    table = open_table(root_uri, "videos") if len(newest) else None
    there = None if table is None else dataset(root_uri, "videos", table)
    if there is None or not set(_COLUMNS) <= set(there.schema.names):
        return
    whole = ds.field("settings_digest").is_valid()
    for batch in there.to_batches(columns=list(_COLUMNS), filter=whole, batch_size=_INDEX_ROWS, batch_readahead=2, fragment_readahead=1):
        own = batch.filter(pc.is_in(batch.column("record_id"), value_set=newest))
        if len(own):
            yield own


def _read(store: Store, ids: Sequence[str]) -> pa.RecordBatch:
    """Records by id, as the rows that a fold would make of them."""
    with ThreadPoolExecutor(_READERS) as readers:
        videos = [row for record in readers.map(lambda i: read_record(store, record_path(i)), ids) for row in rows_of(record)["videos"]]
    return pa.RecordBatch.from_struct_array(to_arrow("videos", videos).select(list(_COLUMNS)).to_struct_array().combine_chunks())


def _same(found: Current | Refused, source: SourceVersion, settings_digest: str, keystore_id: str, scope: str) -> bool:
    same_bytes = (found.source.uri, found.source.size, found.source.version) == (source.uri, source.size, source.version)
    if source.sha256 and found.source.sha256:
        same_bytes = found.source.sha256 == source.sha256
    return same_bytes and (found.settings_digest, found.keystore_id, found.scope) == (settings_digest, keystore_id, scope)


def _words(row: dict) -> dict:
    words = ("name", "video_id", "settings_digest", "keystore_id", "scope", "seq")
    size = -1 if row["size"] is None else row["size"]
    return {**{w: row[w] for w in words}, "source": SourceVersion(row["uri"], size, row["store_version_id"] or "", row["sha256"] or "")}


def _current(store: Store, row: dict) -> Current:
    return Current(**_words(row), output_id=row["output_id"], object=row["object"], out_uri=store.uri(row["object"]), sha256=row["out_sha256"])


def _refused(row: dict) -> Refused:
    return Refused(**_words(row), stage=row["stage"], reason=row["reason"])


def nothing() -> Known:
    """What an empty OUT knows."""
    return Known(Entries((), dict), Entries((), dict))  # type: ignore[arg-type]
