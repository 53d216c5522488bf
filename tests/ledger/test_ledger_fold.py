"""Folding: every record becomes rows exactly once, whatever dies or races."""

from __future__ import annotations

import multiprocessing
import tempfile
from dataclasses import asdict, replace
from datetime import date

import ledger_cases as cases
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faceanon.archive.store import open_store
from faceanon.core.records import SourceVersion
from faceanon.flow.proof import prove
from faceanon.ledger import delta, evidence
from faceanon.ledger import fold as folding
from faceanon.ledger.commit import commit_published, commit_quarantined
from faceanon.ledger.evidence_note import Signer
from faceanon.ledger.fold import FoldReport, fold
from faceanon.ledger.query import query
from faceanon.ledger.runinfo import new_run_id
from faceanon.ledger.runs import write_summary

BLUR = cases.Settings().with_values(render__engine="blur")
COUNTS = {"videos": 3, "outputs": 2, "segments": 4, "shots": 4, "tracks": 6, "verdicts": 2, "commits": 3, "models": 1, "runs": 1}


@pytest.fixture
def root(tmp_path):
    return str(tmp_path / "out")


@pytest.fixture
def store(root):
    store = open_store(root)
    commit_published(store, cases.published("a.mp4"))
    commit_published(store, cases.published("b.mp4"))
    commit_quarantined(store, cases.refused())
    return store


def counts(root: str) -> dict[str, int]:
    return {name: query(root, f"SELECT count(*) AS n FROM {name}").column("n")[0].as_py() for name in COUNTS}


def test_every_table_takes_its_rows(root, store):
    """Two published videos and a quarantined one fill all tables."""
    report = fold(root, store)

    assert counts(root) == COUNTS
    assert (report.records, report.runs, report.rows["tracks"]) == (3, 1, 6)


def test_folding_again_adds_nothing(root, store):
    """A fold without news writes no version of any table."""
    fold(root, store)
    versions = {name: delta.open_table(root, name).version() for name in COUNTS}

    assert fold(root, store) == FoldReport()
    assert {name: delta.open_table(root, name).version() for name in COUNTS} == versions


def test_a_fold_of_some_names_takes_those_only(root, store):
    """After a wave only its names are looked at; a later fold takes the rest."""
    first = fold(root, store, ["a.mp4", "bad.mp4", "never.mp4"])
    second = fold(root, store)

    assert (first.records, second.records) == (2, 1)
    assert counts(root) == COUNTS


DECISIONS = st.tuples(st.sampled_from(["a.mp4", "it's b.mp4"]), st.sampled_from(["swap", "blur", "refused"]), st.booleans())


@settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(DECISIONS, min_size=3, max_size=7))
def test_tables_follow_any_history(decisions):
    """Whatever was decided in whatever order, and folded when: a name shows its newest decision and has one current output, its newest publication."""
    with tempfile.TemporaryDirectory() as root:
        store, newest, current = open_store(root), {}, {}
        for number, (name, what, fold_now) in enumerate(decisions):
            if what == "refused":
                commit_quarantined(store, cases.refused(name, f"reason {number}"))
            else:
                commit_published(store, cases.published(name, settings=cases.Settings().with_values(render__engine=what)))
                current[name] = what
            newest[name] = "quarantined" if what == "refused" else "published"
            if fold_now:
                fold(root, store)
        fold(root, store)

        assert {r["name"]: r["state"] for r in query(root, "SELECT name, state FROM videos").to_pylist()} == newest
        assert {r["name"]: r["engine"] for r in query(root, "SELECT name, engine FROM outputs WHERE state = 'current'").to_pylist()} == current
        assert query(root, "SELECT name FROM outputs WHERE state = 'current'").num_rows == len(current)


def test_videos_has_one_row_a_name(root, store):
    """The newest decision of a name is its row: first quarantined, then published."""
    fold(root, store)
    commit_published(store, cases.published("bad.mp4"))
    fold(root, store)

    rows = query(root, "SELECT name, state, stage, reason FROM videos ORDER BY name").to_pylist()
    assert [(r["name"], r["state"], r["stage"]) for r in rows] == [("a.mp4", "published", None), ("b.mp4", "published", None), ("bad.mp4", "published", None)]


@pytest.mark.parametrize("folds_between", [True, False])
def test_other_settings_supersede(root, store, folds_between):
    """Of three publications of a name only the newest is current, and each old one names its successor."""
    fold(root, store)
    for chosen in (BLUR, cases.Settings()):
        commit_published(store, cases.published("a.mp4", settings=chosen))
        if folds_between:
            fold(root, store)
    fold(root, store)

    rows = query(root, "SELECT seq, state, engine, output_id, superseded_by FROM outputs WHERE name = 'a.mp4' ORDER BY seq").to_pylist()
    assert [(r["state"], r["engine"]) for r in rows] == [("superseded", "swap"), ("superseded", "blur"), ("current", "swap")]
    assert [r["superseded_by"] for r in rows] == [rows[1]["output_id"], rows[2]["output_id"], None]


def test_the_rows_say_what_the_record_said(root, store):
    """Columns keep their values and units through Delta and DuckDB."""
    fold(root, store)

    video = query(root, "SELECT * FROM videos WHERE name = 'a.mp4'").to_pylist()[0]
    output = query(root, "SELECT * FROM outputs WHERE name = 'a.mp4'").to_pylist()[0]
    assert (video["duration_us"], video["fps_num"], video["w"], video["tags"], video["schema_version"]) == (2_400_000, 25, 640, ["x"], 2)
    assert (output["out_uri"], output["metadata_stripped"], output["model_ids"]) == (store.uri(cases.published()["output"]["object"]), ["location"], ["d" * 64])
    assert query(root, "SELECT committed_at FROM outputs").schema.field(0).type == pa.timestamp("us", tz="UTC")


def test_no_column_can_hold_a_face(root):
    """No table has a column of bytes, of fractions in lists, or of a forbidden name; whole numbers in lists, the px of boxes, are in track_boxes alone."""
    columns = [(t, f.name, f.type) for t, schema in delta.TABLES.items() for f in schema]
    allowed = {("track_boxes", name, pa.list_(pa.int32())) for name in ("x", "y", "w", "h", "score_percent", "source")}

    assert [c for c in columns if pa.types.is_binary(c[2]) or (pa.types.is_list(c[2]) and c[2].value_type != pa.string() and c not in allowed)] == []
    assert [c for c in columns if c[1] in {"embedding", "crop", "picture", "points", "mesh"}] == []


@pytest.mark.parametrize("dies_at", ["segments", "outputs", "videos", "models", "commits"])
def test_a_fold_that_died_is_completed(root, store, monkeypatch, dies_at):
    """Death before any table leaves the next fold to finish, with no row doubled."""
    with monkeypatch.context() as patch:
        for name in ("append_missing", "upsert"):
            patch.setattr(folding, name, _dying(getattr(folding, name), dies_at))
        patch.setattr("faceanon.ledger.runs.upsert", _dying(delta.upsert, dies_at))
        with pytest.raises(KeyboardInterrupt):
            fold(root, store)
    fold(root, store)

    assert counts(root) == COUNTS


def _dying(action, table: str):
    def act(root_uri, name, *args, **more):
        if name == table:
            raise KeyboardInterrupt
        return action(root_uri, name, *args, **more)

    return act


def test_processes_that_fold_at_once_double_nothing(root, store):
    """Two processes start folding the same records together: every row is there once."""
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    folders = [context.Process(target=_fold_at, args=(root, start)) for _ in range(2)]
    for folder in folders:
        folder.start()
    for folder in folders:
        folder.join(60)

    assert [f.exitcode for f in folders] == [0, 0]
    assert counts(root) == COUNTS


def _fold_at(root: str, start) -> None:
    start.wait(60)
    fold(root, open_store(root))


def test_processes_that_fold_in_small_steps_double_nothing(root, store):
    """The same with twenty records, of which each version of a table takes two: the two processes meet again and again."""
    for number in range(18):
        commit_published(store, cases.published(f"{number}.mp4", settings=BLUR if number % 2 else None))
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    folders = [context.Process(target=_fold_in_steps, args=(root, start)) for _ in range(2)]
    for folder in folders:
        folder.start()
    for folder in folders:
        folder.join(120)

    assert [f.exitcode for f in folders] == [0, 0]
    assert counts(root) == {**COUNTS, "videos": 21, "outputs": 20, "segments": 40, "shots": 40, "tracks": 60, "verdicts": 20, "commits": 21}
    assert fold(root, store) == FoldReport()
    evidence.checkpoint(store, Signer.from_seed(bytes(32)))
    assert prove(store, outputs=False).problems == ()


def _fold_in_steps(root: str, start) -> None:
    folding._READ = folding._WRITE_RECORDS = 2
    start.wait(60)
    fold(root, open_store(root))


def test_tables_are_read_without_python(root, store):
    """No thread of a scan may need the interpreter: one that did while it ended aborted the process in 5 of 36 tries."""
    fold(root, store)

    filesystem = delta.dataset(root, "outputs", delta.open_table(root, "outputs")).filesystem
    assert isinstance(filesystem.base_fs, delta.fs.LocalFileSystem)


def test_a_loser_of_a_race_reads_again(root, store):
    """Two folders that saw the same version: the second write is refused by Delta, and a retry finds nothing to add."""
    row = {"record_id": "r-1", "ingest_date": date(2026, 1, 1)}
    delta.append_missing(root, "shots", [row])
    stale = delta.open_table(root, "shots")
    delta.append_missing(root, "shots", [{**row, "record_id": "r-2"}])

    with pytest.raises(delta.DeltaError):
        delta.write_deltalake(stale, delta.to_arrow("shots", [{**row, "record_id": "r-2"}]), mode="append", commit_properties=delta._next(stale))
    assert delta.append_missing(root, "shots", [{**row, "record_id": "r-2"}]) == 0


def test_an_older_table_takes_new_columns(root, store, monkeypatch):
    """A table written without a column answers null for it, and gets it with the next rows."""
    old = pa.schema([f for f in delta.TABLES["outputs"] if f.name != "people"])
    with monkeypatch.context() as patch:
        patch.setitem(delta.TABLES, "outputs", old)
        patch.setattr("faceanon.ledger.fold.rows_of", _without("outputs", "people"))
        fold(root, store)
    assert query(root, "SELECT people FROM outputs").column(0).to_pylist() == [None, None]
    commit_published(store, cases.published("c.mp4"))
    fold(root, store)

    assert sorted(query(root, "SELECT people FROM outputs").column(0).to_pylist(), key=str) == [1, None, None]


def _without(table: str, column: str):
    def rows(record):
        found = cases_rows(record)
        return {**found, table: [{k: v for k, v in r.items() if k != column} for r in found.get(table, [])]}

    return rows


cases_rows = folding.rows_of


def test_a_summary_makes_a_finished_run(root, store):
    """A run is unfinished until its summary says when it ended; models of the summary are rows."""
    fold(root, store)
    before = query(root, "SELECT run_id, state FROM runs").to_pylist()
    model = {"model_id": "e" * 64, "name": "yunet", "licence": "MIT"}
    write_summary(store, "01RUN", {"ended_at": "2026-03-01T11:00:00+00:00", "published": 2, "quarantined": ["bad.mp4"], "models": [model]}, cases.RUN)
    fold(root, store)

    assert before == [{"run_id": "01RUN", "state": "unfinished"}]
    assert query(root, "SELECT state, published, quarantined FROM runs").to_pylist() == [{"state": "ended", "published": 2, "quarantined": 1}]
    assert query(root, "SELECT name FROM models ORDER BY name").column(0).to_pylist() == ["centerface", "yunet"]
    assert fold(root, store) == FoldReport()


def test_a_summary_without_records_is_a_run_too(root):
    """A run that found nothing to do is in the table."""
    store = open_store(root)
    run_id = new_run_id()
    write_summary(store, run_id, {"ended_at": "2026-03-01T11:00:00+00:00", "run": asdict(replace(cases.RUN, run_id=run_id))})
    fold(root, store)

    assert query(root, "SELECT run_id FROM runs").column(0).to_pylist() == [run_id]


def test_run_ids_sort_by_time():
    """A ULID has 26 letters, and no two are alike."""
    ids = {new_run_id() for _ in range(100)}

    assert (len(ids), {len(i) for i in ids}) == (100, {26})


def test_a_refused_new_version_keeps_the_current_output(root, store):
    """`videos` shows the refusal, `outputs` the file that stands."""
    commit_quarantined(store, cases.refused("a.mp4", source=SourceVersion("/src/a.mp4", 0, "125", "")))
    fold(root, store)

    assert query(root, "SELECT state FROM videos WHERE name = 'a.mp4'").column(0).to_pylist() == ["quarantined"]
    assert query(root, "SELECT state FROM outputs WHERE name = 'a.mp4'").column(0).to_pylist() == ["current"]
