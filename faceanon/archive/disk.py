"""LocalStore: a folder. Publishing is link(2) of a finished, synced file, which fails where the name is taken.

A filesystem without hard links cannot publish exactly once, so `create` and `upload` refuse it; `link` alone may copy.
"""

from __future__ import annotations

import errno
import filecmp
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from faceanon.archive import uri as uris
from faceanon.archive.entries import Entry
from faceanon.core.errors import AlreadyExists, StoreError, StoreUnavailable

_ASIDE = ".aside-"  # names that start so are unfinished and never listed
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EXDEV, errno.EMLINK, errno.ENOSYS}
_LASTING = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP}


@dataclass(unsafe_hash=True)  # the port's root is a plain attribute
class LocalStore:
    root: str

    def uri(self, name: str) -> str:
        return uris.join(self.root, name)

    def read(self, name: str) -> bytes:
        with self._faults(name):
            return self._path(name).read_bytes()

    def exists(self, name: str) -> bool:
        return self._path(name).is_file()

    def create(self, name: str, data: bytes) -> None:
        with self._faults(name), self._aside(name) as aside:
            _write(aside, data)
            self._publish(aside, name)

    def replace(self, name: str, data: bytes) -> None:
        with self._faults(name), self._aside(name) as aside:
            _write(aside, data)
            os.replace(aside, self._path(name))
            _sync_folder(self._path(name).parent)

    def upload(self, path: Path, name: str) -> None:
        with self._faults(name), self._aside(name) as aside:
            shutil.copyfile(path, aside)
            if aside.stat().st_size != path.stat().st_size:
                raise StoreUnavailable("the copy is shorter than the file", source=self.uri(name))
            _sync(aside)
            self._publish(aside, name)

    def download(self, name: str, path: Path) -> None:
        with self._faults(name):
            shutil.copyfile(self._path(name), path)

    def link(self, name: str, view: str) -> None:
        with self._faults(name), self._aside(view) as aside:
            try:
                os.link(self._path(name), aside)
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                shutil.copyfile(self._path(name), aside)
                _sync(aside)
            os.replace(aside, self._path(view))  # two names of one file: rename(2) does nothing, and the aside is removed below
            _sync_folder(self._path(view).parent)

    def shows(self, name: str, view: str) -> bool:
        target, shown = self._path(name), self._path(view)
        if not (target.is_file() and shown.is_file()):
            return False
        return target.samefile(shown) or filecmp.cmp(target, shown, shallow=False)  # a copy, where there are no hard links

    def list(self, prefix: str) -> list[str]:
        top = self._path(prefix.rstrip("/")) if prefix else Path(self.root)
        return sorted(self._walk(top))

    def holds(self, prefix: str) -> bool:
        """Whether anything lies below a prefix; that costs no more where much does."""
        return next(self._walk(self._path(prefix.rstrip("/"))), None) is not None

    def entries(self, prefix: str) -> list[Entry]:
        """What lies below a prefix, by name; what vanishes meanwhile is left out."""
        found = []
        for name in self.list(prefix):
            with suppress(FileNotFoundError):
                found.append(self._entry(Path(self.root) / name))
        return found

    def clock_s(self) -> float:
        """The time of the disk (it may be another machine's), in seconds since 1970."""
        with self._faults(""), self._aside("clock") as aside:
            aside.touch()
            return aside.stat().st_mtime

    def delete(self, name: str) -> None:
        with self._faults(name):
            self._path(name).unlink(missing_ok=True)

    def delete_tree(self, prefix: str) -> None:
        """Everything below `prefix`; "" empties the store and leaves its root."""
        top = self._path(prefix.rstrip("/")) if prefix else Path(self.root)
        with self._faults(prefix):
            if top.is_dir():
                shutil.rmtree(top, onerror=_ignore_missing)
            if not prefix:
                top.mkdir(exist_ok=True)

    def unfinished(self, older_than_s: float) -> list[Entry]:
        """Files that killed writers left half-written, if by the disk's clock they are so old that they are nobody's work."""
        if not os.path.isdir(self.root):
            return []
        limit = self.clock_s() - older_than_s
        found = []
        for folder, _, names in os.walk(self.root):
            for name in names:
                if name.startswith(_ASIDE):
                    with suppress(FileNotFoundError):
                        found.append(self._entry(Path(folder) / name))
        return [entry for entry in found if entry.modified_s < limit]

    def drop(self, entry: Entry) -> None:
        """Remove what `unfinished` named."""
        with self._faults(entry.name):
            (Path(self.root) / entry.name).unlink(missing_ok=True)

    def tidy(self, older_than_s: float) -> int:
        """Drop what killed writers left unfinished; younger ones may be in the making. How many went."""
        old = self.unfinished(older_than_s)
        for entry in old:
            self.drop(entry)
        return len(old)

    def _entry(self, path: Path) -> Entry:
        status = path.lstat()
        return Entry(path.relative_to(self.root).as_posix(), status.st_size, status.st_mtime)

    def _path(self, name: str) -> Path:
        return Path(self.root) / uris.check_name(name)

    def _publish(self, aside: Path, name: str) -> None:
        target = self._path(name)
        try:
            os.link(aside, target)
        except FileExistsError as error:
            raise AlreadyExists("exists", source=self.uri(name)) from error
        except OSError as error:
            if error.errno in _NO_LINKS:
                raise StoreError(f"this filesystem cannot publish exactly once, it has no hard links ({error.strerror})", source=self.root) from error
            raise
        _sync_folder(target.parent)

    @contextmanager
    def _aside(self, name: str) -> Iterator[Path]:
        """A name beside the target for the unfinished file; gone afterwards."""
        folder = self._path(name).parent
        folder.mkdir(parents=True, exist_ok=True)
        aside = folder / f"{_ASIDE}{os.getpid()}-{secrets.token_hex(8)}"
        try:
            yield aside
        finally:
            aside.unlink(missing_ok=True)

    def _walk(self, top: Path) -> Iterator[str]:
        for folder, _, files in os.walk(top):
            below = Path(folder).relative_to(self.root)
            yield from ((below / f).as_posix() for f in files if not f.startswith(_ASIDE))

    @contextmanager
    def _faults(self, name: str) -> Iterator[None]:
        """Operating system errors as store errors; a missing file stays FileNotFoundError."""
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            kind = StoreError if error.errno in _LASTING else StoreUnavailable
            raise kind(error.strerror or str(error), source=f"{self.root}/{name}") from error


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    """The name itself survives power loss; some network filesystems refuse to sync a folder, and keep it anyway."""
    try:
        _sync(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EACCES):
            raise


def _ignore_missing(function: Callable, path: str, info: tuple) -> None:
    """Two processes may empty one folder at the same time."""
    if not isinstance(info[1], FileNotFoundError):
        raise info[1]
