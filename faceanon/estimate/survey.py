"""How much there is and how much of it is left: every video's header up to a limit, else those of a seeded sample, with what that leaves uncertain."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from pathlib import Path

from faceanon.archive.peek import peek
from faceanon.archive.plan import Requested
from faceanon.archive.scratch import Scratch
from faceanon.archive.sources import Resolved
from faceanon.core.errors import SourceError
from faceanon.core.settings import PlanSettings, Settings
from faceanon.flow.request import work_to_do
from faceanon.ledger.known import Known
from faceanon.media.glance import Glance
from faceanon.media.guarded import glance

Look = Callable[[Path, PlanSettings], Glance]
_LOOKS = 8  # headers read at a time
_SURE = 1.96  # standard errors on either side of a mean that hold it in 95 of 100 samples


@dataclass(frozen=True)
class Workload:
    """Sums over videos."""

    videos: float = 0.0
    seconds: float = 0.0
    frames: float = 0.0
    megapixels: float = 0.0  # of all frames together
    segments: float = 0.0
    bytes: float = 0.0
    largest_bytes: float = 0.0  # of one video; the largest that was looked at

    def plus(self, other: Workload) -> Workload:
        sums = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        return Workload(**{**sums, "largest_bytes": max(self.largest_bytes, other.largest_bytes)})

    def times(self, factor: float) -> Workload:
        return replace(Workload(**{f.name: getattr(self, f.name) * factor for f in fields(self)}), largest_bytes=self.largest_bytes)


@dataclass(frozen=True)
class Survey:
    """left: what a run would have to do. Where not all videos were looked at, sums are scaled up and `within` is the half width of their 95 % interval, as a share."""

    asked: int  # videos
    looked_at: int
    done: float
    quarantined: float
    rejected: int
    unreadable: int  # of those that were looked at
    left: Workload
    within: float

    @property
    def is_sample(self) -> bool:
        return self.looked_at < self.asked


def survey(resolved: Resolved, known: Known, settings: Settings, keystore_id: str, scratch: Scratch, *, limit: int, seed: int = 0, look: Look = glance) -> Survey:
    """Sources beyond `limit` are not touched at all."""
    asked = len(resolved.items)
    places = range(asked) if asked <= limit else sorted(random.Random(seed).sample(range(asked), limit))
    chosen = tuple(resolved.items[i] for i in places)
    work = work_to_do(Resolved(chosen, ()), known, settings, keystore_id, retry_quarantined=False)
    with ThreadPoolExecutor(_LOOKS) as lookers:
        loads = list(lookers.map(lambda wanted: _load(wanted, settings, scratch, look), work.new))
    readable = [load for load in loads if load is not None]
    scale = asked / len(chosen) if chosen else 1.0
    left = Workload()
    for load in readable:
        left = left.plus(load)
    hours = [load.seconds for load in readable] + [0.0] * (len(chosen) - len(readable))
    unreadable = len(loads) - len(readable)
    return Survey(asked, len(chosen), len(work.done) * scale, len(work.refused) * scale, len(resolved.rejected), unreadable, left.times(scale), _within(hours, asked))


def _load(wanted: Requested, settings: Settings, scratch: Scratch, look: Look) -> Workload | None:
    """None where the header cannot be read."""
    if wanted.size < 1:
        return None
    path = None
    try:
        path = peek(wanted.item.uri, wanted.size, scratch)
        seen = look(path, settings.plan)
    except SourceError:
        return None
    finally:
        if path is not None and path.is_relative_to(scratch.path):
            path.unlink(missing_ok=True)
    segments = max(1, math.ceil(seen.duration_s / settings.plan.segment_seconds))
    return Workload(1, seen.duration_s, seen.frames, seen.frames * seen.width * seen.height / 1e6, segments, wanted.size, wanted.size)


def _within(values: Sequence[float], population: int) -> float:
    """Half the width of the 95 % interval of a sum that was scaled up from a sample drawn without putting back, as a share of it; 0 where all were seen."""
    count, mean = len(values), statistics.fmean(values) if values else 0.0
    if count >= population or not mean:
        return 0.0
    if count < 2:
        return math.inf
    error = statistics.stdev(values) / math.sqrt(count) * math.sqrt(1 - count / population)
    return _SURE * error / mean
