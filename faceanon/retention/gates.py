"""The gates between an original and its end, in order. Each opens or says why not; behind one that does not, nothing is asked.

    policy              the records themselves (not the tables) put it under this rule, and it is old enough
    hold                nobody holds it
    store lock          the store holds no lock on this version
    output exists       under every name, the newest decision about these very bytes is a publication with all that reviewers drew, and its file is there
    output digest       the file, read now, is what was published
    independent audit   a detector that the run did not use has passed it, and nobody speaks against it
    original unchanged  size, version word and digest, read now, are those of the record; on a disk, it is the only name of its bytes
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from faceanon.archive.store import LocalStore, S3Store
from faceanon.archive.versions import ObjectVersion, Shelf, digest
from faceanon.core.errors import StoreError, StoreUnavailable
from faceanon.ledger.corrections import corrections_of
from faceanon.retention.catalog import Original, Record, about, came_in, log, subject_of
from faceanon.retention.clock import StoreClock
from faceanon.retention.holds import Holds
from faceanon.retention.policy import Policies, Rule
from faceanon.retention.standing import State, standing
from faceanon.retention.verdicts import Verdicts, judged

GATES = ("policy", "hold", "store lock", "output exists", "output digest", "independent audit", "original unchanged")


@dataclass(frozen=True)
class Gate:
    """closed: why it does not open; "" where it does. facts: what was seen, for the evidence."""

    name: str
    closed: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Gatekeeper:
    out: LocalStore | S3Store
    shelf: Shelf
    policies: Policies
    holds: Holds
    verdicts: Verdicts
    clock: StoreClock

    def gates(self, original: Original, version: ObjectVersion, rule: Rule, *, read: bool) -> Iterator[Gate]:
        """Every gate up to the first that is closed. read: output and original whole; without it their digests are taken on trust, which is for looking only."""
        logs = {known.subject.name: log(self.out, known.subject.name) for known in original.known}
        made = {name: self.about(records, version, read) for name, records in logs.items()}
        checks = (
            lambda: self._policy(logs, made, rule),
            lambda: self._hold(logs),
            lambda: self._lock(version),
            lambda: self._outputs(made),
            lambda: self._digests(made) if read else Gate("output digest", facts={"read": False}),
            lambda: self._audits(made),
            lambda: self._unchanged(version, made, read),
        )
        for name, check in zip(GATES, checks, strict=True):
            gate = self._asked(name, check)
            yield gate
            if gate.closed:
                return

    def about(self, records: list[Record], version: ObjectVersion, read: bool) -> list[Record]:
        """Records about these very bytes. Raises FileNotFoundError, StoreError."""
        return about(records, version, (lambda: self.shelf.digest(version)) if read else None)

    def _asked(self, name: str, check: Any) -> Gate:
        """What a store refuses to say keeps the gate shut; a store that does not answer ends the asking."""
        try:
            return check()
        except StoreUnavailable:
            raise
        except FileNotFoundError:
            return Gate(name, "it vanished while it was looked at")
        except StoreError as error:
            return Gate(name, str(error))

    def _policy(self, logs: dict[str, list[Record]], made: dict[str, list[Record]], rule: Rule) -> Gate:
        found = self.policies.rule([subject_of(records[-1]) for records in logs.values() if records])
        if not all(logs.values()) or found.sha256 != rule.sha256 or not found.acts:
            return Gate("policy", f"the records put it under another rule than the tables: {found.reason}")
        stands = standing(found, None, max((c for some in made.values() if (c := came_in(some))), default=None), self.clock.now())
        if stands.state is not State.DUE:
            return Gate("policy", stands.reason)
        assert stands.due_at is not None
        return Gate("policy", facts={"policies": list(rule.policies), "due_at": stands.due_at.isoformat()})

    def _hold(self, logs: dict[str, list[Record]]) -> Gate:
        hold = self.holds.on([subject_of(records[-1]) for records in logs.values()])
        return Gate("hold", f"hold {hold.hold_id} on {hold.selector}" if hold else "")

    def _lock(self, version: ObjectVersion) -> Gate:
        return Gate("store lock", self.shelf.locked(version))

    def _outputs(self, made: dict[str, list[Record]]) -> Gate:
        for name, records in made.items():
            if not records:
                return Gate("output exists", f"{name} was never published from these bytes")
            newest = records[-1]
            if newest["kind"] != "published":
                return Gate("output exists", f"{name} is in quarantine: {newest['stage']}: {newest['reason']}")
            drawn = {correction.correction_id for correction in corrections_of(self.out, newest["video_id"])}
            if not drawn <= set(newest.get("corrections") or ()):
                return Gate("output exists", f"the output of {name} lacks what a reviewer drew: run the job again")
            if not self.out.exists(newest["output"]["object"]):
                return Gate("output exists", f"the output of {name} is not there: {newest['output']['object']}")
        return Gate("output exists", facts={"outputs": [records[-1]["output_id"] for records in made.values()]})

    def _digests(self, made: dict[str, list[Record]]) -> Gate:
        for name, records in made.items():
            output = records[-1]["output"]
            found = digest(self.out, output["object"])
            if found != output["sha256"]:
                return Gate("output digest", f"the output of {name} is not what was published: its sha256 is {found[:12]}..., {output['sha256'][:12]}... was written")
        return Gate("output digest", facts={"output_sha256": [records[-1]["output"]["sha256"] for records in made.values()]})

    def _audits(self, made: dict[str, list[Record]]) -> Gate:
        counted = []
        for name, records in made.items():
            why_not, verdict = judged(self.verdicts.of(records[-1]["output_id"]), records[-1])
            if verdict is None:
                return Gate("independent audit", f"{name}: {why_not}")
            counted.append({"verdict": verdict["verdict_id"], "by": verdict["reviewer"] or verdict["auditor"]})
        return Gate("independent audit", facts={"audits": counted})

    def _unchanged(self, version: ObjectVersion, made: dict[str, list[Record]], read: bool) -> Gate:
        now = self.shelf.look(version)
        if now is None:
            return Gate("original unchanged", "it is gone")
        if now.trouble:
            return Gate("original unchanged", f"it {now.trouble}: deleting this name would not delete its bytes")
        if (now.size, now.word) != (version.size, version.word):
            return Gate("original unchanged", "it has changed since it was listed")
        wanted = {records[-1]["source"]["sha256"] for records in made.values()}
        if len(wanted) != 1 or "" in wanted:
            return Gate("original unchanged", "no record holds the one digest that it had")
        sha256 = wanted.pop()
        found = self.shelf.digest(version) if read else sha256
        if found != sha256:
            return Gate("original unchanged", f"its bytes are not those that were published: sha256 {found[:12]}..., {sha256[:12]}... was written")
        return Gate("original unchanged", facts={"sha256": sha256, "size": version.size, "word": version.word, "id": version.id})
