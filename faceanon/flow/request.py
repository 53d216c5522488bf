"""What is asked for, held against what is already there: the driver's first look."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

from faceanon.archive import plan
from faceanon.archive.sources import Resolved
from faceanon.archive.store import version_of
from faceanon.core.errors import SourceError
from faceanon.core.ids import output_id
from faceanon.core.records import Quarantined, SourceItem, SourceVersion
from faceanon.core.settings import Settings
from faceanon.identity.keystore import scope_name
from faceanon.ledger.known import Current, Known, Refused

_LOOKS = 32  # sources asked for their version at a time
_ITEMS_A_LOOK = 16  # by one thread, one after the other
_AHEAD = 4  # times _LOOKS that may wait for their turn


@dataclass(frozen=True, slots=True)
class Done:
    """Published before."""

    name: str
    output_id: str
    object: str  # below OUT


class Shown:
    """What OUT shows now, whatever this run asks for: output ids, and one Done for each."""

    def __init__(self, known: Known | None = None) -> None:
        self._known = known
        self._outputs = frozenset(bytes.fromhex(entry.output_id) for entry in known.current.each()) if known else frozenset()

    def __contains__(self, output_id: str) -> bool:
        return bytes.fromhex(output_id) in self._outputs

    def each(self) -> Iterator[Done]:
        for entry in self._known.current.each() if self._known else ():
            yield Done(entry.name, entry.output_id, entry.object)


@dataclass(frozen=True)
class Work:
    """Every requested video once. done: names that are published. refused: in quarantine since an earlier run; rejected: manifest lines that make no sense."""

    new: tuple[plan.Requested, ...]
    done: tuple[str, ...] = ()
    refused: tuple[Quarantined, ...] = ()
    rejected: tuple[Quarantined, ...] = ()
    shown: Shown = field(default_factory=Shown)
    skipped: int = 0  # files of the folders that are not called like videos

    @property
    def requested(self) -> int:
        return len(self.new) + len(self.done) + len(self.refused) + len(self.rejected)


def work_to_do(resolved: Resolved, known: Known, settings: Settings, keystore_id: str, *, retry_quarantined: bool) -> Work:
    variant = _variant(settings.digest(), keystore_id, settings.identity.scope)

    def outcome(name: str) -> plan.Known | None:
        if (refused := known.quarantined.get(name)) is not None:
            return _refused(refused)
        current = known.current.get(name)
        return None if current is None else _published(current)

    work = plan.work_to_do(requested(resolved.items, variant), outcome, retry_quarantined=retry_quarantined)
    corrected = {w.item.name: w for w in work.done if _lacks_corrections(known, w.item, settings, keystore_id)}
    return Work(
        new=(*work.new, *corrected.values()),
        done=tuple(wanted.item.name for wanted in work.done if wanted.item.name not in corrected),
        refused=tuple(Quarantined(w.item, old.video_id, old.stage, old.reason, SourceVersion(old.uri, old.size, old.version, "")) for w, old in work.quarantined),
        rejected=resolved.rejected,
        shown=Shown(known),
        skipped=resolved.skipped,
    )


def _lacks_corrections(known: Known, item: SourceItem, settings: Settings, keystore_id: str) -> bool:
    """Whether a reviewer has drawn a region that the video's output is not made with. Corrections that are gone change nothing: the output hides more."""
    if not known.corrected:
        return False
    current = known.current[item.name]
    corrections = known.corrected.get(current.video_id, ())
    scope = scope_name(settings, item, current.video_id)
    return bool(corrections) and current.output_id != output_id(current.video_id, settings.digest(), keystore_id, scope, corrections)


def requested(items: Sequence[SourceItem], variant: str) -> Iterator[plan.Requested]:
    """Items with the size and version that they have now, in order. So many are looked at at a time, and no more are waiting than that takes."""
    feed = iter(items)
    waiting: deque[Future[list[plan.Requested]]] = deque()
    with ThreadPoolExecutor(_LOOKS) as lookers:
        while True:
            while len(waiting) < _LOOKS * _AHEAD and (some := list(islice(feed, _ITEMS_A_LOOK))):
                waiting.append(lookers.submit(_look, some, variant))
            if not waiting:
                return
            yield from waiting.popleft().result()


def _look(items: Iterable[SourceItem], variant: str) -> list[plan.Requested]:
    return [_requested(item, variant) for item in items]


def _variant(settings_digest: str, keystore_id: str, scope: str) -> str:
    return f"{settings_digest}/{keystore_id}/{scope}"


def _requested(item: SourceItem, variant: str) -> plan.Requested:
    """A source that cannot be read now is work all the same: probing it gives the reason."""
    try:
        return plan.Requested(item, *version_of(item.uri), variant)
    except SourceError:
        return plan.Requested(item, -1, "", variant)


def _published(entry: Current) -> plan.Known:
    variant = _variant(entry.settings_digest, entry.keystore_id, entry.scope)
    return plan.Known(entry.name, entry.source.uri, entry.source.size, entry.source.version, variant, "published", entry.video_id, entry.output_id)


def _refused(entry: Refused) -> plan.Known:
    variant = _variant(entry.settings_digest, entry.keystore_id, entry.scope)
    return plan.Known(
        entry.name, entry.source.uri, entry.source.size, entry.source.version, variant, "quarantined", entry.video_id, stage=entry.stage, reason=entry.reason
    )
