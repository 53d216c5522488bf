"""Regions that reviewers drew over what an output still shows: an input of the job, kept for as long as the video may be made again.

    OUT/ledger/corrections/<video id>/<correction id>.json

Put if absent, and never folded into a table. The id is the digest of what a correction changes (video, frames, box), so that a listing alone
says which output a video should have, and so that one which was altered is found. Whole px, a name, a sentence; no picture, no embedding.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

from faceanon.core.errors import AlreadyExists, StoreError
from faceanon.core.ports import Store
from faceanon.core.records import Correction
from faceanon.ledger.commit import now
from faceanon.ledger.privacy import assert_private
from faceanon.ledger.tables import SCHEMA_VERSION

CORRECTIONS = "ledger/corrections/"


def add(store: Store, correction: Correction, *, name: str, reviewer: str, note: str = "", clock: Callable[[], datetime] = now) -> bool:
    """Make it durable. False where the same region of the same frames was drawn before: then what was said first stands. Raises StoreError."""
    row = {
        "schema_version": SCHEMA_VERSION, "video_id": correction.video_id, "name": name, "first_frame": correction.first_frame, "stop_frame": correction.stop_frame,
        "box": list(correction.box), "reviewer": reviewer, "note": note,
    }  # fmt: skip
    assert_private(row)
    row["at"] = clock().astimezone(UTC).isoformat(timespec="microseconds")
    try:
        store.create(_path(correction.video_id, correction.correction_id), json.dumps(row, sort_keys=True, ensure_ascii=False).encode())
    except AlreadyExists:
        return False
    return True


def known_ids(store: Store) -> dict[str, tuple[str, ...]]:
    """video_id -> the ids of its corrections, sorted. One listing, nothing is read."""
    found: dict[str, list[str]] = {}
    for path in store.list(CORRECTIONS):
        video, _, file = path.removeprefix(CORRECTIONS).partition("/")
        if file.endswith(".json"):
            found.setdefault(video, []).append(file.removesuffix(".json"))
    return {video: tuple(sorted(ids)) for video, ids in found.items()}


def corrections_of(store: Store, video_id: str) -> tuple[Correction, ...]:
    """All corrections of a video, by id. Raises StoreError for one that is not what its name says."""
    paths = [path for path in store.list(f"{CORRECTIONS}{video_id}/") if path.endswith(".json")]
    return tuple(_read(store, path, video_id) for path in sorted(paths))


def name_of(store: Store, video_id: str, correction: str) -> str:
    """The name that the video had when the correction was made. Raises StoreError."""
    path = _path(video_id, correction)
    try:
        return str(json.loads(store.read(path))["name"])
    except (ValueError, TypeError, KeyError) as error:
        raise StoreError(f"is not a correction: {error}", source=store.uri(path)) from error


def _path(video_id: str, correction: str) -> str:
    return f"{CORRECTIONS}{video_id}/{correction}.json"


def _read(store: Store, path: str, video_id: str) -> Correction:
    try:
        row = json.loads(store.read(path))
        x0, y0, x1, y1 = (int(edge) for edge in row["box"])
        correction = Correction(video_id, int(row["first_frame"]), int(row["stop_frame"]), (x0, y0, x1, y1))
    except (ValueError, TypeError, KeyError) as error:
        raise StoreError(f"is not a correction: {error}", source=store.uri(path)) from error
    if path != _path(video_id, correction.correction_id):
        raise StoreError("is not the correction that was made: it was changed", source=store.uri(path))
    return correction
