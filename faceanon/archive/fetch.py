"""A source's bytes, at hand as a local file, together with proof of which bytes they are.

A file on disk is used where it lies; an object is spooled to scratch while it is hashed, a large one may be read in parts (`begin_part`).
Whatever changes between the first look and the last byte is SourceChanged, so no mixture of two versions is ever worked on.
Objects up to `store.whole_mb` are always read whole, so that they have the same ids on disk and in a bucket; larger ones are known by
a fingerprint (size, etag, and the digest of what was read to plan), and by the digest of all their bytes once they are published.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from faceanon.archive import objects
from faceanon.archive import uri as uris
from faceanon.archive.parts import PartFile
from faceanon.archive.scratch import Scratch
from faceanon.archive.store import source_fault, version_of
from faceanon.core.errors import SourceChanged, SourceUnreadable, StoreError, StoreUnavailable
from faceanon.core.records import SourceVersion

_CHUNK_BYTES = 8 << 20


def fetch_source(uri: str, scratch: Scratch) -> tuple[Path, SourceVersion]:
    """The source as a local file, and its version with the digest of every byte. Raises SourceUnreadable, SourceChanged, LimitExceeded or StoreUnavailable."""
    source = uris.parse(uri)
    before = size, version = version_of(uri)
    if size == 0:
        raise SourceUnreadable("is empty (0 bytes)", source=uri)
    if source.is_local:
        path, (sha256, count) = source.local(), _hash_file(source.path)
    else:
        scratch.check(size, source=uri)
        path = scratch.file(Path(source.name).suffix)
        sha256, count = _spool(source, path)
    if count != size or version_of(uri) != before:
        raise SourceChanged("changed while it was read", source=uri)
    return path, SourceVersion(uri, size, version, sha256)


def begin_part(uri: str, scratch: Scratch, whole_bytes: float) -> PartFile | None:
    """A large object to be read in parts; None for what is to be fetched whole. LimitExceeded where scratch could never hold it, to publish it."""
    source = uris.parse(uri)
    if source.scheme != "s3":
        return None
    size, version = version_of(uri)
    if size <= whole_bytes:
        return None
    scratch.check_ever(size, source=uri)
    return PartFile(uri, size, version, scratch)


def resume_part(known: SourceVersion, scratch: Scratch) -> PartFile:
    """The same version again, in another process. Raises SourceChanged."""
    if version_of(known.uri) != (known.size, known.version):
        raise SourceChanged("differs from what was planned", source=known.uri)
    return PartFile(known.uri, known.size, known.version, scratch)


def open_source(known: SourceVersion, scratch: Scratch) -> Path:
    """The bytes of a version that was fetched before, as a local file; a file on disk is not hashed again. Raises as fetch_source does."""
    return open_whole(known, scratch)[0]


def open_whole(known: SourceVersion, scratch: Scratch) -> tuple[Path, str]:
    """The same, and the digest of every byte, also of a version of which only a fingerprint was known."""
    source = uris.parse(known.uri)
    if version_of(known.uri) != (known.size, known.version):
        raise SourceChanged("differs from what was planned", source=known.uri)
    if source.is_local:
        return source.local(), known.sha256
    scratch.check(known.size, source=known.uri)
    path = scratch.file(Path(source.name).suffix)
    sha256, size = _spool(source, path)
    same = size == known.size and (sha256 == known.sha256 if known.sha256 else version_of(known.uri) == (known.size, known.version))
    if not same:
        path.unlink()
        raise SourceChanged("differs from what was planned", source=known.uri)
    return path, sha256


def _hash_file(path: str) -> tuple[str, int]:
    try:
        with open(path, "rb", buffering=0) as file:
            total, count = hashlib.sha256(), 0
            while chunk := file.read(_CHUNK_BYTES):
                total.update(chunk)
                count += len(chunk)
    except OSError as error:
        raise source_fault(error, path) from error
    return total.hexdigest(), count


def _spool(source: uris.Uri, path: Path) -> tuple[str, int]:
    try:
        return objects.patiently(lambda fs: _copy(fs, source, path), str(source))
    except FileNotFoundError as error:
        path.unlink(missing_ok=True)
        raise SourceUnreadable("vanished while it was read", source=str(source)) from error
    except StoreUnavailable:
        raise
    except StoreError as error:  # this object alone: one that is archived, or that others may read
        raise SourceUnreadable(f"may not be read: {error.reason}", source=str(source)) from error


def _copy(fs: Any, source: uris.Uri, path: Path) -> tuple[str, int]:
    total, count = hashlib.sha256(), 0
    with fs.open(source.object_path, "rb", block_size=_CHUNK_BYTES) as reader, path.open("wb") as writer:
        while chunk := reader.read(_CHUNK_BYTES):
            total.update(chunk)
            writer.write(chunk)
            count += len(chunk)
    return total.hexdigest(), count
