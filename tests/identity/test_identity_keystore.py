"""Keys are made once, shared by path, and derive the same things everywhere."""

from __future__ import annotations

import base64
import copy
import json
import logging
import os
import pickle
import stat
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceanon.core.errors import KeystoreUnavailable
from faceanon.core.records import SourceItem
from faceanon.core.settings import IdentitySettings, Settings
from faceanon.identity.keystore import Keystore, scope_name


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    monkeypatch.delenv("FACEANON_KEY", raising=False)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keys" / "archive.key"


@pytest.fixture
def keystore(path):
    return Keystore.open(path, path)


def together(count, code):
    """What `count` processes that start at about the same time print."""
    processes = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) for _ in range(count)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    return [process.communicate(timeout=60)[0].strip() for process in processes]


def test_made_once_and_private(path, keystore):
    """The first opening makes a file that only its owner may read; the second reads the same keys."""
    again = Keystore.open(path, path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert again.fingerprint(["archive"]) == keystore.fingerprint(["archive"])
    assert [p.name for p in path.parent.iterdir()] == ["archive.key"]


def test_racing_drivers_agree(path):
    """Processes that make the keystore at the same time end with the same keys."""
    code = f"""
import sys
from pathlib import Path
from faceanon.identity.keystore import Keystore
print('ready', flush=True); sys.stdin.readline()
print(Keystore.open(Path({str(path)!r}), Path('x')).fingerprint())
"""
    seen = together(3, code)

    assert len(set(seen)) == 1
    assert seen[0] == Keystore.open(path, path).fingerprint()


def test_racing_scopes_are_all_kept(path, keystore):
    """Drivers that add scopes at the same time lose none, and agree on the one that both add."""
    code = f"""
import sys, os
from pathlib import Path
from faceanon.identity.keystore import Keystore
k = Keystore.open(Path({str(path)!r}), Path('x'))
print('ready', flush=True); sys.stdin.readline()
for i in range(10):
    k.ensure_scopes([f'collection:{{os.getpid()}}-{{i}}', f'collection:{{i}}'])
print(k.fingerprint([f'collection:{{i}}' for i in range(10)]))
"""
    seen = together(2, code)
    salts = json.loads(path.read_text())["salts"]

    assert len(set(seen)) == 1
    assert len(salts) == 2 + 10 + 20
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_where_the_keys_come_from(tmp_path, monkeypatch, path, keystore):
    """--key-file before FACEANON_KEY before the default; FACEANON_KEY may hold a whole key file."""
    other = Keystore.open(tmp_path / "other.key", path)
    monkeypatch.setenv("FACEANON_KEY", str(tmp_path / "other.key"))
    assert Keystore.open(None, path).keystore_id == other.keystore_id
    assert Keystore.open(path, path).keystore_id == keystore.keystore_id

    monkeypatch.setenv("FACEANON_KEY", "base64:" + base64.b64encode(path.read_bytes()).decode())
    carried = Keystore.open(None, tmp_path / "default.key")
    assert carried.label("video:v", "c") == keystore.label("video:v", "c")
    assert not (tmp_path / "default.key").exists()
    with pytest.raises(KeystoreUnavailable, match="cannot be changed"):
        carried.ensure_scopes(["collection:x"])
    monkeypatch.setenv("FACEANON_KEY", "base64:!!")
    with pytest.raises(KeystoreUnavailable):
        Keystore.open(None, path)


def test_workers_never_make_keys(path):
    """A node that cannot reach the key file stops with exit code 2."""
    with pytest.raises(KeystoreUnavailable, match="does not exist") as caught:
        Keystore.open(path, path, create=False)
    assert caught.value.exit_code == 2
    assert not path.exists()


def test_nodes_that_disagree_notice(tmp_path, keystore):
    """Other keys, or another salt of a scope in use, are found by the fingerprint; other scopes do not matter."""
    keystore.ensure_scopes(["collection:a"])
    mark = keystore.fingerprint(["collection:a"])
    keystore.ensure_scopes(["collection:b"])
    keystore.check(mark, ["collection:a"])

    other = Keystore.open(tmp_path / "other.key", tmp_path)
    other.ensure_scopes(["collection:a"])
    with pytest.raises(KeystoreUnavailable, match="other keys"):
        other.check(mark, ["collection:a"])
    with pytest.raises(KeystoreUnavailable):
        other.check(mark, ["collection:unknown"])


def test_permissions(path, keystore, caplog):
    """A key file that others may write is refused; one that others may read is warned about."""
    path.chmod(0o640)
    with caplog.at_level(logging.WARNING):
        Keystore.open(path, path)
    assert "chmod 600" in caplog.text

    for mode in (0o620, 0o602, 0o666):
        path.chmod(mode)
        with pytest.raises(KeystoreUnavailable, match="chmod 600"):
            Keystore.open(path, path)


def test_damaged_files(path):
    """A file that is no key file is refused without showing what it holds."""
    path.parent.mkdir()
    good = {"version": 1, "keystore_id": "k", "master": base64.b64encode(b"m" * 32).decode(), "salts": {}}
    for content in ("", "{}", "[]", "hunter2", json.dumps({**good, "master": "aGk="}), json.dumps({**good, "salts": []}), json.dumps({**good, "version": 2})):
        path.write_text(content)
        path.chmod(0o600)

        with pytest.raises(KeystoreUnavailable) as caught:
            Keystore.open(path, path)
        assert "hunter2" not in str(caught.value)
    path.write_text(json.dumps(good))
    assert Keystore.open(path, path).keystore_id == "k"


def test_keys_do_not_travel(path, keystore):
    """A keystore cannot be pickled or copied into a task, and prints nothing secret."""
    for send in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            send(keystore)
    master = json.loads(path.read_text())["master"]

    assert master not in repr(keystore)
    assert str(base64.b64decode(master)) not in repr(keystore)


def test_labels(keystore):
    """A label is short, stable, and another in another scope, for another person or another video."""
    keystore.ensure_scopes(["collection:a", "collection:b"])
    labels = {keystore.label(scope, person) for scope in ("video:1", "video:2", "collection:a", "collection:b", "archive") for person in ("p", "q")}

    assert len(labels) == 10
    assert all(label.startswith("person-") and len(label) == 7 + 16 and label == label.lower() for label in labels)
    assert keystore.label("archive", "p") == keystore.label("archive", "p")
    with pytest.raises(KeystoreUnavailable):
        keystore.label("collection:unknown", "p")


def test_draws_are_even(keystore):
    """A label's numbers are its own, repeat, and fill the range."""
    numbers = [keystore.draw("archive", "person-a", n) for n in range(1000)]

    assert numbers == [keystore.draw("archive", "person-a", n) for n in range(1000)]
    assert len({*numbers, *(keystore.draw("archive", "person-b", n) for n in range(1000))}) == 2000
    assert 0 <= min(numbers) < 2**58
    assert 2**64 - 2**58 < max(numbers) < 2**64


def test_scope_names():
    """The setting decides how far a person keeps a face."""
    item = SourceItem("/x", "x.mp4", "holiday")

    assert [scope_name(IdentitySettings(scope=s), item, "v") for s in ("video", "collection", "archive")] == ["video:v", "collection:holiday", "archive"]
    assert scope_name(Settings(), item, "v") == "video:v"


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    path = tmp_path_factory.mktemp("keys") / "key"
    return Keystore.open(path, path)


@given(data=st.binary(max_size=300), context=st.text(max_size=20), scope=st.sampled_from(["", "archive", "video:1"]))
def test_sealing(shared, data, context, scope):
    """What is sealed opens again, is the same each time, and does not show its content."""
    sealed = shared.seal(data, context, scope=scope)

    assert shared.open_sealed(sealed, context, scope=scope) == data
    assert shared.seal(data, context, scope=scope) == sealed
    assert len(data) < 4 or data not in sealed[20:]  # behind the magic word and the nonce
    with pytest.raises(KeystoreUnavailable):
        shared.open_sealed(sealed, context + "x", scope=scope)
    with pytest.raises(KeystoreUnavailable):
        shared.open_sealed(sealed, context, scope="video:2")


def test_changed_bytes_do_not_open(shared, keystore):
    """Every bit counts, and another keystore opens nothing."""
    sealed = shared.seal(b"a face", "name")
    for i in range(len(sealed)):
        broken = bytearray(sealed)
        broken[i] ^= 1
        with pytest.raises(KeystoreUnavailable):
            shared.open_sealed(bytes(broken), "name")
    for wrong in (b"", sealed[:10], sealed[:-1]):
        with pytest.raises(KeystoreUnavailable):
            shared.open_sealed(wrong, "name")
    with pytest.raises(KeystoreUnavailable):
        keystore.open_sealed(sealed, "name")


def test_destroying_a_scope_is_final(path, keystore):
    """Without its salt a scope's labels are new ones and its sealed data stays closed, on every node that opens the file."""
    keystore.ensure_scopes(["collection:a"])
    label, sealed = keystore.label("collection:a", "p"), keystore.seal(b"x", "c", scope="collection:a")
    keystore.destroy("collection:a")
    assert not Keystore.open(path, path).has_scope("collection:a")

    keystore.ensure_scopes(["collection:a"])

    assert keystore.label("collection:a", "p") != label
    with pytest.raises(KeystoreUnavailable):
        keystore.open_sealed(sealed, "c", scope="collection:a")
    assert keystore.has_scope("archive")


def test_unreachable_folder(tmp_path):
    """A keystore that cannot be made says so."""
    (tmp_path / "file").write_text("")

    with pytest.raises(KeystoreUnavailable):
        Keystore.open(tmp_path / "file" / "key", tmp_path)
    os.mkdir(tmp_path / "key")
    with pytest.raises(KeystoreUnavailable, match="cannot be read"):
        Keystore.open(tmp_path / "key", tmp_path)
