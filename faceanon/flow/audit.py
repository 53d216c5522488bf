"""A second opinion on what is published: a detector of a family that the run did not use looks at the outputs.

Where faces were painted the ledger knows for `ledger.boxes_days` (track_boxes' objects). With these boxes a hit outside the covers is a face that was left.
Without them a hit may be a new face or an old one, and no honest auditor can say which: then the verdict is "unknown", which opens no gate. Where nothing
is seen at all, nothing is left, boxes or not. The run's own verdict never counts here: it came from the run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from faceanon.archive.scratch import Scratch
from faceanon.archive.store import LocalStore, S3Store
from faceanon.archive.versions import digest
from faceanon.core import geometry
from faceanon.core.errors import LimitExceeded, SourceError, UsageError
from faceanon.core.ids import audit_id
from faceanon.core.picture import Picture
from faceanon.core.ports import FaceDetector
from faceanon.core.records import Leak, Method, Origin, RegionTable
from faceanon.core.settings import DETECTORS, PlanSettings, Settings, detectors_used
from faceanon.ledger import boxes
from faceanon.ledger.commit import log_of, read_record
from faceanon.ledger.events import append_rows
from faceanon.ledger.known import Current, known
from faceanon.media import guarded
from faceanon.verify.leak import find_leaks
from faceanon.verify.verdict import model_digest

AUDITORS = (*DETECTORS, "blazeface")  # the last looks for no run, so that there is always one more
_SHOWN = 3  # leaks that a reason names


@dataclass(frozen=True)
class Audited:
    """decision: pass, fail or unknown. max_score: of what was left, 0 where nothing was."""

    name: str
    output_id: str
    auditor: str
    frames: int
    residual_faces: int
    max_score: float
    decision: str
    reason: str


def queue(out: LocalStore | S3Store, newest_audit: Callable[[str], datetime | None]) -> list[Current]:
    """Every output that videos/ shows, those first that nobody has ever audited, then those whose newest audit is oldest."""
    never = datetime.min.replace(tzinfo=UTC)
    return sorted(known(out).current.each(), key=lambda entry: (newest_audit(entry.output_id) or never, entry.name))


def auditor_of(record: Mapping[str, Any], wanted: str = "") -> str:
    """A detector that the run did not look with, or `wanted` if it is one. Raises UsageError where there is none."""
    used = detectors_used(record["run"]["settings_json"])
    left = [name for name in AUDITORS if name not in used]
    if not left:
        raise UsageError(f"its run looked with {', '.join(sorted(used))}; no other family of detectors is left to audit it", source=record["name"])
    if wanted and wanted not in left:
        raise UsageError(f"its run looked with {', '.join(sorted(used))}; an independent auditor is {' or '.join(left)}, not {wanted}", source=record["name"])
    return wanted or left[0]


def record_of(out: LocalStore | S3Store, entry: Current) -> dict[str, Any]:
    """The publication behind an output that is shown."""
    records = [read_record(out, path) for path in out.list(log_of(entry.name)) if path.endswith(".json")]
    return next(r for r in reversed(records) if r["kind"] == "published" and r["output_id"] == entry.output_id)


def audit(out: LocalStore | S3Store, record: Mapping[str, Any], detector: FaceDetector, settings: Settings, scratch: Scratch, *, every_frame: bool) -> Audited:
    """Look, and write the verdict down. A file that is gone, is another one or does not decode fails. Raises StoreUnavailable."""
    found, frames, decision, reason = _judged(out, record, detector, settings, scratch, every_frame)
    at = datetime.fromtimestamp(out.clock_s(), UTC)
    score = max((leak.score for leak in found), default=0.0)
    weights, output = model_digest(detector), record["output_id"]
    told = audit_id(output, record["output"]["sha256"], weights, frames, decision, at.isoformat(timespec="microseconds"))
    row = {
        "verdict_id": told, "video_id": record["video_id"], "output_id": output, "name": record["name"], "auditor": detector.name, "auditor_model_id": weights,
        "frames_sampled": frames, "residual_faces": len(found), "max_residual_score": round(score, 6) if found else None,
        "decision": decision, "reason": reason, "repairs": 0, "at": at,
    }  # fmt: skip
    append_rows(out, "verdicts", [row], key=told)
    return Audited(record["name"], output, detector.name, frames, len(found), score, decision, reason)


def covers(out: LocalStore | S3Store, record: Mapping[str, Any]) -> RegionTable | None:
    """What surely was covered: every face box, padded as the run's settings say at least. None where that is no longer known."""
    rows = boxes.read(out, record.get("boxes"))
    if rows is None:
        return None if record.get("boxes") or record["tracks"] else RegionTable.empty()
    pad = float(json.loads(record["run"]["settings_json"]).get("track", {}).get("pad", 0.0))
    return RegionTable.concatenate([_run(row, pad) for row in rows.to_pylist()])


def _judged(
    out: LocalStore | S3Store, record: Mapping[str, Any], detector: FaceDetector, settings: Settings, scratch: Scratch, every_frame: bool
) -> tuple[Sequence[Leak], int, str, str]:
    """Leaks (or, of unknown covers, hits), frames that were looked at, decision and reason."""
    name = record["output"]["object"]
    try:
        if digest(out, name) != record["output"]["sha256"]:
            return (), 0, "fail", "the output is not what was published"
        known_covers = covers(out, record)
        with _local(out, name, scratch) as path:
            leaks, frames = find_leaks(_pictures(path, settings, every_frame), known_covers or RegionTable.empty(), detector, settings.verify)
    except FileNotFoundError:
        return (), 0, "fail", "the output is not there"
    except (SourceError, LimitExceeded) as error:
        return (), 0, "fail", f"the output cannot be looked at: {error.reason}"
    if not frames:
        return (), 0, "fail", "no frame could be looked at"
    if not leaks:
        return (), frames, "pass", ""
    if known_covers is None:
        return leaks, frames, "unknown", "faces are seen, and where faces had been painted is no longer known (ledger.boxes_days)"
    return leaks, frames, "fail", f"a face outside the painted regions: {_places(leaks)}"


def _pictures(path: Path, settings: Settings, every_frame: bool) -> Iterator[Picture]:
    facts, _ = guarded.probe(path, PlanSettings())
    yield from guarded.read_pictures(path, facts, None, writable=False) if every_frame else guarded.sample_pictures(path, facts, settings.verify.every_s)


@contextmanager
def _local(out: LocalStore | S3Store, name: str, scratch: Scratch) -> Iterator[Path]:
    """An object as a file: in its place on a disk, else fetched and gone afterwards."""
    if isinstance(out, LocalStore):
        yield Path(out.uri(name))
        return
    path = scratch.file(PurePosixPath(name).suffix)
    try:
        out.download(name, path)
        yield path
    finally:
        path.unlink(missing_ok=True)


def _run(row: Mapping[str, Any], pad: float) -> RegionTable:
    """One row of track_boxes as regions."""
    n = len(row["x"])
    low = np.array([row["x"], row["y"]], np.float32).T.reshape(n, 2)
    face = np.concatenate([low, low + np.array([row["w"], row["h"]], np.float32).T.reshape(n, 2)], axis=1)
    same = np.full(n, row["track_id"], np.int32)
    frames = np.arange(row["frame0"], row["frame0"] + n, dtype=np.int32)
    points, method, origin = np.full((n, 5, 2), np.nan, np.float32), np.full(n, Method.OBSCURE, np.uint8), np.full(n, Origin.DETECTED, np.uint8)
    return RegionTable(frames, same, np.full(n, -1, np.int32), face, geometry.grow(face, pad), points, method, origin)


def _places(leaks: Sequence[Leak]) -> str:
    shown = (f"frame {leak.frame} at {','.join(str(round(edge)) for edge in leak.box)} with score {leak.score:.2f}" for leak in leaks[:_SHOWN])
    return "; ".join(shown) + ("; ..." if len(leaks) > _SHOWN else "")
