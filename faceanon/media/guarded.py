"""The package's readers of foreign bytes, each doing its work in a confined process; otherwise as the functions of the same names.

The same arguments give the same values, pictures and errors. Beyond those, a source whose reader crashes, is killed, hangs or hits a
limit of `run.media_*` raises SourceUnreadable or LimitExceeded, and nothing else is touched by it. `configure` sets the limits of this
process; `child_cpu_s` says what was spent on its behalf; `level` which walls the kernel granted.
"""

from __future__ import annotations

import os
import shutil
import typing
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from faceanon.core.errors import LimitExceeded
from faceanon.core.jsonable import from_json, to_json
from faceanon.core.picture import Picture
from faceanon.core.records import OutputFacts, PacketIndex, Segment, VideoFacts
from faceanon.core.settings import EncodeSettings, PlanSettings, RunSettings
from faceanon.media import planes
from faceanon.media.describe import MediaSummary
from faceanon.media.glance import Glance
from faceanon.media.guard import HOUSE, Call, limits_of
from faceanon.media.parser import GRANT
from faceanon.media.partial import Look, PartProbe, Range
from faceanon.media.ring import AHEAD, BATCH, Ring, slot_layout
from faceanon.media.source import check_file

T = TypeVar("T")
_limits = limits_of(RunSettings())


def configure(run: RunSettings) -> None:
    """The limits of every later call in this process."""
    global _limits
    _limits = limits_of(run)


def child_cpu_s() -> float:
    """CPU seconds spent so far by all processes that read for this one, dead and alive."""
    return HOUSE.cpu_s()


def level() -> str:
    """How reading processes are confined, in words; "" before the first."""
    return HOUSE.level()


def probe(path: Path, plan: PlanSettings) -> tuple[VideoFacts, PacketIndex]:
    def read(value: dict[str, Any], arrays: list[NDArray]) -> tuple[VideoFacts, PacketIndex]:
        return from_json(VideoFacts, value["facts"]), _index(value, arrays)

    check_file(path)
    return _asked("probe", path, {"plan": to_json(plan)}, read)


def glance(path: Path, plan: PlanSettings) -> Glance:
    check_file(path)
    return _asked("glance", path, {"plan": to_json(plan)}, lambda value, _: from_json(Glance, value))


def opening_look(path: Path, held: Sequence[Range], plan: PlanSettings) -> Look:
    return _asked("opening_look", path, {"held": list(held), "plan": to_json(plan)}, lambda value, _: _look(value, path))


def probe_part(path: Path, plan: PlanSettings, held: Sequence[Range]) -> PartProbe:
    def read(value: dict[str, Any], arrays: list[NDArray]) -> PartProbe:
        look = _look(value["look"], path)
        return PartProbe(look, from_json(VideoFacts, value["facts"]), _index(value, arrays)) if arrays else PartProbe(look)

    return _asked("probe_part", path, {"plan": to_json(plan), "held": list(held)}, read)


def _index(value: dict[str, Any], arrays: list[NDArray]) -> PacketIndex:
    pts, is_keyframe, is_clean_start, leading, can_stop = arrays
    return PacketIndex(pts, is_keyframe, is_clean_start, bool(value["trustworthy"]), leading, can_stop)


def segment_ranges(path: Path, facts: VideoFacts, segment: Segment, lookahead: int) -> tuple[Range, ...]:
    asked = {"facts": to_json(facts), "segment": to_json(segment), "lookahead": lookahead}
    return _asked("segment_ranges", path, asked, lambda value, _: _within(value["ranges"], path))


def _look(value: dict[str, Any], path: Path) -> Look:
    return Look(wanted=_within(value["wanted"], path), whole=bool(value["whole"]))


def _within(ranges: list[list[int]], path: Path) -> tuple[Range, ...]:
    """What of these ranges lies in the file: indexes that are damaged name others."""
    size = path.stat().st_size
    cut = [(max(0, int(start)), min(size, int(stop))) for start, stop in ranges]
    return tuple((start, stop) for start, stop in cut if start < stop)


def copied_digest(source: Path, facts: VideoFacts, segment: Segment) -> tuple[str, int]:
    return _asked(
        "copied_digest", source, {"facts": to_json(facts), "segment": to_json(segment)}, lambda value, _: (str(value["sha256"]), int(value["size"]))
    )


def describe(path: Path) -> MediaSummary:
    def read(value: dict[str, Any], arrays: list[NDArray]) -> MediaSummary:
        (frame_pts,) = arrays
        kinds = typing.get_type_hints(MediaSummary)
        return MediaSummary(frame_pts, **{name: from_json(kind, value[name]) for name, kind in kinds.items() if name != "frame_pts"})

    check_file(path)
    return _asked("describe", path, {}, read)


def stitch(source: Path, facts: VideoFacts, segments: Sequence[Segment], staged: Mapping[int, Path], out: Path, settings: EncodeSettings) -> OutputFacts:
    """Written in a folder of its own beside `out`, the only one that the writing process can change."""
    files = {number: os.path.abspath(file) for number, file in staged.items()}
    arguments = {"facts": to_json(facts), "segments": to_json(list(segments)), "staged": files, "settings": to_json(settings)}
    with _folder_beside(out) as folder:
        made = folder / out.name
        written = _asked(
            "stitch",
            source,
            {**arguments, "out": str(made)},
            lambda value, _: from_json(OutputFacts, value),
            readable=list(staged.values()),
            folder=folder,
            patient=True,
        )
        made.replace(out)
    return written


def add_sound(source: Path, film: Path, out: Path, first_pts_s: float) -> list[str]:
    """As stitch, in a folder of its own."""
    with _folder_beside(out) as folder:
        made = folder / out.name
        asked = {"film": os.path.abspath(film), "out": str(made), "first_pts_s": first_pts_s}
        refused = _asked("add_sound", source, asked, lambda value, _: [str(codec) for codec in value["refused"]], readable=[film], folder=folder, patient=True)
        made.replace(out)
    return refused


@contextmanager
def _folder_beside(out: Path) -> Iterator[Path]:
    folder = Path(os.path.abspath(out.with_name(out.name + ".making")))
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _asked(task: str, path: Path, arguments: Mapping[str, Any], read: Callable[[dict[str, Any], list[NDArray]], T], **options: Any) -> T:
    """One question and its answer."""
    with Call(task, {"path": os.path.abspath(path), **arguments}, path, _limits, **options) as call:
        value, arrays = call.answer()
        try:
            return read(value["value"], arrays)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            call.nonsense(error)


class PictureReader(Iterator[Picture]):
    """As `decode.PictureReader`. The process behind it starts with the first picture and is a few pictures ahead."""

    def __init__(self, task: str, path: Path, facts: VideoFacts, arguments: Mapping[str, Any], writable: bool) -> None:
        self.decode_errors = 0
        self._pictures = self._read(task, path, facts, arguments, writable)

    def __next__(self) -> Picture:
        return next(self._pictures)

    def close(self) -> None:
        """Lets go of the file, and of the process, before the end."""
        self._pictures.close()

    def _read(self, task: str, path: Path, facts: VideoFacts, arguments: Mapping[str, Any], writable: bool) -> Generator[Picture, None, None]:
        form, layout = planes.plane_format(facts), slot_layout(facts)
        if layout.slot_bytes * layout.num_slots > 2 * _limits.memory_bytes:
            raise LimitExceeded(f"is {facts.width} x {facts.height} px: too large a picture for run.media_memory_gb", source=str(path))
        asked = {"path": os.path.abspath(path), "facts": to_json(facts), **arguments}
        with Call(task, asked, path, _limits, ring_bytes=layout.ring_bytes) as call:
            ring = Ring(call.memory, layout)
            slots = _Slots(call, ring)
            while True:
                value, _ = call.answer()
                try:
                    if "value" in value:
                        self.decode_errors = int(value["value"]["decode_errors"])
                        return
                    rows = [tuple(map(int, row)) for row in value["pictures"]]
                    for slot, index, pts, self.decode_errors in rows:
                        coded = tuple(_upright(plane, facts.rotation, writable) for plane in slots.lend(slot))
                        yield Picture(index, pts, coded, form)
                        del coded
                except (KeyError, TypeError, ValueError) as error:
                    call.nonsense(error)


class _Slots:
    """Which slots the parser may write; each is named to it once, and its word for another is not taken."""

    def __init__(self, call: Call, ring: Ring) -> None:
        self._call, self._ring = call, ring
        self._granted: set[int] = set()
        self._untold: list[int] = []
        for _ in range(AHEAD):
            self._grant(ring.take())

    def lend(self, slot: int) -> list[NDArray]:
        """Planes of a slot that was written. Where whoever reads holds every other, they are a copy, and the slot is written again."""
        self._granted.remove(slot)
        coded, free = self._ring.lend(slot), self._ring.take()
        if free is None:
            coded = [plane.copy() for plane in coded]
            free = self._ring.take()
        self._grant(free)
        return coded

    def _grant(self, slot: int | None) -> None:
        assert slot is not None
        self._granted.add(slot)
        self._untold.append(slot)
        if len(self._untold) == BATCH:
            self._call.send(GRANT.pack(*self._untold))
            self._untold = []


def _upright(plane: NDArray, rotation: int, writable: bool) -> NDArray:
    plane.flags.writeable = writable
    return np.rot90(plane, -rotation // 90) if rotation else plane


def read_pictures(path: Path, facts: VideoFacts, segment: Segment | None, *, lookahead: int = 0, writable: bool = True) -> PictureReader:
    return PictureReader("read_pictures", path, facts, {"segment": to_json(segment) if segment else None, "lookahead": lookahead}, writable)


def sample_pictures(path: Path, facts: VideoFacts | None, every_s: float) -> Iterator[Picture]:
    if facts is None:
        facts, _ = probe(path, PlanSettings())
    yield from PictureReader("sample_pictures", path, facts, {"every_s": every_s}, False)
