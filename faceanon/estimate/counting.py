"""A store that counts: real bytes in one local file, no sync, and a tally of the requests that an object store would have been sent."""

from __future__ import annotations

import math
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from faceanon.archive.uri import join
from faceanon.core.errors import AlreadyExists

_PAGE = 1000  # names that one LIST answers


class CountingStore:
    """Fulfils core.ports.Store for records and other small objects of one writer and any number of readers; `requests` counts PUT, GET, HEAD, LIST, COPY and DELETE."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.requests: Counter[str] = Counter()
        self.bytes_put = 0
        Path(root).mkdir(parents=True, exist_ok=True)
        self._spool = tempfile.TemporaryFile(dir=root)  # noqa: SIM115 (lives as long as the store)
        self._places: dict[str, tuple[int, int]] = {}
        self._folders: dict[str, dict[str, None]] = {}  # folder -> what lies in it, files and folders

    def uri(self, name: str) -> str:
        return join(self.root, name)

    def read(self, name: str) -> bytes:
        self.requests["GET"] += 1
        if name not in self._places:
            raise FileNotFoundError(name)
        offset, size = self._places[name]
        return os.pread(self._spool.fileno(), size, offset)

    def exists(self, name: str) -> bool:
        self.requests["HEAD"] += 1
        return name in self._places

    def create(self, name: str, data: bytes) -> None:
        if name in self._places:
            self.requests["PUT"] += 1
            raise AlreadyExists("exists", source=self.uri(name))
        self.replace(name, data)

    def replace(self, name: str, data: bytes) -> None:
        self.requests["PUT"] += 1
        self.bytes_put += len(data)
        if name not in self._places:
            self._enter(name)
        self._places[name] = (self.bytes_put - len(data), os.pwrite(self._spool.fileno(), data, self.bytes_put - len(data)))

    def upload(self, path: Path, name: str) -> None:
        self.create(name, path.read_bytes())

    def download(self, name: str, path: Path) -> None:
        path.write_bytes(self.read(name))

    def link(self, name: str, view: str) -> None:
        self.requests["COPY"] += 1

    def shows(self, name: str, view: str) -> bool:
        self.requests["HEAD"] += 2
        return True

    def list(self, prefix: str) -> list[str]:
        found = sorted(self._below(prefix.rstrip("/")))
        self.requests["LIST"] += max(1, math.ceil(len(found) / _PAGE))
        return found

    def delete(self, name: str) -> None:
        self.requests["DELETE"] += 1
        if self._places.pop(name, None):
            self._folders[name.rpartition("/")[0]].pop(name)

    def delete_tree(self, prefix: str) -> None:
        for name in self.list(prefix):
            self.delete(name)

    def close(self) -> None:
        self._spool.close()

    def _enter(self, name: str) -> None:
        """Every folder on the way knows what is in it."""
        while name and name not in self._folders.setdefault(folder := name.rpartition("/")[0], {}):
            self._folders[folder][name] = None
            name = folder

    def _below(self, folder: str) -> Iterator[str]:
        for name in self._folders.get(folder, ()):
            if name in self._places:
                yield name
            else:
                yield from self._below(name)
