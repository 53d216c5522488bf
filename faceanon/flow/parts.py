"""Large objects that are read in parts: media says which bytes it wants, archive fetches them, until there is an answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from faceanon.archive.parts import PartFile
from faceanon.core.errors import SourceUnsupported
from faceanon.core.records import PacketIndex, Segment, VideoFacts
from faceanon.core.settings import PlanSettings
from faceanon.media import guarded, partial

_HEAD_BYTES = 1 << 16  # of the file's begin that enter its fingerprint, beside the index
_MOST_ROUNDS = 1000  # segment starts that turn out to be no clean ones are looked into one after the other

T = TypeVar("T")


def opened(part: PartFile, plan: PlanSettings) -> str:
    """Fetches all that is read whenever the container is opened; its fingerprint, or "" where only the whole file will do."""
    place = None
    for look in (lambda: partial.index_look(part.path, part.held), lambda: guarded.opening_look(part.path, part.held, plan)):
        found = _asked(part, look, lambda look: look)
        if found.whole:
            return ""
        place = place or found.place
    return part.fingerprint([(0, min(part.size, _HEAD_BYTES)), *([place] if place else [])])


def probed(part: PartFile, plan: PlanSettings) -> tuple[VideoFacts, PacketIndex] | None:
    """Facts and index, as the whole file would give them; None where only the whole file will do. Needs `opened`."""
    found = _asked(part, lambda: guarded.probe_part(part.path, plan, part.held), lambda probe: probe.look)
    return None if found.facts is None or found.index is None else (found.facts, found.index)


def fetch_segment(part: PartFile, facts: VideoFacts, segment: Segment, lookahead: int) -> None:
    """All that decoding the segment reads. Needs `opened`."""
    part.fetch(guarded.segment_ranges(part.path, facts, segment, lookahead))


def _asked(part: PartFile, ask: Callable[[], T], look_of: Callable[[T], partial.Look]) -> T:
    for _ in range(_MOST_ROUNDS):
        answer = ask()
        if not look_of(answer).wanted:
            return answer
        part.fetch(look_of(answer).wanted)
    raise SourceUnsupported(f"its index could not be read in {_MOST_ROUNDS} rounds", source=str(part.source))
