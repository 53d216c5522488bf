"""What one run is, and what a worker needs to take part in it.

A JobSpec is plain values: it travels to workers, and holds no key and no credential. A Context is made from it once per
process: stores, keystore, scratch and models, each opened when first asked for.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from faceanon.archive.scratch import Scratch
from faceanon.archive.sources import fetch_source
from faceanon.archive.store import open_store, version_of
from faceanon.core.errors import KeystoreUnavailable, SourceChanged
from faceanon.core.jsonable import from_json, to_json
from faceanon.core.ports import Store
from faceanon.core.records import SourceVersion, VideoPlan
from faceanon.core.settings import Settings, from_table
from faceanon.flow import layout
from faceanon.identity.keystore import Keystore
from faceanon.ledger.records import RunInfo
from faceanon.models.catalog import Models, load_models

log = logging.getLogger("faceanon")


@dataclass(frozen=True)
class JobSpec:
    """One run, as plain values. key_file: path of the keystore, the same on every node; keystore_id: what it must hold."""

    out_uri: str
    work_uri: str
    key_file: str
    keystore_id: str
    settings: Settings
    run: RunInfo

    def to_row(self) -> str:
        return json.dumps(to_json(self))

    @classmethod
    def from_row(cls, text: str) -> JobSpec:
        table = json.loads(text)
        table["settings"] = to_json(from_table(table["settings"]))
        return from_json(cls, table)


class Context:
    """One process's tools for one run. Close it, or use it in a `with`, so that scratch is emptied."""

    def __init__(self, spec: JobSpec, loader: Callable[..., Models] = load_models) -> None:
        self.spec = spec
        self._loader = loader
        self.settings = spec.settings
        self._models: dict[frozenset[str], Models] = {}
        self._sources: dict[str, Path] = {}

    @cached_property
    def out(self) -> Store:
        return open_store(self.spec.out_uri)

    @cached_property
    def work(self) -> Store:
        return open_store(self.spec.work_uri)

    @cached_property
    def scratch(self) -> Scratch:
        base = Path(self.settings.run.scratch_dir) if self.settings.run.scratch_dir else None
        return Scratch(base, int(self.settings.run.scratch_gb * 1e9)).__enter__()

    @cached_property
    def keystore(self) -> Keystore:
        keystore = Keystore.open(Path(self.spec.key_file))
        if keystore.keystore_id != self.spec.keystore_id:
            raise KeystoreUnavailable(
                f"this node's keystore is {keystore.keystore_id}, the run's is {self.spec.keystore_id}: every node must see the same key file", source=self.spec.key_file
            )
        return keystore

    def models(self, *need: str) -> Models:
        """The models named, loaded once per process."""
        wanted = frozenset(need)
        if wanted not in self._models:
            self._models[wanted] = self._loader(self.settings, need=wanted)
        return self._models[wanted]

    def source(self, source: SourceVersion) -> Path:
        """A local path with exactly the bytes that were planned. Raises SourceChanged, SourceUnreadable."""
        size, version = version_of(source.uri)
        if (size, version) != (source.size, source.version):
            raise SourceChanged("changed since it was planned; a later run takes it up anew", source=source.uri)
        if source.uri not in self._sources:
            for old in self._sources.values():
                self.scratch.discard(old)
            self._sources.clear()
            path, fetched = fetch_source(source.uri, self.scratch, known=source)
            if fetched.sha256 != source.sha256:
                raise SourceChanged("changed since it was planned; a later run takes it up anew", source=source.uri)
            self._sources[source.uri] = path
        return self._sources[source.uri]

    def plan(self, output_id: str) -> VideoPlan:
        return from_json(VideoPlan, json.loads(self.work.read(layout.plan(output_id))))

    def close(self) -> None:
        if "scratch" in self.__dict__:
            self.scratch.__exit__(None, None, None)
            del self.__dict__["scratch"]
        self._sources.clear()

    def __enter__(self) -> Context:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
