"""The whole story of one video, from either end: output -> segments -> run and models -> source, and what was decided about it later.

The story is read from the records, which are there before any fold; tables answer which name a URI belongs to, and what audits, reviews and
retention runs have added. With `proven` it also says where in the evidence log each record stands, with what an auditor needs to compute the
signed root without reading the log.
"""

from __future__ import annotations

from typing import Any

import pyarrow.dataset as ds

from faceanon.core.ports import Store
from faceanon.ledger.commit import log_of, read_record
from faceanon.ledger.delta import column, dataset, open_table
from faceanon.ledger.evidence import Leaf, hash_of, newest_entry, read_checkpoints, read_entry
from faceanon.ledger.evidence_note import parse_note
from faceanon.ledger.evidence_tree import inclusion_proof
from faceanon.ledger.known import known
from faceanon.ledger.rows import run_row
from faceanon.ledger.runs import read_summary

VIEWS, OBJECTS = "videos/", "objects/"
_PERSON = ("label", "method", "tracks", "frames_face", "frames_obscured")

Story = dict[str, Any]


def names_of(root_uri: str, store: Store, uri: str) -> list[str]:
    """The names under which the video at `uri` is known; it may be a source, a file below OUT/videos/, or an object below OUT/objects/. [] for a stranger."""
    below = uri.removeprefix(store.root.rstrip("/") + "/")
    if below.startswith(VIEWS) and store.list(log_of(below.removeprefix(VIEWS))):
        return [below.removeprefix(VIEWS)]
    field, table, asked = ("out_uri", "outputs", store.uri(below)) if below.startswith(OBJECTS) else ("uri", "videos", uri)
    found = set(column(root_uri, table, "name", ds.field(field) == asked))
    if not found:  # the tables may be behind
        everything = known(store)
        found = {e.name for e in everything.current.each() if asked in (e.source.uri, e.out_uri)}
        found |= {e.name for e in everything.quarantined.each() if e.source.uri == asked}
    return sorted(found)


def story(root_uri: str, store: Store, name: str, *, proven: bool = False) -> Story:
    """Everything about one name, oldest decision first."""
    records = [read_record(store, path) for path in store.list(log_of(name)) if path.endswith(".json")]
    newest = [r for r in records if r["kind"] == "published"][-1:]
    places = _places(store, {r["record_id"] for r in records}) if proven else {}
    decisions = [_decision(store, record, record in newest, places.get(record["record_id"])) for record in records]
    videos = {r["video_id"] for r in records}
    return {
        "name": name,
        "state": records[-1]["kind"] if records else "unknown",
        "decisions": decisions,
        "audits": [r for r in _about(root_uri, "verdicts", name, videos) if r["record_id"] not in {r["record_id"] for r in records}],
        "retention": _about(root_uri, "retention_events", name, videos),
    }


def _decision(store: Store, record: dict, is_current: bool, place: Story | None) -> Story:
    more = {word: record.get(word) or None for word in ("collection", "legal_basis", "ingested_at")}
    whole = {
        "decision": record["kind"],
        "at": record["committed_at"],
        "record": record["record_id"],
        "source": {**record["source"], **more},
        "video": record["facts"],
        "run": _run(store, record["run"]),
        "keys": {"keystore_id": record["keystore_id"], "scope": record["scope_name"]},
        "verdict": record["verdict"],
        "evidence": place,
        **({"corrections": record["corrections"]} if record.get("corrections") else {}),
    }
    if record["kind"] == "quarantined":
        return {**whole, "stage": record["stage"], "reason": record["reason"]}
    output = {**record["output"], "output_id": record["output_id"], "state": "current" if is_current else "superseded"}
    made = {"people": _people(record["tracks"]), "shots": len(record["shots"]), **{word: record[word] for word in ("engine", "segments", "models")}}
    return {**whole, "output": output, **made}


def _run(store: Store, block: dict) -> Story:
    row = run_row(block, read_summary(store, block["run_id"]))
    return {key: value.isoformat() if hasattr(value, "isoformat") else value for key, value in row.items() if key not in ("config_json", "ingest_date")}


def _people(tracks: list[dict]) -> list[Story]:
    """By label, "" for faces that were nobody's: how they were covered."""
    found: dict[tuple[str, str], Story] = {}
    for track in tracks:
        row = found.setdefault((track["label"], track["method"]), dict(zip(_PERSON, (track["label"], track["method"], 0, 0, 0), strict=True)))
        row["tracks"] += 1
        row["frames_face"] += track["frames_face"]
        row["frames_obscured"] += track["frames_obscured"]
    return [found[key] for key in sorted(found)]


def _about(root_uri: str, table: str, name: str, videos: set[str]) -> list[Story]:
    """Rows of a table about this name or these videos, oldest first."""
    opened = open_table(root_uri, table)
    if opened is None:
        return []
    where = (ds.field("name") == name) | ds.field("video_id").isin(sorted(videos))
    rows = dataset(root_uri, table, opened).to_table(filter=where).sort_by("at").to_pylist()
    return [{k: v.isoformat() if hasattr(v, "isoformat") else v for k, v in row.items() if v is not None} for row in rows]


def _places(store: Store, wanted: set[str]) -> dict[str, Story]:
    """Of each record: its leaf, the leaf's place, and the hashes that lead from it to the root of the newest checkpoint that covers it."""
    leaves: list[bytes] = []
    found: dict[str, tuple[int, Leaf]] = {}
    for number in range(1, newest_entry(store) + 1):
        for leaf in read_entry(store, number).leaves:
            if leaf["kind"] == "record" and leaf["record"] in wanted:
                found.setdefault(leaf["record"], (len(leaves), leaf))
            leaves.append(hash_of(leaf))
    notes = [(name, parse_note(note, name)) for name, note in read_checkpoints(store)]
    sizes = {note.size: name for name, note in notes if note.size <= len(leaves)}
    size = max(sizes, default=0)
    return {
        record: {
            "leaf": leaf,
            "index": index,
            "leaves": size,
            "checkpoint": store.uri(sizes[size]) if index < size else None,
            "proof": [h.hex() for h in inclusion_proof(leaves[:size], index)] if index < size else None,
        }
        for record, (index, leaf) in found.items()
    }
