"""The process that touches foreign bytes: it does one request, answers, and ends.

In: {"task", "arguments", "read": [paths], "folder": path or null}. Out: {"ready": {"pid", "level"}}; for pictures {"pictures": [[slot,
index, pts, decode errors], ...]}, in slots that the asking side names; last {"value": ...} with arrays, or {"error": {...}}.
Trusts what it is asked; whoever asks does not trust its answers.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import mmap
import os
import socket
import struct
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from faceanon.core.errors import FaceanonError
from faceanon.core.jsonable import from_json, to_json
from faceanon.core.picture import Picture
from faceanon.core.records import PacketIndex, Segment, VideoFacts
from faceanon.core.settings import EncodeSettings, PlanSettings
from faceanon.media import partial, sandbox, source, wire
from faceanon.media.decode import read_pictures
from faceanon.media.describe import describe, sampled_reader
from faceanon.media.glance import glance
from faceanon.media.joined import copied_digest
from faceanon.media.probe import probe
from faceanon.media.ring import BATCH, Ring, slot_layout
from faceanon.media.sound import add_sound
from faceanon.media.stitch import stitch

GRANT = struct.Struct(f"<{BATCH}I")  # the numbers of slots that may be written
_DISK_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)  # the machine's, not the video's
Answer = tuple[dict[str, Any], Sequence[NDArray]]
hashlib.sha256(b"").hexdigest()  # loads what would be read from disk at its first use, when that is no longer allowed


class Parser:
    """One request at work."""

    def __init__(self, channel: socket.socket, memory: mmap.mmap) -> None:
        self._channel, self._memory = channel, memory
        self._read = wire.Buffered(channel, wire.forever)

    def run(self, request: dict[str, Any]) -> None:
        counter, steps = memoryview(self._memory)[:8].cast("q"), itertools.count(1)

        def step() -> None:
            counter[0] = next(steps)

        source.on_progress(step)
        try:
            value, arrays = _TASKS[request["task"]](self, request["arguments"])
        except (Exception, RecursionError) as error:  # every fault is told, none is lost
            wire.send(self._channel, {"error": _told(error)})
        else:
            wire.send(self._channel, {"value": value}, arrays)

    def show(self, pictures: Iterable[Picture], facts: VideoFacts, errors: Callable[[], int]) -> Answer:
        """Every picture into the slots that are granted, one by one."""
        ring, shown = Ring(self._memory, slot_layout(facts)), _Shown(self._channel)
        granted: list[int] = []
        try:
            for picture in pictures:
                if not granted:
                    shown.tell()
                    granted = self._granted()
                slot = granted.pop(0)
                for target, plane in zip(ring.slot(slot), picture.planes, strict=True):
                    np.copyto(np.rot90(target, -facts.rotation // 90) if facts.rotation else target, plane)
                shown.add([slot, picture.index, picture.pts, errors()])
        finally:
            shown.tell()  # what came before an error is seen before it is heard of
        return {"decode_errors": errors()}, ()

    def _granted(self) -> list[int]:
        grant = bytearray(GRANT.size)
        self._read(memoryview(grant))
        return list(GRANT.unpack(grant))


class _Shown:
    """Pictures that are written and not yet told of."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._rows: list[list[int]] = []

    def add(self, row: list[int]) -> None:
        self._rows.append(row)
        if len(self._rows) == BATCH:
            self.tell()

    def tell(self) -> None:
        if self._rows:
            wire.send(self._channel, {"pictures": self._rows})
            self._rows = []


def _probe(_: Parser, asked: dict[str, Any]) -> Answer:
    facts, index = probe(Path(asked["path"]), from_json(PlanSettings, asked["plan"]))
    return {"facts": to_json(facts), "trustworthy": index.trustworthy}, _arrays(index)


def _glance(_: Parser, asked: dict[str, Any]) -> Answer:
    return to_json(glance(Path(asked["path"]), from_json(PlanSettings, asked["plan"]))), ()


def _opening_look(_: Parser, asked: dict[str, Any]) -> Answer:
    return to_json(partial.opening_look(Path(asked["path"]), _ranges(asked["held"]), from_json(PlanSettings, asked["plan"]))), ()


def _probe_part(_: Parser, asked: dict[str, Any]) -> Answer:
    found = partial.probe_part(Path(asked["path"]), from_json(PlanSettings, asked["plan"]), _ranges(asked["held"]))
    index = found.index
    arrays = () if index is None else _arrays(index)
    return {"look": to_json(found.look), "facts": to_json(found.facts), "trustworthy": index is not None and index.trustworthy}, arrays


def _arrays(index: PacketIndex) -> tuple[NDArray, ...]:
    return index.pts, index.is_keyframe, index.is_clean_start, index.leading, index.can_stop


def _segment_ranges(_: Parser, asked: dict[str, Any]) -> Answer:
    facts, segment = from_json(VideoFacts, asked["facts"]), from_json(Segment, asked["segment"])
    return {"ranges": to_json(partial.segment_ranges(Path(asked["path"]), facts, segment, asked["lookahead"]))}, ()


def _ranges(held: list[list[int]]) -> list[partial.Range]:
    return [(start, stop) for start, stop in held]


def _read_pictures(parser: Parser, asked: dict[str, Any]) -> Answer:
    facts = from_json(VideoFacts, asked["facts"])
    segment = from_json(Segment, asked["segment"]) if asked["segment"] else None
    reader = read_pictures(Path(asked["path"]), facts, segment, lookahead=asked["lookahead"], writable=False)
    return parser.show(reader, facts, lambda: reader.decode_errors)


def _sample_pictures(parser: Parser, asked: dict[str, Any]) -> Answer:
    facts = from_json(VideoFacts, asked["facts"])
    reader = sampled_reader(Path(asked["path"]), facts, asked["every_s"])
    return parser.show(reader, facts, lambda: reader.decode_errors)


def _copied_digest(_: Parser, asked: dict[str, Any]) -> Answer:
    sha256, size = copied_digest(Path(asked["path"]), from_json(VideoFacts, asked["facts"]), from_json(Segment, asked["segment"]))
    return {"sha256": sha256, "size": size}, ()


def _describe(_: Parser, asked: dict[str, Any]) -> Answer:
    summary = describe(Path(asked["path"]))
    return {name: to_json(value) for name, value in vars(summary).items() if name != "frame_pts"}, (summary.frame_pts,)


def _stitch(_: Parser, asked: dict[str, Any]) -> Answer:
    staged = {int(number): Path(path) for number, path in asked["staged"].items()}
    segments = from_json(tuple[Segment, ...], asked["segments"])
    facts = stitch(Path(asked["path"]), from_json(VideoFacts, asked["facts"]), segments, staged, Path(asked["out"]), from_json(EncodeSettings, asked["settings"]))
    return to_json(facts), ()


def _add_sound(_: Parser, asked: dict[str, Any]) -> Answer:
    return {"refused": add_sound(Path(asked["path"]), Path(asked["film"]), Path(asked["out"]), asked["first_pts_s"])}, ()


_TASKS: dict[str, Callable[[Parser, dict[str, Any]], Answer]] = {
    "probe": _probe,
    "glance": _glance,
    "opening_look": _opening_look,
    "probe_part": _probe_part,
    "segment_ranges": _segment_ranges,
    "read_pictures": _read_pictures,
    "sample_pictures": _sample_pictures,
    "copied_digest": _copied_digest,
    "describe": _describe,
    "stitch": _stitch,
    "add_sound": _add_sound,
}


def _told(error: BaseException) -> dict[str, Any]:
    if isinstance(error, FaceanonError):
        return {"kind": type(error).__name__, "reason": error.reason, "source": error.source}
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, MemoryError) or number in (errno.ENOMEM, errno.EAGAIN):  # no memory for a thread reads as EAGAIN
        return {"kind": "memory"}
    if number == errno.EFBIG:
        return {"kind": "file size"}
    if number is not None and (number in _DISK_FAULTS or not isinstance(error, av.FFmpegError)):
        return {"kind": "OSError", "errno": number, "reason": error.strerror or "", "source": str(error.filename or "")}
    return {"kind": "bug", "reason": f"{type(error).__name__}: {error}"[:500], "trace": traceback.format_exc()[-4000:]}


def run_parser(channel: socket.socket, handle: int, limits: sandbox.Limits, mapped_bytes: int, level: tuple[str, ...]) -> None:
    """The whole life of a parser. A side that asks and goes away ends it quietly."""
    memory = mmap.mmap(handle, 0)
    os.close(handle)
    try:
        request, _ = wire.receive(wire.Buffered(channel, wire.forever))
        try:
            granted = sandbox.confine_parser(limits, mapped_bytes, [Path(path) for path in request["read"]], Path(request["folder"]) if request["folder"] else None)
        except (OSError, ValueError) as error:  # unconfined, nothing is parsed
            wire.send(channel, {"error": _told(error)})
            return
        wire.send(channel, {"ready": {"pid": os.getpid(), "level": [*granted, *level]}})
        Parser(channel, memory).run(request)
    except (EOFError, ConnectionError):
        return
