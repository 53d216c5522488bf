"""Saved questions: each is answered, and says what it promises, on a ledger in which something is to be found."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from datetime import UTC, datetime

import ledger_cases as cases
import pyarrow.parquet as pq
import pytest

from faceanon.archive.store import open_store
from faceanon.cli import main
from faceanon.core.errors import UsageError
from faceanon.ledger.commit import commit_published, commit_quarantined
from faceanon.ledger.events import append_rows
from faceanon.ledger.fold import fold
from faceanon.ledger.query import query
from faceanon.ledger.questions import QUESTIONS, parameters, tables_in
from faceanon.ledger.tables import TABLES

BLUR = cases.Settings().with_values(render__engine="blur")
LATER = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    store = open_store(str(tmp_path_factory.mktemp("questions") / "out"))
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        record = cases.published(name)
        if name == "b.mp4":
            record["verdict"] = {**record["verdict"], "repairs": 1}
        if name == "c.mp4":
            record["tracks"] = [{**t, "n_repaired": 0, "frames_obscured": 0, "label": "p-other"} for t in record["tracks"]]
        commit_published(store, record)
    commit_published(store, cases.published("d.mp4", settings=BLUR, run=replace(cases.RUN, run_id="02RUN")))
    for name, reason in (("x.mp4", "not a video"), ("y.mp4", "not a video"), ("z.mp4", "empty")):
        commit_quarantined(store, cases.refused(name, reason))
    output = cases.published("a.mp4")["output_id"]
    append_rows(store, "verdicts", [{"verdict_id": "1", "output_id": output, "name": "a.mp4", "auditor": "mtcnn", "decision": "pass", "at": LATER}], key="1")
    append_rows(store, "verdicts", [{"verdict_id": "2", "name": "b.mp4", "auditor": "mtcnn", "decision": "pass", "at": LATER}], key="2")
    append_rows(store, "policies", [{"policy_id": "p1", "action": "delete", "max_days": 90}], key="p1")
    fold(store.root, store)
    return store.root


def ask(root: str, name: str, *words: str) -> list[dict]:
    question = QUESTIONS[name]
    return query(root, question.sql, parameters(question, list(words))).to_pylist()


def test_blast_radius_of_a_model(root):
    """By name and by the beginning of its digest; nothing for a model that had no part."""
    assert [r["name"] for r in ask(root, "blast-radius", "model=centerface")] == ["a.mp4", "b.mp4", "c.mp4", "d.mp4"]
    assert ask(root, "blast-radius", "model=dddd") == ask(root, "blast-radius", "model=centerface")
    assert ask(root, "blast-radius", "model=other") == []


def test_never_verified(root):
    """The run's own verdict is not an independent one; a later one counts by output and by name."""
    assert [r["name"] for r in ask(root, "never-verified")] == ["c.mp4", "d.mp4"]


def test_obscured(root):
    """Where a new face was asked for; untrusted tracks, and engines that only obscure, are not meant."""
    assert [(r["name"], r["tracks"], r["tracks_obscured"], r["frames_obscured"]) for r in ask(root, "obscured")] == [("a.mp4", 1, 0, 2), ("b.mp4", 1, 0, 2)]


def test_quarantined(root):
    """By reason, most first."""
    assert [(r["stage"], r["reason"], r["videos"], r["first_name"]) for r in ask(root, "quarantined")] == [
        ("probe", "not a video", 2, "x.mp4"), ("probe", "empty", 1, "z.mp4"),
    ]  # fmt: skip


def test_repaired(root):
    """By the verdict's repairs, and by what was painted after it."""
    assert [(r["name"], r["repairs"], r["frames"]) for r in ask(root, "repaired")] == [("b.mp4", 1, 3), ("a.mp4", 0, 3), ("d.mp4", 0, 3)]


def test_throughput(root):
    """One day, with what its segments cost."""
    assert [(r["videos"], r["frames"], r["cpu_hours"]) for r in ask(root, "throughput")] == [(4, 240, 0.002)]


def test_one_label_across_videos(root):
    """Where a person is seen; nobody else."""
    assert [(r["name"], r["tracks"], r["frames_replaced"]) for r in ask(root, "label", "label=p-4f2a")] == [("a.mp4", 1, 18), ("b.mp4", 1, 18), ("d.mp4", 1, 18)]


def test_the_register_of_article_30(root):
    """A line for each collection and basis, with who processed, how it is protected and when it is erased."""
    rows = {row["collection"]: row for row in ask(root, "article-30")}

    assert {name: (row["videos"], row["published"]) for name, row in rows.items()} == {"holiday": (4, 4), "": (3, 0)}
    assert (rows["holiday"]["measures"], rows["holiday"]["processed_by"], rows["holiday"]["erasure"]) == ("blur, swap", "someone", "p1: delete after 90 days")


@pytest.mark.parametrize("name", QUESTIONS)
def test_each_is_answered_by_an_empty_ledger(tmp_path, name):
    """With no rows, and no error."""
    question = QUESTIONS[name]
    rows = query(str(tmp_path), question.sql, parameters(question, [f"{word}={example}" for word, example in question.words])).to_pylist()

    assert rows == []


@pytest.mark.parametrize(("name", "words"), [("label", []), ("label", ["label="]), ("label", ["model=x"]), ("throughput", ["day=x"]), ("label", ["x"])])
def test_missing_and_unknown_words_are_said(name, words):
    """With what the question takes."""
    with pytest.raises(UsageError, match=name):
        parameters(QUESTIONS[name], words)


def test_only_tables_that_are_asked_for_are_opened():
    """All of them for who asks which there are."""
    assert tables_in("select * from Tracks t join outputs using (name)", list(TABLES)) == ["tracks", "outputs"]
    assert tables_in("SHOW TABLES", list(TABLES)) == list(TABLES)


def test_the_command_lists_and_answers(root, capsys):
    """--list names all, --show prints the SQL, a name is a question, and a wrong one is wrong usage."""
    assert main(["query", root, "--list"]) == 0
    listed = capsys.readouterr().out
    assert [line.split()[0] for line in listed.splitlines()] == list(QUESTIONS)
    assert main(["query", root, "label", "--show"]) == 0
    assert "$label" in capsys.readouterr().out
    assert main(["query", root, "quarantined", "--format", "csv"]) == 0
    assert "not a video" in capsys.readouterr().out
    for wrong in ([], ["SELECT 1", "--with", "a=b"], ["label"], ["nonsense"]):
        assert main(["query", root, *wrong]) == 2


def test_an_answer_as_parquet(root, monkeypatch):
    """Bytes that a reader of Parquet takes, types and all; never to a terminal."""
    out = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", out)
    assert main(["query", root, "throughput", "--format", "parquet"]) == 0
    assert pq.read_table(io.BytesIO(out.buffer.getvalue())).column("videos").to_pylist() == [4]
    monkeypatch.setattr(out, "isatty", lambda: True)
    assert main(["query", root, "throughput", "--format", "parquet"]) == 2
