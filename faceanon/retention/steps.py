"""The state machine of one version of an object: the next step, taken. Each is durable in the ledger before the act.

The intent; after the grace, that every gate opened again; then the act, looked after, and its evidence. Whoever dies anywhere leaves what the next
run needs to go on: an open intent whose version is gone was either carried out by a run that died (it had written "verified"), or by somebody else.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from faceanon.archive.store import open_store
from faceanon.archive.versions import ObjectVersion, digest
from faceanon.core.errors import FaceanonError, StoreError, StoreUnavailable
from faceanon.retention import catalog
from faceanon.retention.catalog import Original
from faceanon.retention.clock import ClockRefused
from faceanon.retention.findings import Finding, finding
from faceanon.retention.gates import Gate, Gatekeeper
from faceanon.retention.history import History, Past, Scribe, event_id, facts
from faceanon.retention.lease import Lease, LeaseLost
from faceanon.retention.policy import Rule
from faceanon.retention.standing import Standing, State, Step, next_step, standing


@dataclass(frozen=True)
class Steps:
    """scribe, lease: None in a dry run, which writes nothing. read: whether digests are compared by reading; whoever acts always reads."""

    gatekeeper: Gatekeeper
    history: History
    read: bool = True
    scribe: Scribe | None = None
    lease: Lease | None = None

    def __post_init__(self) -> None:
        if (self.scribe is None) != (self.lease is None) or (self.scribe is not None and not self.read):
            raise ValueError("a run that acts has a lease, writes down what it does, and reads what it compares")

    def one(self, original: Original, version: ObjectVersion) -> Finding:
        """A version that is there."""
        now = self.gatekeeper.clock.now()
        rule = self.gatekeeper.policies.rule(original.subjects)
        hold = self.gatekeeper.holds.on(original.subjects, now=False)  # of every original; the gate asks again
        stands = standing(rule, hold, self._came_in(original, version, rule), now)
        past = self.history.of(original.uri, version.instance)
        step, reason = next_step(stands, rule, past, now)
        if step is Step.CANCEL:
            self._cancel(original, version, past, rule, stands.state.value, reason)
            return finding(original, version.instance, stands.state, reason, rule, stands, did="cancelled", now=now)
        if step is Step.WAIT:
            return finding(original, version.instance, State.PENDING, reason, rule, stands, now=now)
        if step is Step.NOTHING:
            return finding(original, version.instance, stands.state, reason, rule, stands, now=now)
        return self._due(original, version, rule, stands, past, step)

    def _due(self, original: Original, version: ObjectVersion, rule: Rule, stands: Standing, past: Past, step: Step) -> Finding:
        gates = list(self.gatekeeper.gates(original, version, rule, read=self.read))
        closed = gates[-1].closed
        now = self.gatekeeper.clock.now()
        if closed:
            if step is Step.ACT:
                self._cancel(original, version, past, rule, gates[-1].name, closed)
            self._block(original, version, past, rule, gates[-1])
            did = "cancelled" if step is Step.ACT else ""
            return finding(original, version.instance, State.BLOCKED, closed, rule, stands, gate=gates[-1].name, did=did, now=now)
        if step is Step.ACT:
            return self._act(original, version, rule, stands, past, gates)
        if self.scribe is None:
            return finding(original, version.instance, State.DUE, stands.reason, rule, stands, did="intent", now=now)
        intent = self._write("intent", original, version, rule, past.attempt, rule.action, rule.reason, _evidence(gates))
        again = Past(past.ends, intent, None, past.told)
        step, reason = next_step(stands, rule, again, self.gatekeeper.clock.now())
        if step is Step.ACT:  # no grace was asked for; the gates are asked again all the same
            return self._due(original, version, rule, stands, again, step)
        return finding(original, version.instance, State.PENDING, reason, rule, stands, did="intent", now=now)

    def _act(self, original: Original, version: ObjectVersion, rule: Rule, stands: Standing, past: Past, gates: Sequence[Gate]) -> Finding:
        done = "moved" if rule.action == "cold" else "deleted"
        now = self.gatekeeper.clock.now()
        if self.scribe is None:
            return finding(original, version.instance, State.DUE, stands.reason, rule, stands, did=done, now=now)
        evidence = {**_evidence(gates), "cold": rule.cold}
        self._write("verified", original, version, rule, past.attempt, rule.action, "every gate opened again after the grace", evidence)
        try:
            reason = self._removed(original, version, rule, str(evidence["sha256"]))
        except (StoreUnavailable, LeaseLost, ClockRefused):
            raise
        except StoreError as error:
            self._cancel(original, version, past, rule, "refused", str(error))
            return finding(original, version.instance, State.BLOCKED, str(error), rule, stands, gate="store", did="cancelled", now=now)
        self._write(done, original, version, rule, past.attempt, rule.action, reason, evidence)
        return finding(original, version.instance, State(done), reason, rule, stands, did=done, now=now)

    def _removed(self, original: Original, version: ObjectVersion, rule: Rule, sha256: str) -> str:
        """Do it, and look; what happened, as a sentence. Raises StoreError where it did not."""
        shelf = self.gatekeeper.shelf
        copy = shelf.copy(version, rule.cold, cold_name(version.uri, sha256), sha256) if rule.cold else ""
        hold = self.gatekeeper.holds.on(original.subjects)  # a copy takes its time
        if hold is not None:
            raise StoreError(f"hold {hold.hold_id} on {hold.selector} came at the last moment; it stays", source=version.uri)
        last = shelf.look(version)
        if last is not None and (last.word, last.size) != (version.word, version.size):
            raise StoreError("changed at the last moment; it stays", source=version.uri)
        assert self.lease is not None
        self.lease.ensure()
        shelf.delete(version)
        after = shelf.look(version)
        if after is not None and after.word == version.word:
            raise StoreUnavailable("the store took the deletion and still shows the object", source=version.uri)
        shelf.sweep_markers(version.uri)
        return f"moved to {copy}; this version is gone" if copy else "deleted by its version; it is gone"

    def _came_in(self, original: Original, version: ObjectVersion, rule: Rule) -> datetime | None:
        """Of these bytes. Where the newest decision is about others, as for older versions in a bucket, the names' records tell."""
        if not rule.acts:
            return None
        if all(k.is_about(version) for k in original.known):
            return max(k.ingested_at for k in original.known)
        logs = [catalog.log(self.gatekeeper.out, k.subject.name) for k in original.known]
        told = [catalog.came_in(self.gatekeeper.about(records, version, self.read)) for records in logs]
        return max((t for t in told if t is not None), default=None)

    def vanished(self, original: Original, instance: str, past: Past, versions: Sequence[ObjectVersion]) -> Finding:
        """An intent is open and its version is not there: a run died after the act, or somebody else removed it."""
        assert past.intent is not None
        told, rule = facts(past.verified or past.intent), self.gatekeeper.policies.rule(original.subjects)
        version = ObjectVersion(original.uri, told["id"], told["word"], told["size"])
        if version.id and self.gatekeeper.shelf.look(version) is not None:
            raise StoreUnavailable("a listing left it out and the store has it", source=original.uri)
        done = "moved" if told.get("cold") else "deleted"
        phase, reason = "missing", "it went between the intent and its time, and no run here removed it"
        if past.verified is not None and not version.id and versions:
            reason = "other bytes lie under its name; nobody can tell whether a run had removed it before"
        elif past.verified is not None and (not told.get("cold") or self._is_cold(version, told)):
            phase, reason = done, "already absent: a run died between removing it and writing that down"
        elif past.verified is not None:
            reason = f"it is gone, and no copy lies below {told['cold']}"
        self._write(phase, original, version, rule, past.attempt, past.intent["decision"] or "", reason, told, told["rule"])
        return finding(original, instance, State(phase), reason, rule, did=phase)

    def _is_cold(self, version: ObjectVersion, told: dict[str, Any]) -> bool:
        try:
            return digest(open_store(told["cold"]), cold_name(version.uri, told["sha256"])) == told["sha256"]
        except FileNotFoundError:
            return False

    def unlisted(self, original: Original, error: FaceanonError | None) -> Finding:
        """Its versions were not asked for, since nothing is to be done with it whatever they are, or could not be told."""
        rule, now = self.gatekeeper.policies.rule(original.subjects), self.gatekeeper.clock.now()
        came_in = max(k.ingested_at for k in original.known)
        stands = standing(rule, self.gatekeeper.holds.on(original.subjects, now=False), came_in, now)
        removed = self._removed_before(original)
        if removed is not None:
            return removed
        if error is None or not rule.acts:
            return finding(original, "", stands.state, stands.reason, rule, stands, now=now)
        return finding(original, "", State.FAULT, str(error), rule, stands, now=now)

    def absent(self, original: Original) -> Finding:
        """No version is there and no intent is open. A run here has removed it, or it is missing, which is told once."""
        removed = self._removed_before(original)
        if removed is not None:
            return removed
        pasts = self.history.at(original.uri)
        known = max(original.known, key=lambda k: k.ingested_at)
        if known.size < 0:
            return finding(original, "", State.UNKNOWN, "it was never read, and it is not there")
        reason = "it is gone, and no run here removed it"
        if not any(past.ends and past.ends[-1]["phase"] == "missing" for past in pasts.values()):
            version = ObjectVersion(original.uri, "", known.word, known.size)
            past = pasts.get(known.word) or Past()
            self._write("missing", original, version, Rule("none", ""), past.attempt, "", reason, {})
        return finding(original, known.word, State.MISSING, reason)

    def _removed_before(self, original: Original) -> Finding | None:
        for past in self.history.at(original.uri).values():
            if past.removed and past.intent is None:
                end = past.ends[-1]
                return finding(original, end["version_id"] or "", State(end["phase"]), end["reason"] or "")
        return None

    def _cancel(self, original: Original, version: ObjectVersion, past: Past, rule: Rule, decision: str, reason: str) -> None:
        told = facts(past.intent) if past.intent else {}
        self._write("cancelled", original, version, rule, past.attempt, decision, reason, {}, told.get("rule"))

    def _block(self, original: Original, version: ObjectVersion, past: Past, rule: Rule, gate: Gate) -> None:
        event = event_id(rule.sha256, original.uri, version.instance, "blocked", 1, gate.name, gate.closed)
        if event not in past.told:
            self._write("blocked", original, version, rule, 1, gate.name, gate.closed, {})

    def _write(
        self, phase: str, original: Original, version: ObjectVersion, rule: Rule, attempt: int, decision: str, reason: str, evidence: dict[str, Any],
        rule_sha256: str | None = None,
    ) -> dict[str, Any] | None:  # fmt: skip
        """None in a dry run."""
        if self.scribe is None or self.lease is None:
            return None
        self.lease.ensure()
        known = original.known[0]
        return self.scribe.write(
            phase, uri=original.uri, version_id=version.instance, name=known.subject.name, video_id=known.video_id, policies=rule.policies,
            rule=rule.sha256 if rule_sha256 is None else rule_sha256, decision=decision, reason=reason, attempt=attempt, evidence=evidence,
        )  # fmt: skip


def cold_name(uri: str, sha256: str) -> str:
    """Where an original lies below its cold place: by its own address and content, so that versions of one name lie side by side."""
    stem, suffix = posixpath.splitext(uri.removeprefix("s3://").lstrip("/"))
    return f"{stem}-{sha256[:16]}{suffix}"


def _evidence(gates: Iterable[Gate]) -> dict[str, Any]:
    return {key: value for gate in gates for key, value in gate.facts.items()}
