"""Late files join their people, for as long as the key lives; destroying it makes them strangers for good, and the ledger still holds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from support.fake_archive import run_local, write_archive

from faceanon.archive.store import open_store
from faceanon.cli import main
from faceanon.core.errors import KeystoreUnavailable, UsageError
from faceanon.core.settings import Settings
from faceanon.flow import keys
from faceanon.flow.job import open_keystore
from faceanon.flow.proof import prove
from faceanon.identity import gallery
from faceanon.ledger.query import query

SETTINGS = Settings().with_values(render__engine="blur", detect__width_px=192, identity__scope="collection")
SCOPE = "collection:cam"


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return write_archive(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def made(archive, tmp_path_factory):
    """walk.mp4 in one run; two.mkv, in which the same person is seen, comes later."""
    home = tmp_path_factory.mktemp("made")
    late = home / "cam"
    for name in ("walk.mp4", "two.mkv"):
        late.mkdir(exist_ok=True)
        shutil.copy2(archive / "cam" / name, late)
        run_local([str(late)], home / "out", home / "key.json", SETTINGS)
    return home


@pytest.fixture
def home(made, tmp_path):
    """The same place, as it was made, for every test: the ledger names places."""
    kept = tmp_path / "kept"
    shutil.copytree(made, kept)
    yield made
    shutil.rmtree(made)
    shutil.copytree(kept, made)


def labels(home: Path, name: str) -> set[str]:
    return set(query(str(home / "out"), f"SELECT label FROM tracks WHERE name = '{name}' AND label <> ''")["label"].to_pylist())


def states(home: Path) -> list[tuple[str, str]]:
    rows = query(str(home / "out"), "SELECT scope, state FROM subject_keys ORDER BY state").to_pylist()
    return [(row["scope"], row["state"]) for row in rows]


def destroy(home: Path, *more: str) -> int:
    return main(["keys", "destroy", str(home / "out"), "--scope", SCOPE, "--key-file", str(home / "key.json"), *more])


def test_a_late_file_joins_its_people(home):
    """The gallery outlives the videos it was made of: the work folder of the first video is gone, its person is known all the same."""
    assert len(labels(home, "walk.mp4")) == 1
    assert labels(home, "walk.mp4") < labels(home, "two.mkv")
    assert {p.relative_to(home / "out/.work").parts[0] for p in (home / "out/.work").rglob("*.sealed")} == {"gallery"}
    assert states(home) == [(SCOPE, "active")]


def test_nothing_is_destroyed_without_a_word(home, capsys):
    """What would go is said, exit 2, and all is there."""
    before = (home / "key.json").read_bytes()

    assert destroy(home) == 2
    said = capsys.readouterr().err
    assert all(word in said for word in ("2 objects of its gallery", "2 labels", "add --yes"))
    assert (home / "key.json").read_bytes() == before
    assert list((home / "out/.work/gallery").rglob("*.sealed"))


def test_a_destroyed_scope_is_unlinkable_for_good(home, archive, tmp_path):
    """The gallery is gone, a copy of it cannot be opened, no label can be derived again, a later file's people are strangers; and everything verifies."""
    keystore = open_keystore(str(home / "key.json"), create=False)
    copy = open_store(str(tmp_path / "copy"))
    shutil.copytree(home / "out/.work/gallery", tmp_path / "copy/gallery")
    assert len(gallery.load(copy, keystore, SCOPE).people) == 2
    old = labels(home, "two.mkv")

    assert destroy(home, "--yes", "--reason", "request 7") == 0

    after = open_keystore(str(home / "key.json"), create=False)
    assert not list((home / "out/.work/gallery").rglob("*.sealed"))
    with pytest.raises(KeystoreUnavailable):
        gallery.load(copy, after, SCOPE)
    with pytest.raises(KeystoreUnavailable):
        after.label(SCOPE, "c" * 64)
    assert (after.has_scope("archive"), after.keystore_id) == (True, keystore.keystore_id)
    assert prove(open_store(str(home / "out"))).problems == ()
    assert states(home) == [(SCOPE, "active"), (SCOPE, "destroyed"), (SCOPE, "destroying")]
    assert query(str(home / "out"), "SELECT reason, labels FROM subject_keys WHERE state = 'destroyed'").to_pylist() == [{"reason": "request 7", "labels": 2}]

    shutil.copy2(archive / "cam/walk.mp4", home / "cam/later.mp4")
    run_local([str(home / "cam")], home / "out", home / "key.json", SETTINGS)
    assert labels(home, "two.mkv") == old
    assert len(labels(home, "later.mp4")) == 1
    assert not labels(home, "later.mp4") & old
    with pytest.raises(KeystoreUnavailable):
        gallery.load(copy, open_keystore(str(home / "key.json"), create=False), SCOPE)
    assert prove(open_store(str(home / "out"))).problems == ()


@pytest.mark.parametrize("step", ["forget", "destroy", "end"])
def test_who_died_on_the_way_finishes_next_time(home, monkeypatch, step):
    """After the intent, the gallery or the key: the same command comes to the same end, and it is in the ledger once."""

    def die(*_arguments, **_more):
        raise KeyboardInterrupt

    real = keys.append_rows
    if step == "end":
        monkeypatch.setattr(keys, "append_rows", lambda *a, **k: die() if k["key"].startswith("destroyed") else real(*a, **k))
    elif step == "forget":
        monkeypatch.setattr(gallery, "forget", die)
    else:
        monkeypatch.setattr("faceanon.identity.keystore.Keystore.destroy", die)
    assert destroy(home, "--yes") == 1
    monkeypatch.undo()

    assert destroy(home, "--yes") == 0
    assert states(home) == [(SCOPE, "active"), (SCOPE, "destroyed"), (SCOPE, "destroying")]
    assert not open_keystore(str(home / "key.json"), create=False).has_scope(SCOPE)
    assert destroy(home, "--yes") == 2


def test_half_made_work_goes_with_its_scope(home):
    """Sealed embeddings of videos that were never finished, of this collection and no other."""
    out, work = open_store(str(home / "out")), open_store(str(home / "out/.work"))
    for output, collection in (("mine", "cam"), ("other", "else")):
        work.create(f"videos/{output}/plan.json", json.dumps({"item": {"collection": collection}}).encode())
        work.create(f"videos/{output}/analysis/000000.sealed", b"x")
    keystore = open_keystore(str(home / "key.json"), create=False)

    assert keys.doomed(out, work, keystore, SCOPE).half_made == ("videos/mine",)
    assert destroy(home, "--yes") == 0
    assert {name.split("/")[1] for name in work.list("videos/")} == {"other"}


def test_a_key_in_use_is_not_destroyed(home, capsys):
    """A run whose process lives, or may live on another machine, holds the key in memory."""
    (home / "out/runs/01LIVE.driver").write_text(json.dumps({"machine": "another", "boot": "x", "pid": 1, "started": "1"}))

    assert destroy(home, "--yes") == 2
    assert "01LIVE has not ended" in capsys.readouterr().err


@pytest.mark.parametrize("scope", ["video:abc", "collection:none"])
def test_a_scope_that_is_none_is_said(home, scope):
    """One video's key cannot be destroyed alone, and a name that is no scope is wrong usage."""
    out = open_store(str(home / "out"))
    with pytest.raises(UsageError):
        keys.doomed(out, open_store(str(home / "out/.work")), open_keystore(str(home / "key.json"), create=False), scope)


def test_keys_are_shown_without_a_secret(home, capsys):
    """Scopes by reference, and who signs; no byte of a key."""
    assert main(["keys", "show", "--key-file", str(home / "key.json")]) == 0
    said = capsys.readouterr().out
    table = json.loads((home / "key.json").read_text())

    assert all(word in said for word in (SCOPE, table["keystore_id"], "signs as   faceanon-"))
    assert not any(secret in said for secret in (table["master"], *table["salts"].values()))
