"""The state machine on a local disk: what is due goes in steps, and whatever speaks against it keeps it."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import pytest
from retention_cases import POLICY, Archive, ledger_cases, policy

from faceanon.archive.versions import Shelf
from faceanon.core.errors import StoreError, StoreUnavailable
from faceanon.ledger.commit import commit_published, commit_quarantined
from faceanon.ledger.events import append_rows, events
from faceanon.ledger.fold import fold
from faceanon.retention import history, holds
from faceanon.retention.standing import State
from faceanon.retention.steps import cold_name


@pytest.fixture
def archive(tmp_path):
    return Archive(str(tmp_path / "src"), str(tmp_path / "out"))


def states(found) -> dict[str, str]:
    return {name: f.state.value for name, f in found.items()}


def test_due_originals_go_in_steps(archive):
    """Intent, verified, deleted, each an event of its own; what is young, kept or without a policy stays."""
    for name, days in (("old.mp4", 40), ("young.mp4", 5)):
        archive.add(name, days=days)
    archive.add("other.mp4", collection="elsewhere")
    found = archive.retain()

    assert states(found) == {"old.mp4": "deleted", "young.mp4": "active", "other.mp4": "unmatched"}
    assert archive.told() == [("old.mp4", "intent", "delete"), ("old.mp4", "verified", "delete"), ("old.mp4", "deleted", "delete")]
    assert [archive.has(n) for n in ("old.mp4", "young.mp4", "other.mp4")] == [False, True, True]


def test_a_further_run_changes_nothing(archive):
    """Neither before a fold nor after one; what is gone is known to be gone by a run."""
    archive.add("old.mp4")
    archive.add("blocked.mp4", verdict="fail")
    archive.retain()
    told = archive.told()
    again = archive.retain()
    fold(archive.out_uri, archive.out)
    folded = archive.retain()

    assert archive.told() == told
    assert states(again) == states(folded) == {"old.mp4": "deleted", "blocked.mp4": "blocked"}


def test_a_dry_run_writes_and_deletes_nothing(archive):
    """It says what a run would do, whether it reads or not."""
    archive.add("old.mp4")
    before = archive.out.list("ledger")
    found = [archive.retain(execute=False, read=read)["old.mp4"] for read in (True, False)]

    assert [(f.state, f.did) for f in found] == [(State.DUE, "intent")] * 2
    assert archive.out.list("ledger") == before
    assert archive.has("old.mp4")


def test_nothing_goes_within_the_grace(archive):
    """The intent is written, the act comes when the grace is over, by the store's clock."""
    archive.add("old.mp4")
    table = policy(grace_days=7)
    first = archive.retain(table)["old.mp4"]
    archive.late = timedelta(days=6, hours=23)
    second = archive.retain(table)["old.mp4"]
    there = archive.has("old.mp4")
    archive.late = timedelta(days=7, hours=1)
    third = archive.retain(table)["old.mp4"]

    assert [(f.state, f.did) for f in (first, second, third)] == [(State.PENDING, "intent"), (State.PENDING, ""), (State.DELETED, "deleted")]
    assert (there, archive.has("old.mp4")) == (True, False)


def test_missed_runs_are_made_up_for(archive):
    """A year without a run changes nothing but the day."""
    archive.add("old.mp4", days=5)
    archive.late = timedelta(days=400)

    assert archive.retain()["old.mp4"].state is State.DELETED


def broken_output(archive):
    archive.add("a.mp4", output=b"something else")


def lost_output(archive):
    archive.add("a.mp4", output=None)


def failed_audit(archive):
    archive.add("a.mp4", verdict="fail")


def no_audit(archive):
    archive.add("a.mp4", verdict="")


def unknown_audit(archive):
    archive.add("a.mp4", verdict="unknown")


def own_auditor(archive):
    archive.audit(archive.add("a.mp4", verdict=""), auditor="centerface")


def own_weights(archive):
    archive.audit(archive.add("a.mp4", verdict=""), model="d" * 64)


def audit_of_other_bytes(archive):
    record = archive.add("a.mp4", verdict="")
    archive.audit({**record, "output": {**record["output"], "sha256": "f" * 64}})


def later_fail(archive):
    archive.audit(archive.add("a.mp4"), "fail", at=datetime.now(UTC) + timedelta(seconds=1))


def audit_of_no_frame(archive):
    archive.audit(archive.add("a.mp4", verdict=""), frames=0)


def changed_original(archive):
    archive.add("a.mp4")
    path = archive.uri("a.mp4")
    stamp = os.stat(path).st_mtime_ns
    with open(path, "r+b") as file:
        file.write(b"X")
    os.utime(path, ns=(stamp, stamp))  # the same size and time: only reading it tells


def second_name(archive):
    archive.add("a.mp4")
    os.link(archive.uri("a.mp4"), archive.uri("a.mp4") + ".link")


def quarantined_since(archive):
    record = archive.add("a.mp4")
    refusal = ledger_cases.refused("a.mp4", "a face is still visible")
    commit_quarantined(archive.out, {**refusal, "collection": "cam", "source": record["source"], "video_id": record["video_id"], "settings_digest": "0" * 64})


@pytest.mark.parametrize(
    ("seed", "gate"),
    [
        (lost_output, "output exists"), (broken_output, "output digest"), (quarantined_since, "output exists"),
        (no_audit, "independent audit"), (failed_audit, "independent audit"), (unknown_audit, "independent audit"), (own_auditor, "independent audit"),
        (own_weights, "independent audit"), (audit_of_other_bytes, "independent audit"), (later_fail, "independent audit"), (audit_of_no_frame, "independent audit"),
        (changed_original, "original unchanged"), (second_name, "original unchanged"),
    ],
)  # fmt: skip
def test_every_gate_keeps(archive, seed, gate):
    """One thing that is not as it should be, and the original stays, with the gate that kept it written down once."""
    seed(archive)
    found = archive.retain()["a.mp4"]
    archive.retain()

    assert (found.state, found.gate) == (State.BLOCKED, gate), found
    assert archive.told() == [("a.mp4", "blocked", gate)]
    assert archive.has("a.mp4")


def test_a_reviewer_may_pass_what_an_auditor_failed(archive):
    """But only after an independent auditor has looked, and only what was said before."""
    record = archive.add("a.mp4", verdict="fail")
    row = {"verdict_id": "r", "name": "a.mp4", "output_id": record["output_id"], "reviewer": "ann", "decision": "pass", "at": datetime.now(UTC)}
    append_rows(archive.out, "verdicts", [row], key="r")
    other = archive.add("b.mp4", verdict="")
    append_rows(archive.out, "verdicts", [{**row, "name": "b.mp4", "output_id": other["output_id"]}], key="r2")

    assert states(archive.retain()) == {"a.mp4": "deleted", "b.mp4": "blocked"}


def test_a_hold_keeps_and_release_begins_anew(archive):
    """A hold cancels an intent; after its release the whole grace passes again."""
    archive.add("a.mp4")
    table = policy(grace_days=7)
    archive.retain(table)
    hold = holds.place(archive.out, "name:a.mp4", case_ref="c-1", by="legal", now=datetime.now(UTC))
    archive.late = timedelta(days=8)
    held = archive.retain(table)["a.mp4"]
    holds.release(archive.out, hold.hold_id, by="legal", now=datetime.now(UTC))
    again = archive.retain(table)["a.mp4"]
    archive.late = timedelta(days=16)
    last = archive.retain(table)["a.mp4"]

    assert [(f.state, f.did) for f in (held, again, last)] == [(State.HELD, "cancelled"), (State.PENDING, "intent"), (State.DELETED, "deleted")]
    assert [phase for _, phase, _ in archive.told()] == ["intent", "cancelled", "intent", "verified", "deleted"]


def test_held_originals_are_not_overdue(archive):
    """A hold is a reason to keep; nothing else is, once the time is up."""
    archive.add("held.mp4", days=200)
    archive.add("late.mp4", days=200, verdict="fail")
    holds.place(archive.out, f"uri:{archive.uri('held.mp4')}", case_ref="", by="legal", now=datetime.now(UTC))
    found = archive.retain()

    assert found["held.mp4"].overdue_s == 0
    assert round(found["late.mp4"].overdue_s / 86400) == 110


def test_another_policy_begins_anew(archive):
    """An intent under one wording is not carried out under another."""
    archive.add("a.mp4")
    archive.retain(policy(grace_days=1))
    archive.late = timedelta(days=2)
    found = archive.retain(policy(grace_days=1, basis="another one"))["a.mp4"]

    assert (found.did, archive.has("a.mp4")) == ("cancelled", True)


def test_a_gate_that_shuts_in_the_grace_cancels(archive):
    """The output is damaged between intent and act: the original is still there."""
    record = archive.add("a.mp4")
    table = policy(grace_days=1)
    archive.retain(table)
    archive.out.replace(record["output"]["object"], b"damaged")
    archive.late = timedelta(days=2)
    found = archive.retain(table)["a.mp4"]

    assert (found.state, found.gate, found.did) == (State.BLOCKED, "output digest", "cancelled")
    assert archive.has("a.mp4")


def test_an_original_that_changes_in_the_grace_stays(archive):
    """Its intent was for other bytes; the new ones are nobody's until a job has seen them."""
    archive.add("a.mp4")
    table = policy(grace_days=1)
    archive.retain(table)
    archive.put("a.mp4", b"another film")
    archive.late = timedelta(days=2)
    archive.retain(table)
    archive.retain(table)

    assert archive.read("a.mp4") == b"another film"
    assert [phase for _, phase, _ in archive.told()] == ["intent", "missing"]


def test_a_touched_original_is_known_by_its_bytes(archive):
    """Another time on disk, the same content: reading it tells; another content of the same size is nobody's."""
    archive.add("a.mp4")
    archive.add("b.mp4")
    os.utime(archive.uri("a.mp4"))
    archive.put("b.mp4", archive.read("b.mp4")[::-1])
    looked, found = archive.retain(execute=False, read=False), archive.retain()

    assert states(looked) == {"a.mp4": "unknown", "b.mp4": "unknown"}
    assert states(found) == {"a.mp4": "deleted", "b.mp4": "unknown"}


def test_a_disk_that_is_not_mounted_is_a_fault(archive, tmp_path):
    """Nothing in it is called missing or deleted; what is kept anyway, and what a run here removed, is as it was."""
    for name, collection in (("a/due.mp4", "cam"), ("a/gone.mp4", "cam"), ("a/other.mp4", "elsewhere")):
        archive.add(name, collection=collection)
    holds.place(archive.out, "name:a/due.mp4", case_ref="", by="x", now=datetime.now(UTC))
    archive.retain()
    told = archive.told()
    os.rename(tmp_path / "src", tmp_path / "elsewhere")
    away = archive.retain()
    os.rename(tmp_path / "elsewhere", tmp_path / "src")

    assert states(away) == {"a/due.mp4": "fault", "a/gone.mp4": "deleted", "a/other.mp4": "unmatched"}
    assert "is its disk mounted" in away["a/due.mp4"].reason
    assert archive.told() == told
    assert states(archive.retain())["a/due.mp4"] == "held"


def test_places_of_no_policy_are_not_asked(archive, monkeypatch):
    """What nothing is to be done with is reported without a request to its store."""
    archive.add("a.mp4", collection="elsewhere")
    monkeypatch.setattr(Shelf, "folder", lambda *_: pytest.fail("was listed"))

    assert states(archive.retain()) == {"a.mp4": "unmatched"}


def test_what_went_without_us_is_missing(archive):
    """Told once; no run claims it."""
    archive.add("a.mp4", days=1)
    os.unlink(archive.uri("a.mp4"))

    assert [archive.retain()["a.mp4"].state for _ in range(2)] == [State.MISSING] * 2
    assert archive.told() == [("a.mp4", "missing", "")]


def test_an_original_from_a_backup_goes_again(archive):
    """It comes back with its old time; a second round of steps is written down."""
    archive.add("a.mp4")
    data, stamp = archive.read("a.mp4"), os.stat(archive.uri("a.mp4")).st_mtime_ns
    archive.retain()
    archive.put("a.mp4", data)
    os.utime(archive.uri("a.mp4"), ns=(stamp, stamp))
    archive.retain()

    assert not archive.has("a.mp4")
    assert [phase for _, phase, _ in archive.told()] == ["intent", "verified", "deleted"] * 2


def test_cold_originals_are_moved(archive, tmp_path):
    """Copied, read back, and only then deleted; a cold place that holds other bytes keeps the original."""
    archive.add("a.mp4")
    record = archive.add("b.mp4")
    taken = tmp_path / "cold" / cold_name(archive.uri("b.mp4"), record["source"]["sha256"])
    taken.parent.mkdir(parents=True)
    taken.write_bytes(b"something else")
    found = archive.retain(policy(action="cold", cold=str(tmp_path / "cold")))

    assert states(found) == {"a.mp4": "moved", "b.mp4": "blocked"}
    assert sorted(path.read_bytes() for path in (tmp_path / "cold").rglob("*.mp4")) == [b"original of a.mp4", b"something else"]
    assert (archive.has("a.mp4"), archive.has("b.mp4")) == (False, True)


@pytest.mark.parametrize("done", ["deleted", "moved"])
def test_death_between_act_and_word(archive, monkeypatch, tmp_path, done):
    """A run that dies after the act leaves "verified"; the next one finds the original gone, the copy where it should be, and says so."""
    archive.add("a.mp4")
    table = POLICY if done == "deleted" else policy(action="cold", cold=str(tmp_path / "cold"))
    write = history.Scribe.write

    def dies(self, phase, **words):
        if phase == done:
            raise KeyboardInterrupt
        return write(self, phase, **words)

    with monkeypatch.context() as patched:
        patched.setattr(history.Scribe, "write", dies)
        with pytest.raises(KeyboardInterrupt):
            archive.retain(table)
    there = archive.has("a.mp4")
    found = archive.retain(table)["a.mp4"]

    assert not there
    assert (found.state, found.reason.split(":")[0]) == (State(done), "already absent")
    assert [phase for _, phase, _ in archive.told()] == ["intent", "verified", done]


def test_a_store_that_refuses_cancels(archive, monkeypatch):
    """A deletion that the store forbids is written down as what it is; the next attempt begins with a new intent."""
    archive.add("a.mp4")
    with monkeypatch.context() as patched:
        patched.setattr(Shelf, "delete", lambda self, version: (_ for _ in ()).throw(StoreError("the store refused: AccessDenied", source=version.uri)))
        refused = archive.retain()["a.mp4"]
    there = archive.has("a.mp4")
    archive.retain()

    assert (refused.state, refused.did, "AccessDenied" in refused.reason, there) == (State.BLOCKED, "cancelled", True, True)
    assert [phase for _, phase, _ in archive.told()] == ["intent", "verified", "cancelled", "intent", "verified", "deleted"]


def test_a_store_that_fails_is_tried_again(archive, monkeypatch):
    """A passing fault is the object's own: the others go, and the next run takes it up where it was."""
    archive.add("a.mp4")
    archive.add("b.mp4")
    delete = Shelf.delete

    def fails(self, version):
        if version.uri.endswith("a.mp4"):
            raise StoreUnavailable("the store did not answer", source=version.uri)
        delete(self, version)

    with monkeypatch.context() as patched:
        patched.setattr(Shelf, "delete", fails)
        first = archive.retain()
    second = archive.retain()

    assert states(first) == {"a.mp4": "fault", "b.mp4": "deleted"}
    assert states(second) == {"a.mp4": "deleted", "b.mp4": "deleted"}
    assert [phase for name, phase, _ in archive.told() if name == "a.mp4"] == ["intent", "verified", "deleted"]


def test_a_hold_at_the_last_moment_keeps(archive, monkeypatch, tmp_path):
    """Placed while the copy to the cold place was made."""
    archive.add("a.mp4")
    copy = Shelf.copy

    def slow(self, *words):
        holds.place(archive.out, "name:a.mp4", case_ref="", by="legal", now=datetime.now(UTC))
        return copy(self, *words)

    monkeypatch.setattr(Shelf, "copy", slow)
    found = archive.retain(policy(action="cold", cold=str(tmp_path / "cold")))["a.mp4"]

    assert (found.did, "came at the last moment" in found.reason, archive.has("a.mp4")) == ("cancelled", True, True)


def test_a_lost_copy_is_not_called_moved(archive, monkeypatch, tmp_path):
    """Gone after "verified", and nothing lies in the cold place: missing, not moved."""
    archive.add("a.mp4")
    table = policy(action="cold", cold=str(tmp_path / "cold"))
    with monkeypatch.context() as patched:
        patched.setattr(Shelf, "copy", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            archive.retain(table)
    os.unlink(archive.uri("a.mp4"))
    found = archive.retain(table)["a.mp4"]

    assert (found.state, "no copy lies below" in found.reason) == (State.MISSING, True)


def test_two_names_of_one_original_must_both_agree(archive):
    """One of them without a policy, or without an output, keeps it."""
    archive.add("a.mp4")
    record = archive.publish("a.mp4")
    commit_published(archive.out, {**record, "name": "twin.mp4", "collection": "elsewhere"})
    found = archive.retain()

    assert found["a.mp4"].names == ("a.mp4", "twin.mp4")
    assert found["a.mp4"].state is State.UNMATCHED
    assert archive.has("a.mp4")


def test_policies_are_in_the_ledger_before_the_act(archive):
    """Each wording once, with who approved it."""
    archive.add("a.mp4")
    for _ in range(2):
        archive.retain({**POLICY, "approved_by": "the officer"})

    assert [(r["policy_id"], r["max_days"], r["approved_by"]) for r in events(archive.out, "policies")] == [("cam", 90, "the officer")]
