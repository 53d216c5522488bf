"""Whether a store can keep what the job promises, asked of the store itself: by what it does, never by its name or version.

`examine` works below `.probe/` of the real root, removes what it made, and gives one Finding for each promise. `require` is its short
form, for the start of a run. A promise that cannot be kept is "broken" and the run must not start; "note" is worth knowing.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from faceanon.archive import uri as uris
from faceanon.archive.disk import LocalStore
from faceanon.archive.objects import S3Store, patiently
from faceanon.archive.probes import COMMON, DECISIVE, OF_OBJECTS, AnyStore, Effort, Finding, Role, versions_of
from faceanon.core.errors import StoreError, StoreUnavailable, StoreUnfit

PROBES = ".probe"  # below a root; hidden, so never a source
_SHORT = Effort(3, 1, 100, is_short=True)
_THOROUGH = Effort(16, 5, 3_000_000)


def require(out_uri: str, work_uri: str) -> None:
    """Raises StoreUnfit where a promise would be broken, StoreUnavailable where a store cannot be asked. Two roots in one bucket are one store."""
    out, work = uris.parse(out_uri), uris.parse(work_uri)
    same = not out.is_local and (out.scheme, out.bucket) == (work.scheme, work.bucket)
    asked: tuple[tuple[str, Role], ...] = ((work_uri, "work"),) if same else ((out_uri, "output"), (work_uri, "work"))
    for root_uri, role in asked:
        for finding in _examine(root_uri, role, _SHORT):
            if finding.state == "broken":
                raise StoreUnfit(f"{finding.probe}: {finding.found}; {finding.means} (`faceanon store doctor` says more)", source=root_uri)


def examine(root_uri: str, role: Role) -> tuple[Finding, ...]:
    """Every probe, thoroughly: some seconds, some megabytes. Raises UsageError or StoreUnavailable."""
    return tuple(_examine(root_uri, role, _THOROUGH))


def _examine(root_uri: str, role: Role, effort: Effort) -> Iterator[Finding]:
    root = uris.parse(root_uri)
    store: AnyStore = LocalStore(str(root)) if root.is_local else S3Store(str(root))
    folder = f"{PROBES}/{secrets.token_hex(8)}"
    try:
        for probe in (*COMMON, *(() if root.is_local else OF_OBJECTS)):
            if probe in DECISIVE or not effort.is_short:
                yield _asked(probe, store, folder, role, effort)
    finally:
        _clean(store, folder)


def _asked(probe: Callable[..., Finding], store: AnyStore, folder: str, role: Role, effort: Effort) -> Finding:
    try:
        return probe(store, folder, role, effort)
    except StoreUnavailable:
        raise
    except StoreError as error:
        return Finding(probe.__name__.strip("_").replace("_", " "), "broken", str(error), "the job could not work here")


def _clean(store: AnyStore, folder: str) -> None:
    """Everything that the probes made, old versions too. Where a lock holds it, it stays until the lock ends."""
    with suppress(StoreError):
        store.delete_tree(folder)
    if isinstance(store, S3Store):
        bucket = uris.parse(store.root).bucket
        for version in versions_of(store, f"{folder}/"):
            with suppress(StoreError, FileNotFoundError):
                patiently(lambda fs, version=version: fs.call_s3("delete_object", Bucket=bucket, **version), store.root)
    else:
        with suppress(OSError):
            (Path(store.root) / PROBES).rmdir()
