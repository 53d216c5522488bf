"""The evidence log grows by put-if-absent, says nothing twice, and a checkpoint is never signed over a log that was changed."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from faceanon.archive.store import open_store
from faceanon.core.errors import StoreError
from faceanon.ledger import evidence
from faceanon.ledger.evidence_note import Signer, parse_note
from faceanon.ledger.evidence_tree import Peaks


@pytest.fixture
def store(tmp_path):
    return open_store(str(tmp_path / "out"))


@pytest.fixture
def signer():
    return Signer.from_seed(bytes(32))


def leaf(number: int) -> dict:
    return {"kind": "record", "record": f"r-{number}"}


def leaves_of(store) -> list[dict]:
    return [leaf for n in range(1, evidence.newest_entry(store) + 1) for leaf in evidence.read_entry(store, n).leaves]


def test_leaves_come_back_in_order(store):
    """After the two that open the log: its name, and the columns of its tables."""
    evidence.append(store, [leaf(1), leaf(2)])
    evidence.append(store, [leaf(3)])

    assert [(x["kind"], x.get("record")) for x in leaves_of(store)] == [("begin", None), ("schema", None), *[("record", f"r-{n}") for n in (1, 2, 3)]]
    assert evidence.read_entry(store, 2).tree == Peaks().append(evidence.hash_of(x) for x in leaves_of(store))


def test_what_the_newest_entries_hold_is_not_said_again(store):
    """A fold that died before it was done offers the same leaves again."""
    evidence.append(store, [leaf(1), leaf(2)])

    assert (evidence.append(store, [leaf(1), leaf(2)]), evidence.append(store, [leaf(2), leaf(3)])) == (0, 1)
    assert len(leaves_of(store)) == 5


def test_racing_writers_lose_no_leaf(store):
    """Each takes a number of its own, and the tree holds all of them."""
    with ThreadPoolExecutor(8) as writers:
        list(writers.map(lambda n: evidence.append(store, [leaf(n)]), range(24)))

    assert sorted(x["record"] for x in leaves_of(store)[2:]) == sorted(f"r-{n}" for n in range(24))
    assert evidence.read_entry(store, 24).tree == Peaks().append(evidence.hash_of(x) for x in leaves_of(store))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 8, 9, 21])
def test_the_newest_entry_is_found_without_a_listing(store, count):
    """Whatever the number."""
    for n in range(count):
        store.create(evidence.entry_path(n + 1), b"x")

    assert evidence.newest_entry(store) == count


def test_new_columns_are_a_leaf(store, monkeypatch):
    """A table that grows is logged when the first row after it is."""
    evidence.append(store, [leaf(1)])
    grown = {**evidence.TABLES, "notes": evidence.TABLES["holds"]}
    monkeypatch.setattr(evidence, "TABLES", grown)
    evidence.append(store, [leaf(2)])

    assert [x["kind"] for x in leaves_of(store)] == ["begin", "schema", "record", "schema", "record"]
    assert set(leaves_of(store)[3]["tables"]) == set(grown)


def test_an_entry_holds_nothing_beside_what_it_should(store):
    """Spaces, further words and other numbers are refused: there is one way to write an entry."""
    evidence.append(store, [leaf(1)])
    data = store.read(evidence.entry_path(1))
    row = json.loads(data)
    for changed in (data + b" ", json.dumps(row).encode(), data.replace(b'{"', b'{"a":1,"', 1), b"{}", b"[]", b"\xff"):
        with pytest.raises(StoreError, match="not an entry"):
            evidence.Entry.from_bytes(changed)


def test_a_checkpoint_says_what_the_log_holds(store, signer):
    """Signed once for each size; none for an empty log."""
    assert evidence.checkpoint(store, signer) is None
    evidence.append(store, [leaf(1)])
    name, note = evidence.checkpoint(store, signer)

    entry = evidence.read_entry(store, 1)
    assert (parse_note(note).size, parse_note(note).root, parse_note(note).origin) == (3, entry.tree.root, evidence.origin(entry.log))
    assert evidence.checkpoint(store, signer) == (name, note)
    assert list(evidence.read_checkpoints(store)) == [(name, note)]


def changed_leaf(store):
    entry = evidence.read_entry(store, 2)
    other = evidence.Entry(2, entry.log, entry.schema, (leaf(9),), evidence.read_entry(store, 1).tree.append([evidence.hash_of(leaf(9))]))
    store.replace(evidence.entry_path(2), other.to_bytes())


def shortened(store):
    store.delete(evidence.entry_path(2))


def begun_anew(store):
    store.delete(evidence.entry_path(1))
    store.delete(evidence.entry_path(2))
    evidence.append(store, [leaf(1), leaf(2)])


def test_a_log_that_was_emptied_is_not_passed_over(store, signer):
    """Its checkpoint is still there."""
    evidence.append(store, [leaf(1)])
    evidence.checkpoint(store, signer)
    store.delete(evidence.entry_path(1))

    with pytest.raises(StoreError, match="is empty, and 3 leaves were signed"):
        evidence.checkpoint(store, signer)


def test_two_drivers_that_sign_are_no_alarm(store, signer, monkeypatch):
    """Another one appends and signs between any two looks of this one."""
    evidence.append(store, [leaf(0)])
    evidence.checkpoint(store, signer)
    real, busy = evidence.newest_entry, []

    def meanwhile(store):
        if not busy:
            busy.append(1)
            evidence.append(store, [leaf(1)])
            evidence.checkpoint(store, signer)
        return real(store)

    monkeypatch.setattr(evidence, "newest_entry", meanwhile)
    assert parse_note(evidence.checkpoint(store, signer)[1]).size == 4


@pytest.mark.parametrize("change", [changed_leaf, shortened, begun_anew])
def test_a_log_that_was_changed_is_not_signed(store, signer, change):
    """Not even after honest entries were added to it."""
    evidence.append(store, [leaf(1)])
    evidence.append(store, [leaf(2)])
    evidence.checkpoint(store, signer)
    change(store)
    evidence.append(store, [leaf(3)])

    with pytest.raises(StoreError, match=r"no longer extends|rewritten"):
        evidence.checkpoint(store, signer)
