"""Decisions, committed: each name has a log of records, and a record is made once, whole, or not at all.

    OUT/ledger/records/<key of the name>/<000001, 000002, ...>.json

The place in the log is taken by put-if-absent, so two writers can never both be the newest, whatever their clocks say; the newest
record of a name is its state and the newest publication is its current output. Going back to earlier settings is one more entry, not an edit.
Saying again what the newest record says changes nothing and is a success.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

from faceanon.core.errors import AlreadyExists, StoreError
from faceanon.core.ids import digest
from faceanon.core.ports import Store
from faceanon.ledger.privacy import assert_private
from faceanon.ledger.records import comparable

RECORDS = "ledger/records/"
_RACES = 100  # other writers of the same name that may come first


def now() -> datetime:
    return datetime.now(UTC)


def log_of(name: str) -> str:
    """The folder that holds a name's records."""
    return f"{RECORDS}{digest('name', name)[:32]}/"


def record_id(path: str) -> str:
    """A record's id, from where it lies."""
    key, file = path.rsplit("/", 2)[-2:]
    return f"{key}-{file.removesuffix('.json')}"


def record_path(record: str) -> str:
    """Where the record of an id lies."""
    return f"{RECORDS}{record.replace('-', '/')}.json"


def commit_published(store: Store, record: dict, clock: Callable[[], datetime] = now) -> bool:
    """Publish. True where this call made the record, False where the name's newest record says the same already.

    Raises StoreError where the same output was committed before with other content: then something is not deterministic.
    """
    return _append(store, record, _newest_says_published, clock)


def commit_quarantined(store: Store, record: dict, clock: Callable[[], datetime] = now) -> bool:
    """Quarantine. False where the newest record says the same, or says that this very version is published under these settings."""
    return _append(store, record, _newest_says_quarantined, clock)


def read_record(store: Store, path: str) -> dict:
    """Raises StoreError where the object is not a record."""
    return parse_record(store.read(path), path, store.uri(path))


def parse_record(data: bytes, path: str, source: str) -> dict:
    """A record from its bytes, with its id. Raises StoreError."""
    try:
        record = json.loads(data)
        return {**record, "record_id": record_id(path)}
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError) as error:
        raise StoreError(f"is not a record of the ledger: {error}", source=source) from error


def _append(store: Store, record: dict, says_so: Callable[[list[dict], dict], bool], clock: Callable[[], datetime]) -> bool:
    assert_private(record)
    for _ in range(_RACES):
        log = [read_record(store, path) for path in store.list(log_of(record["name"])) if path.endswith(".json")]
        if says_so(log, record):
            return False
        entry = _entry(store, record, log, clock)
        path = f"{log_of(record['name'])}{entry['seq']:06d}.json"
        data = json.dumps(entry, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        try:
            store.create(path, data)
        except AlreadyExists:
            if store.read(path) == data:  # our own write, whose answer was lost and which the client sent again
                return True
            continue
        return True
    raise StoreError(f"{_RACES} other writers of this name came first", source=record["name"])


def _entry(store: Store, record: dict, log: list[dict], clock: Callable[[], datetime]) -> dict:
    publications = [r for r in log if r["kind"] == "published"]
    before = {k: publications[-1][k] for k in ("record_id", "output_id")} if publications else None
    moment = clock().astimezone(UTC).isoformat(timespec="microseconds")
    entry = {**record, "seq": log[-1]["seq"] + 1 if log else 1, "committed_at": moment}
    if record["kind"] == "published":
        return {**entry, "supersedes": before, "output": {**record["output"], "out_uri": store.uri(record["output"]["object"])}}
    return {**entry, "stands": before}


def _newest_says_published(log: list[dict], record: dict) -> bool:
    """An older, superseded record may hold other bytes: another machine made them, and they are no longer shown."""
    if not log or log[-1]["kind"] != "published" or log[-1]["output_id"] != record["output_id"]:
        return False
    was, now = log[-1]["output"]["sha256"], record["output"]["sha256"]
    if was != now:
        raise StoreError(
            f"output {record['output_id']} was committed before with other content (sha256 {was[:12]}..., now {now[:12]}...); "
            "the same source, settings and key must give the same bytes",
            source=record["name"],
        )
    return True


def _newest_says_quarantined(log: list[dict], record: dict) -> bool:
    if not log:
        return False
    newest = log[-1]
    if newest["kind"] == "published":
        words = ("video_id", "settings_digest", "keystore_id", "scope")
        return bool(record["video_id"]) and all(newest[w] == record[w] for w in words) and newest.get("corrections") == record.get("corrections")
    return comparable({**newest, "schema_version": 0}) == comparable({**record, "schema_version": 0})
