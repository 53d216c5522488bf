"""A set of rows has one digest, whatever order, files and later columns do to the table."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from faceanon.ledger.evidence_rows import canonical, digests_of
from faceanon.ledger.tables import TABLES, to_arrow

ROWS = [
    {"record_id": "r-1", "hold_id": "h-1", "selector": "cam/*", "placed_at": datetime(2026, 3, 1, 12, tzinfo=UTC), "ingest_date": date(2026, 3, 1)},
    {"record_id": "r-1", "hold_id": "h-2", "selector": "cam/*", "ingest_date": date(2026, 3, 1)},
    {"record_id": "r-2", "hold_id": "h-3", "ingest_date": date(2026, 3, 1)},
]


def digests(rows: list[dict], table: str = "holds") -> dict:
    return digests_of(table, to_arrow(table, rows))


def test_order_and_null_columns_do_not_count():
    """Nor does a column that the table has grown since, or the version of the schema."""
    older = to_arrow("holds", ROWS).drop_columns(["reason", "schema_version"])

    assert digests(ROWS[::-1]) == digests(ROWS) == digests_of("holds", older)
    assert digests(ROWS)["r-1"][0] == 2


@pytest.mark.parametrize(
    "rows",
    [ROWS[:1], ROWS[1:], [*ROWS, ROWS[0]], [{**ROWS[0], "selector": "cam/?"}, ROWS[1]], [{**ROWS[0], "reason": ""}, ROWS[1]]],
    ids=["dropped", "dropped first", "twice", "edited", "an empty word for none"],
)
def test_every_change_of_the_set_counts(rows):
    """A row less, a row twice, a value of one."""
    assert digests(rows).get("r-1") != digests(ROWS)["r-1"]


def test_which_output_is_current_does_not_count():
    """It changes when another comes; verifying derives it."""
    row = {"record_id": "r-1", "name": "a.mp4", "seq": 1, "state": "current"}

    assert digests([row], "outputs") == digests([{**row, "state": "superseded", "superseded_by": "o-2"}], "outputs")
    assert digests([row], "outputs") != digests([{**row, "seq": 2}], "outputs")


def test_lists_of_boxes_count():
    """Value by value, and to which row they belong."""
    lists = {name: [1, 2] for name in ("x", "y", "w", "h", "score_percent", "source")}
    rows = [{"record_id": "r-1", "track_id": 0, "chunk_no": n, "frame0": 9 * n, **lists} for n in range(2)]
    moved = [{**rows[0], "x": [1]}, {**rows[1], "x": [2, 1, 2]}]

    assert digests(rows, "track_boxes") == digests(rows[::-1], "track_boxes")
    assert len({str(digests(r, "track_boxes")) for r in (rows, moved, rows[:1], [{**rows[0], "frame0": 1}, rows[1]])}) == 4


def test_every_table_has_digests():
    """Whatever types its columns have."""
    for name, schema in TABLES.items():
        assert digests_of(name, schema.empty_table()) == {}


def test_there_is_one_way_to_write_a_value():
    """Sorted, without spaces, letters as they are; NaN is refused."""
    assert canonical({"b": "é", "a": [1, None]}) == '{"a":[1,null],"b":"é"}'.encode()
    with pytest.raises(ValueError):
        canonical(float("nan"))
    with pytest.raises(TypeError):
        canonical(b"bytes")
