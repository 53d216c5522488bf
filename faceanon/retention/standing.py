"""How an original stands: from its rule, holds, age and what was written down before. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from faceanon.retention.history import Past, facts
from faceanon.retention.holds import Hold
from faceanon.retention.policy import Rule


class State(StrEnum):
    ACTIVE = "active"  # not due yet
    KEPT = "kept"
    UNMATCHED = "unmatched"  # no policy fits; it stays
    HELD = "held"
    UNKNOWN = "unknown"  # no record is about these bytes; they stay
    DUE = "due"  # may go as far as policy and holds say
    BLOCKED = "blocked"  # due, and a gate does not open
    PENDING = "pending"  # the intent is written down, the grace goes on
    DELETED = "deleted"
    MOVED = "moved"
    MISSING = "missing"  # gone, and no run here took it away
    FAULT = "fault"  # could not be looked at, or the act failed; the next run tries again


class Step(StrEnum):
    """What a run does next with one version of an object."""

    NOTHING = "nothing"
    CANCEL = "cancel"
    WAIT = "wait"
    INTEND = "intend"
    ACT = "act"


@dataclass(frozen=True)
class Standing:
    """due_at, overdue_at: None where nothing is ever to be done, or the age is not known."""

    state: State
    reason: str
    due_at: datetime | None = None
    overdue_at: datetime | None = None


def standing(rule: Rule, hold: Hold | None, came_in: datetime | None, now: datetime) -> Standing:
    """By policy, hold and age, in this order."""
    if rule.action == "none":
        return Standing(State.UNMATCHED, rule.reason)
    if not rule.acts:
        return Standing(State.KEPT, rule.reason)
    if hold is not None:
        return Standing(State.HELD, f"hold {hold.hold_id} on {hold.selector} ({hold.case_ref or 'no case'}) by {hold.placed_by}")
    if came_in is None:
        return Standing(State.UNKNOWN, "no record of the ledger is about these bytes")
    due_at, overdue_at = came_in + timedelta(rule.min_days), came_in + timedelta(rule.max_days)
    if now < due_at:
        return Standing(State.ACTIVE, f"{rule.reason}; due on {due_at:%Y-%m-%d}", due_at, overdue_at)
    return Standing(State.DUE, rule.reason, due_at, overdue_at)


def next_step(stands: Standing, rule: Rule, past: Past, now: datetime) -> tuple[Step, str]:
    """The step, and why."""
    if past.intent is None:
        return (Step.INTEND if stands.state is State.DUE else Step.NOTHING), stands.reason
    if stands.state is not State.DUE:
        return Step.CANCEL, stands.reason
    if facts(past.intent).get("rule") != rule.sha256:
        return Step.CANCEL, "the policy has changed since the intent"
    over_at = past.intent["at"] + timedelta(rule.grace_days)
    return (Step.ACT, stands.reason) if now >= over_at else (Step.WAIT, f"{rule.action} intended; the grace ends {over_at:%Y-%m-%d %H:%M} UTC")
