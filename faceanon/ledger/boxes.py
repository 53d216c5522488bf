"""Where each face was, frame by frame: written by the worker that publishes, one small object a video, and gone after some days.

    OUT/ledger/boxes/<day>/<output id>-<digest>.parquet

With the original these numbers could point at a person, so they never enter a record: the record names the object and its digest. Whole px
in lists, one row a track and run of at most 256 frames; lists of whole numbers, delta-encoded, cost about three bytes a box.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from faceanon.core.errors import AlreadyExists, StoreError
from faceanon.core.ports import Store
from faceanon.core.records import RegionTable, Track, VideoRegions
from faceanon.ledger.commit import now
from faceanon.ledger.tables import TABLES

BOXES = "ledger/boxes/"
CHUNK_FRAMES = 256
LISTS = ("x", "y", "w", "h", "score_percent", "source")
_SCHEMA = pa.schema([TABLES["track_boxes"].field(name) for name in ("track_id", "chunk_no", "frame0", *LISTS)])


def write(store: Store, output_id: str, video: VideoRegions, clock: Callable[[], datetime] = now) -> dict | None:
    """The boxes of a video as an object; what its record says of it. None where no face was covered."""
    rows = chunks(video)
    if not rows:
        return None
    data = _encoded(pa.Table.from_pylist(rows, schema=_SCHEMA))
    sha256 = hashlib.sha256(data).hexdigest()
    name = f"{BOXES}{clock().astimezone(UTC).date()}/{output_id}-{sha256[:16]}.parquet"
    with suppress(AlreadyExists):  # the name holds the digest
        store.create(name, data)
    return {"object": name, "sha256": sha256, "rows": len(rows)}


def read(store: Store, boxes: dict | None) -> pa.Table | None:
    """The rows that a record's `boxes` name; None where there are none, or they have expired. Raises StoreError where the object is not what was written."""
    if not boxes:
        return None
    try:
        data = store.read(boxes["object"])
    except FileNotFoundError:
        return None
    if hashlib.sha256(data).hexdigest() != boxes["sha256"]:
        raise StoreError("is not what its record says", source=store.uri(boxes["object"]))
    return pq.read_table(io.BytesIO(data)).cast(_SCHEMA)


def chunks(video: VideoRegions) -> list[dict]:
    """Rows of track_boxes without origin, sorted by track and frame."""
    known = {track.track_no: track for track in video.tracks}
    rows = []
    for track_no in np.unique(video.regions.track):
        own = video.regions.take(video.regions.track == track_no)
        rows += [_row(own.take(part), int(track_no), number, known.get(int(track_no))) for number, part in enumerate(_runs(own.frame))]
    return rows


def _runs(frames: NDArray[np.int32]) -> Iterator[NDArray[np.int64]]:
    """Places of frames that follow each other, at most CHUNK_FRAMES of them."""
    places = np.arange(len(frames))
    for run in np.split(places, np.flatnonzero(np.diff(frames) != 1) + 1):
        yield from (run[start : start + CHUNK_FRAMES] for start in range(0, len(run), CHUNK_FRAMES))


def _row(rows: RegionTable, track_no: int, chunk_no: int, track: Track | None) -> dict:
    left_top, right_bottom = np.floor(rows.face[:, :2]), np.ceil(rows.face[:, 2:])
    sizes = right_bottom - left_top
    values = (left_top[:, 0], left_top[:, 1], sizes[:, 0], sizes[:, 1], 100 * _scores(rows.frame, track), rows.origin)
    lists = {name: np.rint(column).astype(np.int32).tolist() for name, column in zip(LISTS, values, strict=True)}
    return {"track_id": track_no, "chunk_no": chunk_no, "frame0": int(rows.frame[0]), **lists}


def _scores(frames: NDArray[np.int32], track: Track | None) -> NDArray[np.float64]:
    """0 where no detector looked, or for what the verifier found."""
    scores = np.zeros(len(frames))
    if track is not None and len(track.frame):
        at = frames - track.frame[0]
        inside = (at >= 0) & (at < len(track.score))
        scores[inside] = np.nan_to_num(track.score[at[inside]])
    return scores


def _encoded(table: pa.Table) -> bytes:
    out = io.BytesIO()
    encodings = {f"{name}.list.element": "DELTA_BINARY_PACKED" for name in LISTS}
    pq.write_table(table, out, compression="zstd", use_dictionary=False, column_encoding=encodings)
    return out.getvalue()
