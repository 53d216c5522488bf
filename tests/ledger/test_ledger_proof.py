"""`faceanon verify`: whatever is changed behind the ledger's back is found and named, and what the ledger does itself is no alarm."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import ledger_cases as cases
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from deltalake import write_deltalake

from faceanon import cli
from faceanon.archive.store import open_store
from faceanon.core.settings import Settings
from faceanon.flow import proof
from faceanon.flow.evidence import Notary
from faceanon.identity.keystore import Keystore
from faceanon.ledger import boxes, delta, evidence
from faceanon.ledger import fold as folding
from faceanon.ledger.commit import commit_published, commit_quarantined
from faceanon.ledger.events import append_rows
from faceanon.ledger.evidence_note import Signer
from faceanon.ledger.fold import fold
from faceanon.ledger.query import query
from faceanon.ledger.records import publication
from faceanon.ledger.runs import write_summary
from faceanon.ledger.tables import TABLES, to_arrow
from faceanon.ledger.upkeep import compact, expire

SIGNER = Signer.from_seed(bytes(32))
NOTARY = Notary(SIGNER, None, 0)
NAMES = ("a.mp4", "cam/b.mp4")
SWAP, BLUR = Settings(), Settings().with_values(render__engine="blur")
NOW = datetime.now(UTC)


def publish(store, name: str, settings: Settings = SWAP) -> None:
    """As the last step of a job does it: object, boxes, record, view."""
    data = f"{name} {settings.render.engine}".encode() * 50
    plan = cases.plan(name)
    run = replace(cases.RUN, settings_digest=settings.digest())
    video, sha256 = plan.video_id, hashlib.sha256(data).hexdigest()
    object_name = f"objects/{sha256[:16]}.mp4"
    store.create(object_name, data)
    record = publication(
        plan, cases.verified(plan, sha256), cases.regions(video), cases.analysis(video), cases.staged(video), run, settings, object=object_name,
        models=[{"model_id": "d" * 64, "name": "centerface", "licence": "MIT"}], boxes=boxes.write(store, sha256[:32], cases.regions(video), lambda: NOW),
    )  # fmt: skip
    commit_published(store, record, lambda: NOW)
    store.link(object_name, f"videos/{name}")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An OUT with two runs, a superseded output, a quarantine and a hold, under two checkpoints; and the first checkpoint, kept elsewhere."""
    home = tmp_path_factory.mktemp("proof")
    store = open_store(str(home / "out"))
    write_summary(store, "01RUN", {"state": "running"}, cases.RUN)
    for name in NAMES:
        publish(store, name, BLUR)
    fold(store.root, store)
    (home / "first.note").write_bytes(evidence.checkpoint(store, SIGNER)[1])
    publish(store, "a.mp4")
    commit_quarantined(store, cases.refused())
    append_rows(store, "holds", [{"hold_id": "h-1", "selector": "cam/*"}], key="h-1")
    write_summary(store, "01RUN", {"state": "done", "ended_at": NOW.isoformat()}, cases.RUN)
    fold(store.root, store)
    NOTARY.seal(store)
    return home


@pytest.fixture
def home(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "home", copy_function=shutil.copy2))


@pytest.fixture
def store(home):
    return open_store(str(home / "out"))


def problems(store, **options) -> list[str]:
    return [str(problem) for problem in proof.prove(store, **options).problems]


def table_of(store, name: str):
    return delta.dataset(store.root, name, delta.open_table(store.root, name)).to_table()


def rewrite(store, name: str, change) -> None:
    """Put other rows in a table, as somebody does who knows Delta."""
    write_deltalake(delta.open_table(store.root, name), to_arrow(name, change(table_of(store, name).to_pylist())), mode="overwrite")


def test_what_nobody_touched_is_all_right(store):
    """No problem; everything is signed; two videos and a superseded one were read."""
    found = proof.prove(store)

    assert found.problems == ()
    assert (found.leaves == found.signed > 0, found.checkpoints, found.records, found.waiting, found.outputs) == (True, 2, 5, 0, 3)
    assert found.keys == (str(SIGNER.public),)


@pytest.mark.parametrize("name", ["videos", "runs", "models", "segments", "shots", "tracks", "track_boxes", "outputs", "verdicts", "holds", "commits"])
def test_each_table_is_under_evidence(store, name):
    """None is left out: a word that was changed in any is found."""
    word = next(w for w in ("licence", "actor", "selector", "name") if w in TABLES[name].names)
    rewrite(store, name, lambda rows: [{**rows[0], word: "changed"}, *rows[1:]])

    assert [p for p in problems(store, outputs=False) if p.startswith("row") and f"{name}: " in p]


def test_no_table_has_rows_that_no_test_changes(store):
    """The list above is complete for what a job, and whoever places a hold, write."""
    there = {name for name in TABLES if delta.open_table(store.root, name) and len(table_of(store, name))}

    assert there == {"videos", "runs", "models", "segments", "shots", "tracks", "track_boxes", "outputs", "verdicts", "holds", "commits"}


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()  # a hard link has other names
    path.write_bytes(data)


def flip_object(home):
    flip(sorted((home / "out/objects").iterdir())[0])


def flip_view(home):
    flip(home / "out/videos/cam/b.mp4")


def swap_outputs(home):
    a, b = home / "out/videos/a.mp4", home / "out/videos/cam/b.mp4"
    a.rename(home / "aside")
    b.rename(a)
    (home / "aside").rename(b)


def drop_view(home):
    (home / "out/videos/a.mp4").unlink()


def drop_object(home):
    sorted((home / "out/objects").iterdir())[-1].unlink()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (flip_object, ["is not what was published"]),
        (flip_view, ["videos/cam/b.mp4  is not what was published"]),
        (swap_outputs, ["videos/a.mp4  is not", "videos/cam/b.mp4  is not"]),
        (drop_view, ["videos/a.mp4  is missing"]),
        (drop_object, ["is missing"]),
    ],
)
def test_an_output_that_was_changed_is_named(home, store, change, named):
    """A flipped bit, two swapped videos, a missing one: each by its name, and nothing else."""
    change(home)
    found = problems(store)

    assert len(found) == len(named)
    assert all(word in problem and problem.startswith("output") for word, problem in zip(named, found, strict=True)), found


def edit(rows):
    return [{**rows[0], "score_max": 0.1}, *rows[1:]]


@pytest.mark.parametrize(
    ("table", "change", "named"),
    [
        ("tracks", edit, "1 row was edited (score_max)"),
        ("tracks", lambda rows: rows[1:], "1 row was dropped"),
        ("tracks", lambda rows: [*rows, rows[0]], "1 row was added"),
        ("tracks", lambda rows: [*rows, {**rows[0], "record_id": "x-000001"}], "record x-000001  1 row was added: no record gives them"),
        ("tracks", lambda rows: [*rows, {**rows[0], "record_id": None, "ingest_date": None}], "1 row was added"),
        ("tracks", lambda rows: [r for r in rows if r["record_id"] != rows[0]["record_id"]], "3 rows were dropped"),
        ("track_boxes", lambda rows: [{**rows[0], "x": [5, *rows[0]["x"][1:]]}, *rows[1:]], "1 row was edited (x)"),
        ("verdicts", lambda rows: [{**rows[0], "decision": "fail"}, *rows[1:]], "1 row was edited (decision)"),
        ("outputs", lambda rows: [{**r, "state": "current"} for r in rows], "it says current, and is superseded"),
        ("videos", lambda rows: [{**r, "legal_basis": "none"} for r in rows[:1]] + rows[1:], "1 row was edited"),
        ("videos", lambda rows: rows[1:], "1 row was dropped"),
        ("models", lambda rows: [{**r, "licence": "free"} for r in rows], "1 row was edited"),
        ("models", lambda rows: [*rows, {**rows[0], "model_id": "e" * 64}], "1 row was added"),
        ("runs", lambda rows: [{**r, "actor": "nobody"} for r in rows], "1 row was edited"),
        ("holds", lambda rows: [], "1 row was dropped"),
        ("shots", lambda rows: [{**r, "cut_score": 0.0} for r in rows[:1]] + rows[1:], "1 row was edited"),
    ],
)
def test_a_table_that_was_changed_is_named(store, table, change, named):
    """Edited, dropped and added rows: by table, and nothing else."""
    rewrite(store, table, change)
    found = problems(store, outputs=False)

    assert len(found) == 1, found
    assert found[0].startswith(f"row  {table}: ")
    assert named in found[0]


def drop_record(home):
    sorted((home / "out/ledger/records").rglob("*.json"))[0].unlink()


def edit_record(home):
    path = next(p for p in sorted((home / "out/ledger/records").rglob("*.json")) if b"holiday" in p.read_bytes())
    path.write_bytes(path.read_bytes().replace(b"holiday", b"hotiday"))


def edit_event(home):
    path = next((home / "out/ledger/events").rglob("*.json"))
    path.write_bytes(path.read_bytes().replace(b"cam/*", b"cam/?"))


@pytest.mark.parametrize(("change", "named"), [(drop_record, "is missing"), (edit_record, "it was changed"), (edit_event, "it was changed")])
def test_a_record_that_was_changed_is_named(home, store, change, named):
    """Decisions and events are under evidence by their bytes."""
    change(home)

    assert [p for p in problems(store, outputs=False) if p.startswith("record") and named in p]


def entries(home) -> list[Path]:
    return sorted((home / "out/ledger/evidence/log").rglob("*.json"))


def shorten(home):
    entries(home)[-1].unlink()


def gap(home):
    entries(home)[1].unlink()


def edit_leaf(home):
    path = next(p for p in entries(home) if b'"record"' in p.read_bytes())
    path.write_bytes(path.read_bytes().replace(b'"tracks":[3,"', b'"tracks":[2,"'))


def rebuild_leaf(home):
    """By somebody who computes the tree anew, and every entry after it."""
    store = open_store(str(home / "out"))
    tree = evidence.Peaks()
    for number in range(1, len(entries(home)) + 1):
        entry = evidence.read_entry(store, number)
        leaves = [json.loads(json.dumps(leaf).replace('"tracks": [3,', '"tracks": [2,')) for leaf in entry.leaves]
        tree = tree.append(map(evidence.hash_of, leaves))
        store.replace(evidence.entry_path(number), evidence.Entry(number, entry.log, entry.schema, tuple(leaves), tree).to_bytes())


def foreign_entry(home):
    (entries(home)[-1].parent / "000000000099.json").write_bytes(b"{}")


@pytest.mark.parametrize(
    ("change", "kind", "named"),
    [
        (shorten, "checkpoint", "it was shortened"),
        (gap, "log", "is missing: entries are numbered without gaps"),
        (edit_leaf, "log", "its tree is not that of its leaves"),
        (rebuild_leaf, "checkpoint", "the log was changed"),
        (foreign_entry, "log", "is missing"),
    ],
)
def test_a_log_that_was_changed_is_named(home, store, change, kind, named):
    """Cut at its end, cut in the middle, edited with and without care."""
    change(home)

    assert [p for p in problems(store, outputs=False) if p.startswith(kind) and named in p]


def test_a_log_that_was_cut_with_its_checkpoints_is_found_by_an_earlier_one(home, store):
    """Whoever can write OUT can cut everything; a checkpoint kept elsewhere shows it. So does one of a log that was begun anew."""
    later = home / "later.note"
    later.write_bytes(store.read(sorted(store.list(evidence.CHECKPOINTS))[-1]))
    arguments = ["verify", str(home / "out"), "--no-outputs", "--checkpoint"]
    assert (cli.main([*arguments, str(later)]), cli.main([*arguments, str(home / "first.note")])) == (0, 0)

    store.delete(sorted(store.list(evidence.CHECKPOINTS))[-1])
    shorten(home)
    assert cli.main([*arguments, str(later)]) == 1
    shutil.rmtree(home / "out/ledger/evidence")
    fold(store.root, store)
    assert [p for p in problems(store, outputs=False, notes=[("first", (home / "first.note").read_bytes())]) if "is of another log" in p]


def test_a_log_that_was_begun_anew_is_found_by_what_it_lacks(home, store):
    """Without an earlier checkpoint, too: the tables hold records of which the new log knows nothing."""
    shutil.rmtree(home / "out/ledger/evidence")
    publish(store, "new.mp4")
    fold(store.root, store)
    NOTARY.seal(store)

    assert [p for p in problems(store, outputs=False) if p.startswith("log") and "4 more are in the tables and not in the evidence log" in p]


def test_the_mirror_shows_what_was_cut(made, tmp_path):
    """Checkpoints in a second place need no file to be named."""
    home = Path(shutil.copytree(made, tmp_path / "home"))
    store, mirror = open_store(str(home / "out")), open_store(str(tmp_path / "mirror"))
    Notary(SIGNER, mirror, 0).seal(store)
    assert problems(store, outputs=False, mirror=mirror) == []

    shorten(home)
    for name in store.list(evidence.CHECKPOINTS)[1:]:
        store.delete(name)
    assert [p for p in problems(store, outputs=False, mirror=mirror) if "it was shortened" in p and str(tmp_path / "mirror") in p]


def test_a_checkpoint_of_another_key_is_no_checkpoint(home, store):
    """Whoever signs a changed log anew is not who was trusted. And what nobody signed is not signed."""
    rebuild_leaf(home)
    for name in store.list(evidence.CHECKPOINTS):
        store.delete(name)
    assert any("nothing is signed" in p for p in problems(store, outputs=False))
    evidence.checkpoint(store, Signer.from_seed(bytes(range(32))))

    assert any("not signed by a key that you trust" in p for p in problems(store, outputs=False, keys=[SIGNER.public]))


def test_a_changed_note_does_not_hold(store):
    """One other letter in a checkpoint."""
    name = store.list(evidence.CHECKPOINTS)[0]
    store.replace(name, store.read(name).replace(b"\n7\n", b"\n8\n", 1) if b"\n7\n" in store.read(name) else store.read(name).replace(b"\nkey f", b"\nkez f", 1))

    assert [p for p in problems(store, outputs=False) if p.startswith("checkpoint") and "signature does not hold" in p]


def test_who_edits_a_row_and_adds_a_leaf_is_found(home, store):
    """The first leaf of a record counts."""
    rewrite(store, "tracks", edit)
    record = table_of(store, "tracks").filter(ds.field("score_max") == 0.1)["record_id"][0].as_py()
    digest = folding.digests_of("tracks", table_of(store, "tracks"))[record]
    evidence.append(store, [evidence.record_leaf(record, "0" * 64, {"tracks": digest})])
    NOTARY.seal(store)

    assert any("1 row was edited (score_max)" in p for p in problems(store, outputs=False))


def test_compaction_and_expiry_are_no_tampering(store):
    """Fewer files, and boxes that went when their time was over: two kinds of leaves, and the same rows but for those. Boxes leave no file behind."""
    before = query(store.root, "SELECT * FROM tracks ORDER BY ALL")
    assert {name for name, _ in compact(store.root, store, 1)} >= {"tracks", "segments", "track_boxes"}
    assert problems(store) == []

    assert expire(store.root, store, 30) == []
    assert expire(store.root, store, 30, lambda: NOW + timedelta(31)) == [NOW.date()]
    assert problems(store) == []
    assert query(store.root, "SELECT * FROM tracks ORDER BY ALL") == before
    assert query(store.root, "SELECT count(*) AS n FROM track_boxes").column(0).to_pylist() == [0]
    assert [name for name in store.list("ledger") if name.endswith(".parquet") and ("track_boxes/" in name or boxes.BOXES in name)] == []
    kinds = [leaf["kind"] for n in range(1, evidence.newest_entry(store) + 1) for leaf in evidence.read_entry(store, n).leaves]
    assert {"compact", "expire"} <= set(kinds)


def test_boxes_that_went_before_their_time_are_named(store):
    """Without a leaf that says so."""
    delta.drop_day(store.root, "track_boxes", NOW.date())

    assert [p for p in problems(store, outputs=False) if p.startswith("row  track_boxes: ") and "dropped" in p]


def test_boxes_that_were_changed_before_the_fold_stay_out(store):
    """The object is not what its record says: the fold goes on without it, and verifying says so."""
    publish(store, "c.mp4")
    path = Path(store.uri(next(name for name in store.list(boxes.BOXES) if hashlib.sha256(b"c.mp4 swap" * 50).hexdigest()[:32] in name)))
    flip(path)
    fold(store.root, store)
    NOTARY.seal(store)

    assert problems(store) == ["row  track_boxes: c.mp4  were never taken: their object was missing, or not what its record says"]


@pytest.mark.parametrize("step", ["mark_superseded", "upsert", "fold_models", "commits", "nothing yet"])
def test_a_fold_that_died_is_no_alarm(store, monkeypatch, step):
    """Wherever it died: its records wait, and the next fold makes everything whole."""
    publish(store, "new.mp4")
    publish(store, "cam/b.mp4")
    real = folding.append_missing

    def die(*arguments, **more):
        if step != "commits" or arguments[1] == "commits":
            raise KeyboardInterrupt
        return real(*arguments, **more)

    if step != "nothing yet":
        monkeypatch.setattr(folding, "append_missing" if step == "commits" else step, die)
        with pytest.raises(KeyboardInterrupt):
            fold(store.root, store)
        monkeypatch.undo()
    found = proof.prove(store)
    assert (found.problems, found.waiting) == ((), 0 if step == "commits" else 2)

    fold(store.root, store)
    NOTARY.seal(store)
    found = proof.prove(store)
    assert (found.problems, found.waiting, found.leaves) == ((), 0, found.signed)


def test_new_columns_are_no_tampering(store, monkeypatch):
    """A table that grows a column keeps the digests of the rows it has."""
    grown = TABLES["tracks"].append(pa.field("mood", "string"))
    monkeypatch.setitem(TABLES, "tracks", grown)
    publish(store, "new.mp4")
    fold(store.root, store)
    NOTARY.seal(store)

    assert "mood" in table_of(store, "tracks").column_names
    assert problems(store) == []


def test_the_command_says_what_it_found(home, capsys):
    """In words, and as JSON; exit code 1 where something is wrong."""
    assert cli.main(["verify", str(home / "out"), "--key", str(SIGNER.public)]) == 0
    assert "all is as it was written" in capsys.readouterr().out
    flip_view(home)

    assert cli.main(["verify", str(home / "out"), "--format", "json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [(p["kind"], p["name"]) for p in found["problems"]] == [("output", "videos/cam/b.mp4")]


@pytest.mark.parametrize("more", [["--checkpoint", "nowhere"], ["--key", "nobody"]])
def test_wrong_arguments_are_said(home, more, capsys):
    """A checkpoint that is none, a key that is none: exit code 2."""
    assert cli.main(["verify", str(home / "out"), *more]) == 2
    assert capsys.readouterr().err.startswith("faceanon verify: no")


def test_every_machine_with_the_keystore_signs_as_the_same_one(tmp_path):
    """The key follows from the keystore, or is the one that the settings name."""
    keystore = Keystore.open(tmp_path / "key.json", tmp_path / "key.json")
    again = Keystore.open(tmp_path / "key.json", tmp_path / "key.json", create=False)
    own = Settings().with_values(evidence__key=str(tmp_path / "evidence.key"))

    assert Notary.of(Settings(), keystore).signer.public == Notary.of(Settings(), again).signer.public
    assert Notary.of(own, keystore).signer.public == Notary.of(own, again).signer.public != Notary.of(Settings(), keystore).signer.public
