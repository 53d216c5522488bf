"""SQL over the ledger: answers questions, does nothing else."""

from __future__ import annotations

import json

import ledger_cases as cases
import pyarrow as pa
import pytest

from faceanon.archive.store import open_store
from faceanon.core.errors import UsageError
from faceanon.ledger.commit import commit_published
from faceanon.ledger.fold import fold
from faceanon.ledger.query import format_table, query
from faceanon.ledger.tables import TABLES


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = str(tmp_path_factory.mktemp("ledger") / "out")
    commit_published(open_store(root), cases.published())
    fold(root, open_store(root))
    return root


def test_missing_tables_are_empty(tmp_path):
    """Before any run every table can be asked, has its columns and no row."""
    for name, schema in TABLES.items():
        answer = query(str(tmp_path), f"SELECT * FROM {name}")

        assert (answer.num_rows, answer.column_names) == (0, schema.names)


def test_an_out_may_have_any_name(tmp_path):
    """Blanks, quotes and letters of any alphabet in its path."""
    root = str(tmp_path / "it's my “out” é")
    commit_published(open_store(root), cases.published())
    fold(root, open_store(root))

    assert query(root, "SELECT name, ingest_date = current_date AS today FROM outputs").column("name").to_pylist() == ["a.mp4"]


def test_columns_that_have_come_since_are_null(root, monkeypatch):
    """A table that an older version wrote answers for all columns there are now."""
    monkeypatch.setitem(TABLES, "outputs", TABLES["outputs"].append(pa.field("moods", pa.list_(pa.string()))))

    assert query(root, "SELECT name, moods FROM outputs").to_pylist() == [{"name": "a.mp4", "moods": None}]


def test_answers_have_the_types_of_their_tables(root):
    """Whatever reads the files."""
    for name in ("outputs", "tracks", "videos"):
        assert query(root, f"SELECT * FROM {name}").select(TABLES[name].names).schema.types == TABLES[name].types


READING = [
    "SHOW TABLES",
    "DESCRIBE tracks",
    "FROM outputs",
    "WITH a AS (SELECT 1 AS x) SELECT x FROM a",
    "EXPLAIN SELECT * FROM outputs",
    "SUMMARIZE tracks",
    "SELECT label FROM tracks t JOIN outputs o USING (output_id) WHERE o.name = 'a.mp4' AND t.method IN ('swap', 'obscured') AND o.ingest_date > DATE '2020-01-01'",
]


@pytest.mark.parametrize("sql", READING)
def test_reading_statements_are_answered(root, sql):
    """Every way of asking works."""
    assert query(root, sql).num_rows > 0


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("COPY (SELECT 1) TO '/tmp/faceanon-query.csv'", "read-only"),
        ("CREATE TABLE x (a INT)", "read-only"),
        ("INSERT INTO outputs VALUES (1)", "read-only"),
        ("DELETE FROM outputs", "read-only"),
        ("DROP VIEW outputs", "read-only"),
        ("ATTACH '/tmp/faceanon-query.db'", "read-only"),
        ("INSTALL httpfs", "read-only"),
        ("SET enable_external_access = true", "read-only"),
        ("EXPORT DATABASE '/tmp/faceanon-query'", "read-only"),
        ("CALL duckdb_functions()", "read-only"),
        ("SELECT 1; DROP VIEW outputs", "one question at a time"),
        ("", "one question at a time"),
        ("SELECT * FROM read_text('/etc/passwd')", "disabled by configuration"),
        ("SELECT * FROM read_csv('/etc/passwd')", "disabled by configuration"),
        ("SELECT * FROM glob('/etc/*')", "disabled by configuration"),
        ("SELECT * FROM '/etc/passwd'", "does not exist"),
        ("SELECT * FROM read_parquet('s3://bucket/x')", "cannot be answered"),
        ("SELECT * FROM read_blob('/proc/self/environ')", "disabled by configuration"),
        ("SET allowed_paths = ['/etc/passwd']", "read-only"),
        ("SELECT getenv('HOME')", "does not exist"),
        ("SELECT * FROM root", "does not exist"),
        ("SELEC 1", "syntax error"),
        ("SELECT nope FROM outputs", "nope"),
    ],
)
def test_everything_else_is_refused_in_one_sentence(root, sql, says):
    """Writing, reaching out, and mistakes are usage errors with DuckDB's reason, on one line."""
    with pytest.raises(UsageError, match=says) as caught:
        query(root, sql)

    assert "\n" not in str(caught.value)


def test_formats(root):
    """The same answer as a table for people, as JSON and as CSV."""
    answer = query(root, "SELECT name, frames, dropped_streams, superseded_by, name FROM outputs")

    assert format_table(answer).splitlines() == [
        "name   frames  dropped_streams  superseded_by  name_1",
        "-----  ------  ---------------  -------------  ------",
        'a.mp4      60  ["data:gpmd"]                   a.mp4',
        "(1 row)",
    ]
    assert json.loads(format_table(answer, "json")) == [{"name": "a.mp4", "frames": 60, "dropped_streams": ["data:gpmd"], "superseded_by": None, "name_1": "a.mp4"}]
    assert format_table(answer, "csv").splitlines() == ["name,frames,dropped_streams,superseded_by,name_1", 'a.mp4,60,"[""data:gpmd""]",,a.mp4']
    with pytest.raises(UsageError, match="no such format"):
        format_table(answer, "xml")


def test_moments_are_written_in_full(root):
    """Times come out as ISO 8601 with their zone."""
    text = json.loads(format_table(query(root, "SELECT committed_at FROM outputs"), "json"))[0]["committed_at"]

    assert text.endswith("+00:00")


def test_sums_are_numbers_and_nothing_is_null(root):
    """A sum of frames is a JSON number, a missing mean and NaN are null."""
    answer = query(root, "SELECT sum(frames) AS frames, avg(frames) AS mean, 'nan'::DOUBLE AS broken, [1.5::DECIMAL(4,2)] AS list FROM outputs")

    assert json.loads(format_table(answer, "json")) == [{"frames": 60, "mean": 60.0, "broken": None, "list": [1.5]}]
    assert format_table(answer).splitlines()[2].split()[0] == "60"


def test_hundreds_of_rows_stay_aligned(root):
    """Every line of the plain table has its columns in the same place."""
    lines = format_table(query(root, "SELECT range AS n, 'x' AS word FROM range(300)")).splitlines()[:-1]

    assert {line.rindex("x") for line in lines[2:]} == {5}
