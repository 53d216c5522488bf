"""What one run is, and what a worker needs to take part in it.

A JobSpec is plain values: it travels to workers, and holds no key and no credential. A Context is made from it once per
process: stores, keystore, scratch and models, each opened when first asked for.
"""

from __future__ import annotations

import getpass
import json
import logging
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from faceanon import __version__
from faceanon.archive.fetch import open_whole, resume_part
from faceanon.archive.parts import PartFile
from faceanon.archive.scratch import Scratch, sweep
from faceanon.archive.store import allow, open_store, version_of
from faceanon.core.errors import SourceChanged
from faceanon.core.jsonable import from_json, to_json
from faceanon.core.ports import Store
from faceanon.core.records import Segment, SourceVersion, VideoPlan, VideoRegions
from faceanon.core.settings import Settings, from_table
from faceanon.flow import build, layout, parts
from faceanon.flow.host import Host, OneProcess
from faceanon.flow.kept import Keeper
from faceanon.identity.keystore import Keystore
from faceanon.identity.sealed import load_regions
from faceanon.ledger.records import RunInfo
from faceanon.ledger.runs import new_run_id
from faceanon.media import guarded
from faceanon.models.catalog import Models, load_models
from faceanon.models.device import choose

log = logging.getLogger("faceanon")

_PART_SHARE = 0.5  # of scratch, that one source's parts may fill before they are fetched anew

Loader = Callable[..., Models]  # (settings, need=...), as catalog.load_models


@dataclass(frozen=True)
class JobSpec:
    """One run, as plain values.

    key_file: path of the keystore on every node, "" for FACEANON_KEY. key_fingerprint: what its master key and the salts of `scopes` must amount to.
    """

    out_uri: str
    work_uri: str
    key_file: str
    scopes: tuple[str, ...]
    key_fingerprint: str
    settings: Settings
    run: RunInfo

    def to_row(self) -> str:
        return json.dumps(to_json(self))

    @classmethod
    def from_row(cls, text: str) -> JobSpec:
        table = json.loads(text)
        table["settings"] = to_json(from_table(table["settings"]))
        return from_json(cls, table)


def open_keystore(key_file: str, *, create: bool) -> Keystore:
    """At `key_file`, else FACEANON_KEY, else ~/.config/faceanon/keystore.json; made once where `create` says so. Raises KeystoreUnavailable."""
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return Keystore.open(Path(key_file) if key_file else None, home / "faceanon" / "keystore.json", create=create)


class Context:
    """One process's tools for one run. Close it, or use it in a `with`, so that scratch is emptied.

    attempt: the number of the attempt that is going on, from 1. kept: pictures of the video that was looked at last, where the runner wants that.
    """

    def __init__(self, spec: JobSpec, loader: Loader = load_models, host: Host | None = None) -> None:
        self.spec = spec
        self.host: Host = host or OneProcess()
        self.attempt = 0
        self.kept = Keeper(0)
        self._loader = loader
        self.settings = spec.settings
        allow(spec.settings.store)
        guarded.configure(spec.settings.run)
        self._models: dict[str, Any] = {}
        self._regions: tuple[str, VideoRegions] | None = None
        self._plan: tuple[bytes, VideoPlan] | None = None
        self._source: tuple[SourceVersion, Path, str] | None = None  # the last one, since segments of one video tend to follow each other
        self._part: tuple[SourceVersion, PartFile] | None = None  # likewise, of a source that is read in parts

    @cached_property
    def out(self) -> Store:
        return open_store(self.spec.out_uri)

    @cached_property
    def work(self) -> Store:
        return open_store(self.spec.work_uri)

    @cached_property
    def scratch(self) -> Scratch:
        sweep(self._scratch_base)  # what workers that died on this machine left behind
        return Scratch(self._scratch_base, int(self.settings.run.scratch_gb * 1e9))

    @property
    def _scratch_base(self) -> Path | None:
        return Path(self.settings.run.scratch_dir) if self.settings.run.scratch_dir else None

    @cached_property
    def keystore(self) -> Keystore:
        keystore = open_keystore(self.spec.key_file, create=False)
        keystore.check(self.spec.key_fingerprint, self.spec.scopes)
        return keystore

    def models(self, *need: str) -> Models:
        """The models named, each loaded once per process; others are None."""
        missing = frozenset(set(need) - self._models.keys())
        if missing:
            loaded = self._loader(self.settings, need=missing)
            self._models.update({name: getattr(loaded, name) for name in missing})
        return Models(**{name: self._models[name] for name in need})

    def source(self, source: SourceVersion) -> Path:
        """A local path with exactly the bytes that were planned. Raises SourceChanged, SourceUnreadable."""
        if self._source is not None and self._source[0] == source and version_of(source.uri) == (source.size, source.version):
            return self._source[1]
        self._drop_source()
        self._source = (source, *open_whole(source, self.scratch))
        return self._source[1]

    def segment_source(self, plan: VideoPlan, segment: Segment, lookahead: int = 0) -> Path:
        """The same, but of a large object only what decoding this segment reads need be there; the rest is zeros."""
        if not plan.source.fingerprint or (self._source is not None and self._source[0] == plan.source):
            return self.source(plan.source)
        part = self._opened_part(plan.source)
        parts.fetch_segment(part, plan.facts, segment, lookahead)
        return part.path

    def proven(self, plan: VideoPlan) -> VideoPlan:
        """The plan with the digest of all its source's bytes. Of an object that was read in parts it is known only now that it is read whole."""
        if plan.source.sha256:
            return plan
        self.source(plan.source)
        return replace(plan, source=replace(plan.source, sha256=self._source[2] if self._source else ""))

    def _opened_part(self, source: SourceVersion) -> PartFile:
        """What was fetched for earlier segments stays, up to a share of scratch. Raises SourceChanged."""
        known = self._part is not None and self._part[0] == source and version_of(source.uri) == (source.size, source.version)
        if self._part is None or not known or self._part[1].held_bytes() > self.scratch.limit_bytes * _PART_SHARE:
            self._drop_source()
            part = resume_part(source, self.scratch)
            if parts.opened(part, self.settings.plan) != source.fingerprint:
                raise SourceChanged("differs from what was planned", source=source.uri)
            self._part = (source, part)
        return self._part[1]

    def discard(self, path: Path) -> None:
        """Remove a file of this process's scratch; a source that is used in place stays."""
        if path.is_relative_to(self.scratch.path):
            path.unlink(missing_ok=True)

    def tidy(self) -> None:
        """After a unit: nothing of it stays in scratch but the source, which the next one may need."""
        if "scratch" not in self.__dict__:
            return
        kept = {self._source[1] if self._source else None, self._part[1].path if self._part else None}
        for path in self.scratch.path.iterdir():
            if path not in kept:
                path.unlink(missing_ok=True)

    def renew(self) -> None:
        """Memory ran out: a fresh process, where there can be one, or at least one that holds nothing."""
        self._models.clear()
        self._regions = None
        self.kept.drop()
        self._drop_source()
        self.host.renew()

    def _drop_source(self) -> None:
        if self._source is not None:
            self.discard(self._source[1])
            self._source = None
        if self._part is not None:
            self.discard(self._part[1].path)
            self._part = None

    def regions(self, output_id: str) -> VideoRegions:
        """What is painted in a video, as it was first decided; kept for its next segment, since a long video's are large."""
        if self._regions is None or self._regions[0] != output_id:
            self._regions = (output_id, load_regions(self.work, self.keystore, layout.regions(output_id)))
        return self._regions[1]

    def plan(self, output_id: str) -> VideoPlan:
        text = self.work.read(layout.plan(output_id))
        if self._plan is None or self._plan[0] != text:  # a long video's takes a while to be understood, for each of its segments
            self._plan = (text, from_json(VideoPlan, json.loads(text)))
        return self._plan[1]

    def close(self) -> None:
        self._source = self._part = None
        if "scratch" in self.__dict__:
            self.__dict__.pop("scratch").close()
        sweep(self._scratch_base)  # workers that died in the last phase, too

    def __enter__(self) -> Context:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def new_run(settings: Settings, keystore_id: str) -> RunInfo:
    """A run that starts now, here."""
    return RunInfo(
        run_id=new_run_id(),
        started_at=datetime.now(UTC).isoformat(timespec="microseconds"),
        code_version=__version__,
        settings_digest=settings.digest(),
        settings_json=json.dumps(to_json(settings), sort_keys=True),
        host_class=f"{platform.system().lower()}-{platform.machine()}-{choose(settings.run.device)}",
        keystore_id=keystore_id,
        scope=settings.identity.scope,
        actor=_user(),
        git_commit=build.git_commit(),
        image_digest=build.image_digest(),
    )


def _user() -> str:
    """Who started the run; a number where the system has no name for it, as in many containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
