"""What is asked for, held against what is already there: the driver's first look."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from faceanon.archive import plan
from faceanon.archive.sources import Resolved
from faceanon.archive.store import version_of
from faceanon.core.errors import SourceError
from faceanon.core.records import Quarantined, SourceItem, SourceVersion
from faceanon.core.settings import Settings
from faceanon.ledger.known import Current, Known, Refused

_LOOKS = 16  # sources asked for their version at a time


@dataclass(frozen=True)
class Done:
    """Published before."""

    name: str
    output_id: str
    object: str  # below OUT


@dataclass(frozen=True)
class Work:
    """Every requested video once. refused: in quarantine since an earlier run; rejected: manifest lines that make no sense."""

    new: tuple[plan.Requested, ...]
    done: tuple[Done, ...]
    refused: tuple[Quarantined, ...]
    rejected: tuple[Quarantined, ...]
    shown: Mapping[str, Done] = field(default_factory=dict)  # output ids that are current, whatever this run asks for
    skipped: int = 0  # files of the folders that are not called like videos

    @property
    def requested(self) -> int:
        return len(self.new) + len(self.done) + len(self.refused) + len(self.rejected)


def work_to_do(resolved: Resolved, known: Known, settings: Settings, keystore_id: str, *, retry_quarantined: bool) -> Work:
    variant = _variant(settings.digest(), keystore_id, settings.identity.scope)
    with ThreadPoolExecutor(_LOOKS) as lookers:
        wanted = list(lookers.map(lambda item: _requested(item, variant), resolved.items))
    published = [_published(entry) for entry in known.current.values() if entry.name not in known.quarantined]
    refused = [_refused(entry) for entry in known.quarantined.values()]
    work = plan.work_to_do(wanted, [*published, *refused], retry_quarantined=retry_quarantined)
    return Work(
        new=work.new,
        done=tuple(_done(known.current[w.item.name]) for w, _ in work.done),
        refused=tuple(Quarantined(w.item, old.video_id, old.stage, old.reason, SourceVersion(old.uri, old.size, old.version, "")) for w, old in work.quarantined),
        rejected=resolved.rejected,
        shown={entry.output_id: _done(entry) for entry in known.current.values()},
        skipped=resolved.skipped,
    )


def _done(entry: Current) -> Done:
    return Done(entry.name, entry.output_id, entry.object)


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
