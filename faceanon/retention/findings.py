"""What a run says of an original, and all of them counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from faceanon.retention.catalog import Original
from faceanon.retention.policy import Rule
from faceanon.retention.standing import Standing, State

_LATE = {State.DUE, State.BLOCKED, State.PENDING, State.FAULT}  # states in which it is overdue once its time is up; a hold is a reason to keep


@dataclass(frozen=True)
class Finding:
    """One version of an original, after this run. did: the step that was taken, or in a dry run would be; "" for none. gate: which one is closed."""

    uri: str
    version_id: str
    names: tuple[str, ...]
    state: State
    reason: str
    policies: tuple[str, ...] = ()
    action: str = ""
    gate: str = ""
    did: str = ""
    due_at: datetime | None = None
    overdue_at: datetime | None = None
    overdue_s: float = 0.0


@dataclass
class Totals:
    """What a run found, counted. oldest_overdue_s: by how much the most overdue original is too old; 0 where none is."""

    states: Counter[str] = field(default_factory=Counter)
    did: Counter[str] = field(default_factory=Counter)
    overdue: int = 0
    oldest_overdue_s: float = 0.0

    def add(self, found: Finding) -> None:
        self.states[found.state.value] += 1
        if found.did:
            self.did[found.did] += 1
        if found.overdue_s:
            self.overdue += 1
            self.oldest_overdue_s = max(self.oldest_overdue_s, found.overdue_s)


def finding(
    original: Original, instance: str, state: State, reason: str, rule: Rule | None = None, stands: Standing | None = None, *, gate: str = "", did: str = "",
    now: datetime | None = None,
) -> Finding:  # fmt: skip
    rule, stands = rule or Rule("", ""), stands or Standing(state, reason)
    late_s = max(0.0, (now - stands.overdue_at).total_seconds()) if now and stands.overdue_at and state in _LATE else 0.0
    names = tuple(known.subject.name for known in original.known)
    return Finding(original.uri, instance, names, state, reason, rule.policies, rule.action, gate, did, stands.due_at, stands.overdue_at, late_s)
