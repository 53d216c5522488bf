"""The small parts: standing and steps, history, holds, clock and lease."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceanon.archive.store import open_store
from faceanon.core.errors import UsageError
from faceanon.retention import holds
from faceanon.retention.clock import ClockRefused, StoreClock
from faceanon.retention.history import Past, from_rows
from faceanon.retention.lease import LEASES, Lease, LeaseLost
from faceanon.retention.policy import Rule, Subject
from faceanon.retention.standing import Standing, State, Step, next_step, standing

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RULE = Rule("delete", "delete by policy p", ("p",), 30, 90, 7, sha256="r")
HOLD = holds.Hold("h", "tag:x", "c", "legal", NOW)
SUBJECT = Subject("s3://arc/cam/x.mp4", "cam/x.mp4", "cam", frozenset({"street"}))


def intent(at: datetime, rule: str = "r") -> dict:
    return {"event_id": "i", "phase": "intent", "at": at, "evidence_json": json.dumps({"attempt": 1, "rule": rule})}


@given(st.sampled_from(["none", "keep", "cold", "delete"]), st.booleans(), st.one_of(st.none(), st.floats(-10, 1000)))
def test_only_old_free_originals_of_an_acting_policy_are_due(action, held, age_days):
    """Due means: a policy that acts, no hold, an age that is known and long enough; nothing else does."""
    came = None if age_days is None else NOW - timedelta(age_days)
    stands = standing(Rule(action, "", ("p",), 30, 90, 7), HOLD if held else None, came, NOW)
    due = action in ("cold", "delete") and not held and age_days is not None and NOW - came >= timedelta(30)

    assert (stands.state is State.DUE) == due


@given(st.sampled_from(list(State)), st.one_of(st.none(), st.tuples(st.floats(0, 30), st.sampled_from(["r", "s"]))))
def test_no_act_without_an_intent_of_this_rule_and_its_grace(state, earlier):
    """Whatever the state, an act needs an intent under the same wording, a grace ago, and that it is still due."""
    past = Past() if earlier is None else Past(intent=intent(NOW - timedelta(earlier[0]), earlier[1]))
    step, _ = next_step(Standing(state, ""), RULE, past, NOW)

    may = state is State.DUE and earlier is not None and earlier[1] == "r" and NOW - past.intent["at"] >= timedelta(7)
    assert (step is Step.ACT) == may
    assert (step is Step.INTEND) == (state is State.DUE and earlier is None)


def row(phase: str, attempt: int, minute: int) -> dict:
    at = NOW + timedelta(minutes=minute)
    return {"event_id": f"{phase}{attempt}", "uri": "u", "version_id": "v", "phase": phase, "decision": "", "at": at, "evidence_json": json.dumps({"attempt": attempt})}


@given(st.permutations([row("intent", 1, 0), row("cancelled", 1, 1), row("intent", 2, 2), row("verified", 2, 3), row("deleted", 2, 4), row("intent", 3, 5)]))
def test_history_does_not_depend_on_the_order_of_reading(rows):
    """Attempts tell what came first."""
    past = from_rows(rows).of("u", "v")

    assert ([end["phase"] for end in past.ends], past.intent["event_id"], past.verified, past.attempt) == (["cancelled", "deleted"], "intent3", None, 3)


@pytest.mark.parametrize(
    ("selector", "fits"),
    [
        ("collection:cam", True), ("collection:ca", False), ("tag:street", True), ("tag:x", False), ("name:cam/x.mp4", True), ("name:x.mp4", False),
        ("prefix:s3://arc/cam", True), ("prefix:s3://arc/c", False), ("uri:s3://arc/cam/x.mp4", True), ("uri:s3://arc/cam", False),
    ],
)  # fmt: skip
def test_what_a_hold_is_on(selector, fits):
    """One word and a value."""
    assert holds.Hold("h", holds.selector(selector), "", "", NOW).fits(SUBJECT) == fits


@pytest.mark.parametrize("text", ["", "cam", "colour:red", "tag:", "prefix:http://x/y"])
def test_a_hold_on_nothing_is_refused(text):
    """Rather than kept and never fitting."""
    with pytest.raises(UsageError):
        holds.selector(text)


def test_a_hold_of_a_later_version_holds_all():
    """A word that this version does not know: in doubt it holds."""
    assert holds.Hold("h", "mood:sad", "", "", NOW).fits(SUBJECT)


def test_holds_are_seen_at_once(tmp_path):
    """One that is placed while a run goes on keeps the next object; a released one does not; a second release is refused."""
    store = open_store(str(tmp_path))
    seen = holds.Holds(store)
    before = seen.on([SUBJECT])
    hold = holds.place(store, "collection:cam", case_ref="c", by="legal", now=NOW)
    during = seen.on([SUBJECT])
    holds.release(store, hold.hold_id, by="legal", now=NOW)

    assert (before, during, seen.on([SUBJECT])) == (None, hold, None)
    with pytest.raises(UsageError, match="no hold"):
        holds.release(store, hold.hold_id, by="legal", now=NOW)


class Clocks:
    """A store's, a machine's and a steady one, all in the test's hand."""

    def __init__(self) -> None:
        self.store, self.local, self.steady = NOW, NOW, 0.0

    def made(self, newest: datetime | None = None) -> StoreClock:
        return StoreClock(lambda: self.store.timestamp(), newest, local=lambda: self.local, steady_s=lambda: self.steady)


@pytest.mark.parametrize("skew_s", [-301, 301, 86400])
def test_skew_is_refused(skew_s):
    """More than five minutes between machine and store, either way; less is no matter."""
    clocks = Clocks()
    clocks.local = NOW + timedelta(seconds=skew_s)

    with pytest.raises(ClockRefused, match="one of the two clocks is wrong"):
        clocks.made()
    clocks.local = NOW + timedelta(seconds=299)
    assert clocks.made().now() == NOW


def test_a_store_before_the_newest_event_is_refused():
    """Somebody set it back; the seconds to which stores round do not count."""
    assert Clocks().made(NOW + timedelta(seconds=1)).now() == NOW
    with pytest.raises(ClockRefused, match="set back"):
        Clocks().made(NOW + timedelta(seconds=10))


def test_the_machine_s_clock_cannot_age_anything():
    """Time goes on by a steady clock, and the store is asked again; one that jumps ends the run."""
    clocks = Clocks()
    clock = clocks.made()
    clocks.local += timedelta(days=400)
    clocks.steady = 100.0
    first = clock.now()
    clocks.local, clocks.store, clocks.steady = NOW, NOW + timedelta(days=2), 400.0

    assert first == NOW + timedelta(seconds=100)
    with pytest.raises(ClockRefused):
        clock.now()


def test_another_store_must_agree():
    """Originals may lie elsewhere than the ledger."""
    clock = Clocks().made()
    clock.agree(NOW + timedelta(minutes=4), "s3://arc")

    with pytest.raises(ClockRefused, match="s3://arc"):
        clock.agree(NOW + timedelta(minutes=6), "s3://arc")


def test_a_lease_keeps_a_second_run_out(tmp_path):
    """Until it is given back."""
    store = open_store(str(tmp_path))
    with Lease(store, "one", {}), pytest.raises(LeaseLost, match="run one is at work"):
        Lease(store, "two", {}).__enter__()
    with Lease(store, "two", {}):
        assert len(store.list(LEASES)) == 1


def test_an_expired_lease_is_taken_and_its_holder_stopped(tmp_path):
    """By the store's clock; the one who slept past it finds out before its next act."""
    store = open_store(str(tmp_path))
    slow = Lease(store, "slow", {}, ttl_s=0.0)
    slow.__enter__()
    with Lease(store, "next", {}, ttl_s=60.0), pytest.raises(LeaseLost, match="has taken the lease"):
        slow.ensure()


def test_a_dead_holder_is_not_waited_for(tmp_path):
    """Where this machine can tell."""
    store = open_store(str(tmp_path))
    Lease(store, "killed", {"pid": 1}).__enter__()

    with Lease(store, "next", {}, is_dead=lambda holder: holder == {"pid": 1}):
        pass


def test_a_lease_is_renewed(tmp_path):
    """So that a long run keeps it; each renewal is a new number."""
    store = open_store(str(tmp_path))
    with Lease(store, "one", {}, ttl_s=0.0) as lease:
        lease.ensure()
        lease.ensure()
        assert store.list(LEASES)[-1].endswith("000000000003.json")


def test_one_of_many_gets_an_expired_lease(tmp_path):
    """Eight who see the same lease expire at the same time."""
    store = open_store(str(tmp_path))
    Lease(store, "old", {}, ttl_s=0.0).__enter__()
    start, won = threading.Barrier(8), []

    def take(number: int) -> None:
        start.wait()
        try:
            Lease(store, str(number), {}, ttl_s=60.0).__enter__()
            won.append(number)
        except LeaseLost:
            pass

    threads = [threading.Thread(target=take, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(won) == 1
