"""Are records and tables those that the evidence log speaks of: each record by its bytes, each table's rows by the digests of its leaves.

What was not folded yet is no problem: a record without a leaf waits for the next fold, and rows that a fold left behind when it died are compared
with the record itself. So are what differs named: the record says which rows there should be.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.dataset as ds

from faceanon.core.errors import StoreError, StoreUnavailable
from faceanon.core.ports import Store
from faceanon.ledger import boxes
from faceanon.ledger.commit import RECORDS, parse_record, record_id
from faceanon.ledger.corrections import corrections_of, known_ids
from faceanon.ledger.delta import column, dataset, files_by_day, open_table
from faceanon.ledger.events import EVENT_TABLES, EVENTS
from faceanon.ledger.evidence_rows import Digest, digests_of, row_digests
from faceanon.ledger.proof_log import Evidence, Problem
from faceanon.ledger.rows import box_rows, rows_of
from faceanon.ledger.tables import to_arrow

_READERS, _READ = 8, 256
_BY_RECORD = ("segments", "shots", "tracks", "track_boxes", "outputs", *EVENT_TABLES, "commits")


@dataclass(frozen=True, slots=True)
class Committed:
    """What a record says, as far as it is checked. kind: published, quarantined or rows."""

    record: str
    path: str
    kind: str
    name: str
    seq: int
    day: str
    object: str = ""
    sha256: str = ""
    output_id: str = ""
    boxes: bool = False
    video_id: str = ""
    corrections: tuple[str, ...] = ()


def read_records(store: Store, found: Evidence) -> tuple[dict[str, Committed], list[Problem]]:
    """Every record, by id, and those that are not what was logged: changed, missing, or no records."""
    records: dict[str, Committed] = {}
    problems: list[Problem] = []
    paths = [p for prefix in (RECORDS, EVENTS) for p in store.list(prefix) if p.endswith(".json")]
    with ThreadPoolExecutor(_READERS) as readers:
        for start in range(0, len(paths), _READ):
            for path, data in zip(paths[start : start + _READ], readers.map(store.read, paths[start : start + _READ]), strict=True):
                _learn(records, problems, found, path, data)
    there = {record_id(path) for path in paths}
    problems += [Problem("record", record, "is missing: it was committed, and logged") for record in sorted(found.records.keys() - there)]
    return records, problems


def check_rows(root_uri: str, store: Store, found: Evidence, records: dict[str, Committed]) -> list[Problem]:
    """Every table against the leaves, a day at a time."""
    problems = [p for name in _BY_RECORD for p in _check_table(root_uri, store, found, records, name)]
    problems += [*_check_logged(root_uri, found), *_check_videos(root_uri, found, records)]
    problems += [*_check_keyed(root_uri, "models", "model_id", {k: [v] for k, v in found.models.items()}), *_check_keyed(root_uri, "runs", "run_id", found.runs)]
    return [*problems, *_check_current(root_uri, found, records)]


def check_corrections(store: Store, records: dict[str, Committed]) -> list[Problem]:
    """What reviewers drew must be there for as long as a video may be made again: without it, a face would be seen anew."""
    there = known_ids(store)
    named = {(r.video_id, correction): r.name for r in records.values() for correction in r.corrections}
    missing = sorted(set(named) - {(video, i) for video, ids in there.items() for i in ids})
    problems = [Problem("correction", correction, f"is missing: the output of {named[video, correction]} was made with it") for video, correction in missing]
    for video in sorted(there):
        try:
            corrections_of(store, video)
        except StoreUnavailable:
            raise
        except StoreError as error:
            problems.append(Problem("correction", error.source, error.reason))
    return problems


def newest(records: dict[str, Committed], kinds: tuple[str, ...] = ("published", "quarantined"), logged: Evidence | None = None) -> dict[str, Committed]:
    """The newest decision of each name; `logged`: among those in the evidence log."""
    found: dict[str, Committed] = {}
    for record in records.values():
        if record.kind in kinds and (logged is None or record.record in logged.records) and (record.name not in found or found[record.name].seq < record.seq):
            found[record.name] = record
    return found


def _learn(records: dict[str, Committed], problems: list[Problem], found: Evidence, path: str, data: bytes) -> None:
    record = record_id(path)
    logged = found.records.get(record)
    if logged and hashlib.sha256(data).hexdigest() != logged[0]:
        problems.append(Problem("record", path, "is not the record that was logged: it was changed"))
    try:
        records[record] = _committed(parse_record(data, path, path), path)
    except (StoreError, KeyError, TypeError, ValueError):
        if not logged:
            problems.append(Problem("record", path, "is no record of this program, and was never logged"))


def _committed(record: dict, path: str) -> Committed:
    output = record.get("output") or {}
    return Committed(
        record["record_id"], path, record["kind"], record.get("name", record.get("about", "")), record.get("seq", 0), record["committed_at"][:10],
        output.get("object", ""), output.get("sha256", ""), record.get("output_id", ""), bool(record.get("boxes")),
        record.get("video_id", ""), tuple(record.get("corrections", ())),
    )  # fmt: skip


def _check_table(root_uri: str, store: Store, found: Evidence, records: dict[str, Committed], name: str) -> Iterator[Problem]:
    seen: set[str] = set()
    for table in _days(root_uri, name):
        for record, digest in digests_of(name, table).items():
            seen.add(record)
            expected = found.records[record][1].get(name) if record in found.records else _own_digest(store, records.get(record), name)
            if digest != expected:
                yield _different(store, record, records.get(record), name, table, expected, digest)
    for record, (_, rows) in found.records.items():
        if name in rows and record not in seen and not _may_lack(found, records.get(record), name):
            yield Problem("row", _about(name, records.get(record), record), f"{_rows_words(rows[name][0])} dropped: the table has none of this record")
    if name == "track_boxes":
        for record, (_, rows) in found.records.items():
            here = records.get(record)
            if here and here.boxes and name not in rows and here.day not in found.expired:
                yield Problem("row", _about(name, here, record), "were never taken: their object was missing, or not what its record says")


def _may_lack(found: Evidence, record: Committed | None, name: str) -> bool:
    """Boxes go after some days; a row of `commits` is written last, and the next fold writes it."""
    if name == "commits":
        return True
    if name != "track_boxes":
        return False
    return record is not None and record.day in found.expired


def _days(root_uri: str, name: str) -> Iterator[pa.Table]:
    """A table's rows, a day at a time; those without a day, which no fold writes, come last."""
    table = open_table(root_uri, name)
    if table is None:
        return
    rows, days = dataset(root_uri, name, table), files_by_day(root_uri, name)
    for day in sorted(day for day in days if day is not None):
        yield rows.to_table(filter=ds.field("ingest_date") == day)
    if None in days:
        yield rows.to_table(filter=ds.field("ingest_date").is_null())


def _own_rows(store: Store, record: Committed | None, name: str) -> pa.Table | None:
    """The rows that a record gives by itself; None where it is not there, or gives none."""
    if record is None:
        return None
    try:
        whole = parse_record(store.read(record.path), record.path, record.path)
        if name == "track_boxes":
            chunks = boxes.read(store, whole.get("boxes"))
            return None if chunks is None else box_rows(whole, chunks)
        return to_arrow(name, rows_of(whole).get(name, []))
    except StoreUnavailable:
        raise
    except (StoreError, FileNotFoundError, KeyError, ValueError, TypeError):
        return None


def _own_digest(store: Store, record: Committed | None, name: str) -> Digest | None:
    rows = _own_rows(store, record, name)
    return digests_of(name, rows).get(record.record) if rows is not None and record else None


def _different(store: Store, id_: str, record: Committed | None, name: str, day: pa.Table, expected: Digest | None, digest: Digest) -> Problem:
    """Which rows, as far as the record itself can tell."""
    if expected is None:
        return Problem("row", _about(name, record, id_), f"{_rows_words(digest[0])} added: {'its record gives none' if record else 'no record gives them'}")
    there, own = day.filter(ds.field("record_id") == id_), _own_rows(store, record, name)
    if own is None or digests_of(name, own).get(id_) != expected:
        return Problem("row", _about(name, record, id_), f"{expected[0]} rows were logged, {digest[0]} are there, and not the same")
    want, have = Counter(d for _, d in row_digests(name, own)), Counter(d for _, d in row_digests(name, there))
    missing, extra = (want - have).total(), (have - want).total()
    edited = min(missing, extra)
    counts = ((edited, "edited"), (missing - edited, "dropped"), (extra - edited, "added"))
    return Problem("row", _about(name, record, id_), ", ".join(f"{_rows_words(n)} {word}" for n, word in counts if n) + _columns(own, there, edited))


def _columns(own: pa.Table, there: pa.Table, edited: int) -> str:
    """The columns of an edited row, where it is one and the rest are the same."""
    if edited != 1 or len(own) != len(there):
        return ""
    wrong = [c for c in own.column_names if c in there.column_names and Counter(map(str, own[c].to_pylist())) != Counter(map(str, there[c].to_pylist()))]
    return f" ({', '.join(wrong)})" if wrong else ""


def _rows_words(count: int) -> str:
    return "1 row was" if count == 1 else f"{count} rows were"


def _about(table: str, record: Committed | None, id_: str) -> str:
    return f"{table}: {record.name or record.record}" if record else f"{table}: record {id_}"


def _check_logged(root_uri: str, found: Evidence) -> Iterator[Problem]:
    """`commits` is written after the log, so what is in it was logged."""
    unknown = sorted({record for record in column(root_uri, "commits", "record_id") if record} - found.records.keys())
    if unknown:
        reason = f"and {len(unknown) - 1} more are in the tables and not in the evidence log: they are older than it, or it was begun anew"
        yield Problem("log", f"record {unknown[0]}", reason)


def _check_videos(root_uri: str, found: Evidence, records: dict[str, Committed]) -> Iterator[Problem]:
    """One row a name, of its newest record; while a fold is behind, of an older one."""
    decided, logged = newest(records), newest(records, logged=found)
    seen: set[str] = set()
    for table in _days(root_uri, "videos"):
        for (record, digest), name in zip(row_digests("videos", table), table["name"].to_pylist(), strict=True):
            twice = name in seen
            seen.add(name)
            may_be = {r.record for r in (decided.get(name), logged.get(name)) if r}
            expected = found.records[record][1].get("videos") if record in found.records else None
            if twice or record not in may_be:
                yield Problem("row", f"videos: {name}", "1 row was added: it is not of this name's newest record")
            elif expected and expected[1] != hashlib.sha256(digest).hexdigest():
                yield Problem("row", f"videos: {name}", "1 row was edited: it is not what was logged")
    for name in sorted(logged.keys() - seen):
        yield Problem("row", f"videos: {name}", "1 row was dropped: the table has none of this name")


def _check_keyed(root_uri: str, name: str, key: str, logged: dict[str, list[Digest]]) -> Iterator[Problem]:
    """Tables with one row a key. A run's row may still be the one from before the run ended: the next fold renews it."""
    table = open_table(root_uri, name)
    there = {} if table is None else digests_of(name, dataset(root_uri, name, table).to_table(), by=key)
    for word, digest in there.items():
        if word not in logged:
            yield Problem("row", f"{name}: {word}", f"{_rows_words(digest[0])} added: it was never logged")
        elif digest not in logged[word]:
            yield Problem("row", f"{name}: {word}", "1 row was edited: it is not what was logged")
    for word in sorted(logged.keys() - there.keys()):
        yield Problem("row", f"{name}: {word}", "1 row was dropped")


def _check_current(root_uri: str, found: Evidence, records: dict[str, Committed]) -> Iterator[Problem]:
    """Which output a name shows is derived: it is derived here again. A fold that is under way, or died, may have marked the next one already, or not yet."""
    table = open_table(root_uri, "outputs")
    if table is None:
        return
    rows = dataset(root_uri, "outputs", table).to_table(columns=["record_id", "name", "state"]).to_pylist()
    folded = {row["record_id"] for row in rows}
    there = {k: r for k, r in records.items() if k in folded}
    shown = [newest(there, ("published",), logged) for logged in (found, None)]
    for row in rows:
        right = {"current" if row["name"] in by and by[row["name"]].record == row["record_id"] else "superseded" for by in shown}
        if row["record_id"] in there and row["state"] not in right:
            yield Problem("row", f"outputs: {row['name']}", f"1 row was edited: it says {row['state']}, and is {right.pop()}")
