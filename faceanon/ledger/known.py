"""What was decided before, read from the records alone: the input of every plan, and what `videos/` is made from."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby

from faceanon.core.ports import Store
from faceanon.core.records import SourceVersion
from faceanon.ledger.commit import RECORDS, read_record, record_path

_READERS = 8  # reads in flight; an object store answers in tens of milliseconds, whatever the size


@dataclass(frozen=True)
class Current:
    """The output that a name shows now."""

    name: str
    video_id: str
    output_id: str
    source: SourceVersion
    settings_digest: str
    keystore_id: str
    scope: str
    scope_name: str
    object: str  # the committed file, relative to OUT
    out_uri: str
    sha256: str
    record_id: str
    seq: int


@dataclass(frozen=True)
class Refused:
    """The quarantine that is a name's newest decision. `source` has size -1 where it was never read."""

    name: str
    video_id: str
    source: SourceVersion
    settings_digest: str
    keystore_id: str
    scope: str
    scope_name: str
    stage: str
    reason: str
    record_id: str
    seq: int


@dataclass(frozen=True)
class Known:
    """`current` also holds a name that was published once and whose newer version is quarantined: its last good output stands."""

    current: Mapping[str, Current] = field(default_factory=dict)
    quarantined: Mapping[str, Refused] = field(default_factory=dict)

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
    paths = [p for p in store.list(RECORDS) if p.endswith(".json")]
    newest = [list(log)[-1] for _, log in groupby(paths, key=lambda p: p.rsplit("/", 1)[0])]
    with ThreadPoolExecutor(_READERS) as readers:
        records = list(readers.map(lambda path: read_record(store, path), newest))
        standing = [record_path(r["stands"]["record_id"]) for r in records if r["kind"] == "quarantined" and r["stands"]]
        records += readers.map(lambda path: read_record(store, path), standing)
    return Known(
        {r["name"]: _current(r) for r in records if r["kind"] == "published"},
        {r["name"]: _refused(r) for r in records if r["kind"] == "quarantined"},
    )


def _same(found: Current | Refused, source: SourceVersion, settings_digest: str, keystore_id: str, scope: str) -> bool:
    same_bytes = (found.source.uri, found.source.size, found.source.version) == (source.uri, source.size, source.version)
    if source.sha256 and found.source.sha256:
        same_bytes = found.source.sha256 == source.sha256
    return same_bytes and (found.settings_digest, found.keystore_id, found.scope) == (settings_digest, keystore_id, scope)


def _words(record: dict) -> dict:
    words = ("name", "video_id", "settings_digest", "keystore_id", "scope", "scope_name", "record_id", "seq")
    return {**{w: record[w] for w in words}, "source": SourceVersion(**record["source"])}


def _current(record: dict) -> Current:
    output = record["output"]
    return Current(**_words(record), output_id=record["output_id"], object=output["object"], out_uri=output["out_uri"], sha256=output["sha256"])


def _refused(record: dict) -> Refused:
    return Refused(**_words(record), stage=record["stage"], reason=record["reason"])
