"""What is known comes from the tables where they hold it, and from the records wherever they do not."""

from __future__ import annotations

import ledger_cases as cases
import pytest

from faceanon.archive.store import open_store
from faceanon.core.records import SourceVersion
from faceanon.ledger.commit import commit_published, commit_quarantined
from faceanon.ledger.delta import TABLES
from faceanon.ledger.fold import fold
from faceanon.ledger.known import known

BLUR = cases.Settings().with_values(render__engine="blur")


class Reads:
    """A store that counts the records that are read."""

    def __init__(self, root: str) -> None:
        self._inner, self.root, self.read_names = open_store(root), root, []

    def __getattr__(self, name: str):
        return getattr(self._inner, name)

    def read(self, name: str) -> bytes:
        self.read_names.append(name)
        return self._inner.read(name)


@pytest.fixture
def store(tmp_path):
    store = Reads(str(tmp_path / "out"))
    commit_published(store, cases.published("a.mp4"))
    commit_published(store, cases.published("b.mp4", settings=BLUR))
    commit_quarantined(store, cases.refused())
    commit_published(store, cases.published("c.mp4"))
    commit_quarantined(store, cases.refused("c.mp4", source=SourceVersion("/src/c.mp4", 0, "125", "")))
    return store


def answers(found) -> tuple[dict, dict]:
    return {name: found.current[name] for name in found.current}, {name: found.quarantined[name] for name in found.quarantined}


def test_tables_and_records_say_the_same(store):
    """Before the fold all comes from records, after it from the table, and every field is the same; what stands below a quarantine is read."""
    before = known(store)
    fold(store.root, store)
    store.read_names.clear()
    after = known(store)

    assert answers(after) == answers(before)
    assert set(after.current) == {"a.mp4", "b.mp4", "c.mp4"}
    assert set(after.quarantined) == {"bad.mp4", "c.mp4"}
    assert (before.records_read, after.records_read, len(store.read_names)) == (5, 1, 1)


def test_a_fold_that_is_behind_hides_nothing(store):
    """What was decided since the last fold counts: a new name, a name that was superseded, one that came out of quarantine."""
    fold(store.root, store)
    commit_published(store, cases.published("a.mp4", settings=BLUR))
    commit_published(store, cases.published("bad.mp4"))
    commit_published(store, cases.published("new.mp4"))
    found = known(store)

    assert found.current["a.mp4"].settings_digest == BLUR.digest()
    assert set(found.current) == {"a.mp4", "b.mp4", "bad.mp4", "c.mp4", "new.mp4"}
    assert set(found.quarantined) == {"c.mp4"}
    assert found.records_read == 4  # the three, and the one that stands below a quarantine
    fold(store.root, store)
    assert answers(known(store)) == answers(found)


def test_a_table_of_an_older_version_is_no_index(store, monkeypatch):
    """Rows without the columns that a plan asks for are read from their records."""
    monkeypatch.setitem(TABLES, "videos", TABLES["videos"].remove(TABLES["videos"].get_field_index("object")))
    monkeypatch.setattr("faceanon.ledger.fold.rows_of", lambda record: _without_object(record))
    fold(store.root, store)
    monkeypatch.undo()

    found = known(store)

    assert found.records_read == 5
    assert found.current["a.mp4"].object.startswith("objects/")


def _without_object(record: dict) -> dict:
    from faceanon.ledger.rows import rows_of

    rows = rows_of(record)
    return {**rows, "videos": [{k: v for k, v in row.items() if k != "object"} for row in rows["videos"]]}


def test_names_that_share_a_hash_are_told_apart(store):
    """A lookup compares names, not hashes alone; a stranger is not found."""
    found = known(store)

    found.current._hashes[:] = hash("x.mp4")
    found.current._order.sort()

    assert "x.mp4" not in found.current
    assert found.current.get("nothere.mp4") is None
