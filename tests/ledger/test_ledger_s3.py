"""The ledger on a real object store: the same promises as on disk."""

from __future__ import annotations

import multiprocessing
import os

import ledger_cases as cases
import pytest

from faceanon.archive.store import open_store
from faceanon.core.errors import StoreUnavailable
from faceanon.ledger.commit import commit_published, commit_quarantined
from faceanon.ledger.fold import FoldReport, fold
from faceanon.ledger.known import known
from faceanon.ledger.query import query

pytestmark = pytest.mark.store


def test_commit_fold_query(s3_root):
    """Records, tables and answers live in a bucket; a second fold finds nothing new."""
    store = open_store(s3_root)
    made = [commit_published(store, cases.published()), commit_published(store, cases.published()), commit_quarantined(store, cases.refused())]
    commit_published(store, cases.published(settings=cases.Settings().with_values(render__engine="blur")))
    fold(s3_root, store)

    assert made == [True, False, True]
    assert known(store).current["a.mp4"].out_uri.startswith(f"{s3_root}/objects/")
    states = query(s3_root, "SELECT state, count(*) AS n FROM outputs WHERE name = 'a.mp4' GROUP BY state ORDER BY state").to_pylist()
    assert states == [{"state": "current", "n": 1}, {"state": "superseded", "n": 1}]
    assert query(s3_root, "SELECT name, state FROM videos ORDER BY name").column("state").to_pylist() == ["published", "quarantined"]
    assert fold(s3_root, store) == FoldReport()


def test_two_processes_fold_one_bucket(s3_root):
    """Two folders at once on an object store double nothing and lose nothing."""
    store = open_store(s3_root)
    for number in range(4):
        commit_published(store, cases.published(f"{number}.mp4"))
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    folders = [context.Process(target=_fold_at, args=(s3_root, start, dict(os.environ))) for _ in range(2)]
    for folder in folders:
        folder.start()
    for folder in folders:
        folder.join(100)

    assert [f.exitcode for f in folders] == [0, 0]
    counts = query(s3_root, "SELECT (SELECT count(*) FROM outputs) AS outputs, (SELECT count(*) FROM tracks) AS tracks, (SELECT count(*) FROM videos) AS videos")
    assert counts.to_pylist() == [{"outputs": 4, "tracks": 12, "videos": 4}]


def _fold_at(root: str, start, environment: dict[str, str]) -> None:
    os.environ.update(environment)
    start.wait(60)
    fold(root, open_store(root))


def test_a_server_that_is_gone_is_a_passing_fault(s3_root, monkeypatch):
    """A query to a store that does not answer says so, as an error of the store that may pass."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")

    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        query(s3_root, "SELECT 1")
