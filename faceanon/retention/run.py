"""One retention run: every original that the ledger knows is looked at and, where its time has come and every gate opens, taken one step further.

Faults are an object's own, and the others go on; a clock that is wrong and a lease that is lost end the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice

from faceanon.archive import uri as uris
from faceanon.archive.versions import ObjectVersion
from faceanon.core.errors import FaceanonError, StoreError
from faceanon.ledger.events import append_rows
from faceanon.retention import catalog
from faceanon.retention.catalog import Original
from faceanon.retention.clock import ClockRefused
from faceanon.retention.findings import Finding, finding
from faceanon.retention.history import Scribe
from faceanon.retention.lease import LeaseLost
from faceanon.retention.policy import Policies
from faceanon.retention.standing import State, standing
from faceanon.retention.steps import Steps

_WORKERS = 8
_BATCH = 256

Listed = list[ObjectVersion] | FaceanonError | None  # an original's versions, why they cannot be listed, or that nobody asks


@dataclass(frozen=True)
class Retention:
    steps: Steps

    def run(self) -> Iterator[Finding]:
        """Every version of every original. Raises LeaseLost and ClockRefused, which end the run; what it did until then stands."""
        with ThreadPoolExecutor(_WORKERS) as workers:
            originals = self._originals()
            while batch := list(islice(originals, _BATCH)):
                for findings in workers.map(lambda task: self._examine(*task), batch):
                    yield from findings

    def examine(self, original: Original) -> list[Finding]:
        """The versions of one original."""
        listed = self._listed(str(uris.parse(original.uri).parent), set())
        return self._examine(original, listed.get(original.uri, []) if isinstance(listed, dict) else listed)

    def _originals(self) -> Iterator[tuple[Original, Listed]]:
        """Each with its versions, with why they cannot be listed, or with None where nothing is to be done with any of its folder."""
        agreed: set[str] = set()
        for folder, originals in catalog.folders(self.steps.gatekeeper.out):
            listed = self._listed(folder, agreed) if any(map(self._concerns, originals)) else None
            for original in originals:
                yield original, listed.get(original.uri, []) if isinstance(listed, dict) else listed

    def _concerns(self, original: Original) -> bool:
        """Whether a policy wants something done with it, or a run has begun to."""
        return self.steps.gatekeeper.policies.rule(original.subjects).acts or bool(self.steps.history.at(original.uri))

    def _listed(self, folder: str, agreed: set[str]) -> dict[str, list[ObjectVersion]] | FaceanonError:
        """A place that is not there may be a disk that is not mounted, or a misspelt endpoint: nothing in it is called missing."""
        try:
            place = uris.parse(folder)
            if place.is_local and not place.local().is_dir():
                return StoreError("no such folder; is its disk mounted?", source=folder)
            self._agree(folder, agreed)
            return self.steps.gatekeeper.shelf.folder(folder)
        except ClockRefused:
            raise
        except FaceanonError as error:
            return error
        except FileNotFoundError:
            return StoreError("no such bucket", source=folder)

    def _agree(self, folder: str, agreed: set[str]) -> None:
        """Another store's clock is compared with the ledger's; a disk's is this machine's, which was compared before."""
        place = uris.parse(folder)
        if not place.is_local and place.bucket not in agreed:
            self.steps.gatekeeper.clock.agree(self.steps.gatekeeper.shelf.clock(f"{folder}/x"), folder)
            agreed.add(place.bucket)

    def _examine(self, original: Original, versions: Listed) -> list[Finding]:
        if not isinstance(versions, list):
            return self._isolated(original, "", partial(self.steps.unlisted, original, versions))
        found: list[Finding] = []
        there = {version.instance for version in versions}
        for instance, past in self.steps.history.at(original.uri).items():
            if past.intent is not None and instance not in there:
                found += self._isolated(original, instance, partial(self.steps.vanished, original, instance, past, versions))
        for version in versions:
            found += self._isolated(original, version.instance, partial(self.steps.one, original, version))
        return found or self._isolated(original, "", partial(self.steps.absent, original))

    def _isolated(self, original: Original, instance: str, work: Callable[[], Finding]) -> list[Finding]:
        try:
            if self.steps.lease is not None:
                self.steps.lease.ensure()  # reading takes its time, too
            return [work()]
        except (LeaseLost, ClockRefused):
            raise
        except (FaceanonError, FileNotFoundError) as error:
            now = self.steps.gatekeeper.clock.now()
            rule = self.steps.gatekeeper.policies.rule(original.subjects)
            stands = standing(rule, None, max(k.ingested_at for k in original.known), now)
            return [finding(original, instance, State.FAULT, str(error), rule, stands, now=now)]


def write_policies(scribe: Scribe, policies: Policies) -> None:
    """What was in force, before anything is done by it; each wording once."""
    for policy in policies.all:
        days = (policy.min_days, policy.max_days, policy.grace_days) if policy.action != "keep" else (None, None, None)
        row = {
            "policy_id": policy.name, "version": policy.sha256[:12], "selector": policy.selector(), "basis": policy.basis, "min_days": days[0], "max_days": days[1],
            "grace_days": days[2], "action": policy.action, "approved_by": policies.approved_by or None, "sha256": policy.sha256, "at": scribe.clock.now(),
        }  # fmt: skip
        append_rows(scribe.store, "policies", [row], key=policy.sha256)
