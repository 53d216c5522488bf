"""Bytes at rest: one Store over a local folder and over S3, made from its root URI wherever it is needed.

What both promise: an object appears whole or not at all; `create` and `upload` have exactly one winner among any number of
racers; the loser gets AlreadyExists and compares. A store holds no key and is rebuilt from its URI when it crosses a process border,
so credentials never enter a message: they come from the environment (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, ...) on each machine.
"""

from __future__ import annotations

import errno
import os
import stat

from faceanon.archive import uri as uris
from faceanon.archive.disk import LocalStore
from faceanon.archive.objects import S3Store, object_version
from faceanon.core.errors import SourceUnreadable, UsageError
from faceanon.core.settings import StoreSettings, names

__all__ = ["LocalStore", "S3Store", "allow", "open_store", "source_fault", "tidy", "version_of"]


def open_store(root_uri: str) -> LocalStore | S3Store:
    """The store below `root_uri`. Nothing is read or made yet. Raises UsageError for a URI that is not allowed."""
    root = uris.parse(root_uri)
    if root.scheme not in ("file", "s3"):
        raise UsageError(f"{root.scheme}: can be read from, not written to; give a folder or s3://bucket/prefix", source=root_uri)
    return LocalStore(str(root)) if root.is_local else S3Store(str(root))


def allow(settings: StoreSettings) -> None:
    """What these settings say may be named, from now on in this process, and where S3 is."""
    uris.allow(names(settings.buckets), names(settings.schemes), settings.endpoint)


def tidy(root_uri: str, *, older_than_s: float = 86400.0) -> int:
    """Remove what killed writers left unfinished below a root, if it is old enough to be nobody's work; how much went."""
    root = uris.parse(root_uri)
    return (LocalStore(str(root)) if root.is_local else S3Store(str(root))).tidy(older_than_s)


def version_of(source_uri: str) -> tuple[int, str]:
    """(size in bytes, version word) of a source now: its mtime in ns on disk, its etag on S3. Raises SourceUnreadable."""
    source = uris.parse(source_uri)
    if not source.is_local:
        return object_version(source)
    try:
        status = os.stat(source.path)
    except OSError as error:
        raise source_fault(error, source_uri) from error
    if not stat.S_ISREG(status.st_mode):
        raise SourceUnreadable("is a folder" if stat.S_ISDIR(status.st_mode) else "is not a regular file", source=source_uri)
    return status.st_size, str(status.st_mtime_ns)


def source_fault(error: OSError, source_uri: str) -> SourceUnreadable:
    """An error of the operating system as the reason why this source cannot be read."""
    reasons = {
        errno.ENOENT: "does not exist",
        errno.ENOTDIR: "does not exist",
        errno.EACCES: "may not be read: permission denied",
        errno.EPERM: "may not be read: permission denied",
        errno.EISDIR: "is a folder",
        errno.ESTALE: "vanished while it was read",
        errno.ENAMETOOLONG: "has a name that is too long",
        errno.ELOOP: "is a symbolic link that leads nowhere",
    }
    return SourceUnreadable(reasons.get(error.errno or 0, f"cannot be read: {error.strerror or error}"), source=uris.printable(source_uri))
