"""A run leaves signed evidence, here and in the mirror; one that cannot sign says so, and publishes all the same."""

from __future__ import annotations

import pytest
from support.fake_archive import run_local, write_archive

from faceanon.archive.store import open_store
from faceanon.core.settings import Settings
from faceanon.flow import build
from faceanon.flow.proof import prove
from faceanon.ledger import boxes, evidence
from faceanon.ledger.query import query

BLUR = Settings().with_values(render__engine="blur", detect__width_px=192)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return write_archive(tmp_path_factory.mktemp("evidence")) / "cam"


def test_a_run_is_signed_here_and_in_the_mirror(archive, tmp_path):
    """All of it; the ledger says which code ran and where each face was, and a second run signs on."""
    settings = BLUR.with_values(evidence__mirror=str(tmp_path / "mirror"))
    first, second = (run_local([str(archive)], tmp_path / "out", tmp_path / "key.json", settings) for _ in range(2))
    out, mirror = open_store(str(tmp_path / "out")), open_store(str(tmp_path / "mirror"))
    found = prove(out, mirror=mirror)

    assert (found.problems, found.waiting, found.leaves == found.signed == second["evidence"]["leaves"] > first["evidence"]["leaves"]) == ((), 0, True)
    assert second["evidence"]["mirror"] in [mirror.uri(name) for name in mirror.list("")]
    assert {row["git_commit"] for row in query(out.root, "SELECT git_commit FROM runs").to_pylist()} == {build.git_commit() or None}
    assert query(out.root, "SELECT name, sum(len(x)) AS boxes FROM track_boxes GROUP BY name ORDER BY name")["boxes"].to_pylist() == query(
        out.root, "SELECT name, sum(stop_frame - first_frame) AS n FROM tracks GROUP BY name ORDER BY name"
    )["n"].to_pylist()


def test_a_log_that_was_changed_is_not_signed_on(archive, tmp_path):
    """The run publishes, says what is wrong, and exits 1."""
    run_local([str(archive / "walk.mp4")], tmp_path / "out", tmp_path / "key.json", BLUR)
    store = open_store(str(tmp_path / "out"))
    store.delete(evidence.entry_path(evidence.newest_entry(store)))
    summary = run_local([str(archive)], tmp_path / "out", tmp_path / "key.json", BLUR)

    assert (summary["published"], summary["quarantined"], summary["exit_code"]) == (1, [], 1)
    assert "no longer extends" in summary["evidence"]["problem"]


def test_boxes_are_only_written_where_they_are_wanted(archive, tmp_path):
    """ledger.boxes_days = 0: no object, no row, nothing missing."""
    run_local([str(archive / "walk.mp4")], tmp_path / "out", tmp_path / "key.json", BLUR.with_values(ledger__boxes_days=0))
    store = open_store(str(tmp_path / "out"))

    assert (store.list(boxes.BOXES), query(store.root, "SELECT count(*) AS n FROM track_boxes")["n"].to_pylist(), prove(store).problems) == ([], [0], ())
