"""Rows that are no decision about a video: durable at once, in the tables after the next fold, and there once."""

from __future__ import annotations

from datetime import UTC, datetime

import ledger_cases as cases
import pytest

from faceanon.archive.store import open_store
from faceanon.core.errors import StoreError
from faceanon.ledger.commit import commit_published
from faceanon.ledger.events import append_rows, event, events
from faceanon.ledger.fold import FoldReport, fold
from faceanon.ledger.query import query

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOLD = {"hold_id": "h-1", "selector": "cam/*", "placed_by": "legal", "placed_at": AT}
VERDICT = {"verdict_id": "v-1", "name": "a.mp4", "decision": "pass", "auditor": "mtcnn", "frames_sampled": 3, "at": AT}


@pytest.fixture
def root(tmp_path):
    return str(tmp_path / "out")


@pytest.fixture
def store(root):
    return open_store(root)


def test_rows_are_durable_before_any_fold(store):
    """Who must act on a row reads it back at once, with its moments as moments."""
    append_rows(store, "holds", [HOLD], key="h-1")

    assert [(r["hold_id"], r["placed_at"]) for r in events(store, "holds")] == [("h-1", AT)]
    assert event(store, "holds", "h-1")[0]["selector"] == "cam/*"
    assert event(store, "holds", "h-2") == []


def test_the_first_word_stands(store):
    """A key that was used before keeps its rows, whatever is said later."""
    first = append_rows(store, "holds", [HOLD], key="h-1")
    second = append_rows(store, "holds", [{**HOLD, "selector": "*"}], key="h-1")

    assert (first, second) == (True, False)
    assert [r["selector"] for r in events(store, "holds")] == ["cam/*"]


def test_a_fold_takes_them_once(root, store):
    """Beside records of videos, and a verdict beside the run's own."""
    commit_published(store, cases.published("a.mp4"))
    append_rows(store, "holds", [HOLD, {**HOLD, "hold_id": "h-2"}], key="two")
    append_rows(store, "verdicts", [VERDICT], key="v-1")
    first = fold(root, store)

    assert (first.records, fold(root, store)) == (3, FoldReport())
    assert query(root, "SELECT hold_id, placed_at FROM holds ORDER BY hold_id").to_pylist() == [{"hold_id": h, "placed_at": AT} for h in ("h-1", "h-2")]
    assert query(root, "SELECT auditor FROM verdicts ORDER BY auditor").column(0).to_pylist() == ["centerface", "mtcnn"]
    assert query(root, "SELECT stage FROM commits WHERE kind = 'rows' ORDER BY stage").column(0).to_pylist() == ["holds", "verdicts"]


@pytest.mark.parametrize(("table", "row"), [("holds", {"colour": "red"}), ("tracks", {"track_id": 1}), ("holds", {"placed_at": "yesterday"})])
def test_rows_that_do_not_fit_are_refused_at_once(store, table, row):
    """Not in a later fold, where nobody could mend them."""
    with pytest.raises(ValueError):
        append_rows(store, table, [row], key="x")
    assert store.list("ledger") == []


def test_a_key_never_enters(store):
    """The guard of the ledger stands here too."""
    with pytest.raises(StoreError, match="key material"):
        append_rows(store, "holds", [{"hold_id": "A" * 43 + "="}], key="x")
