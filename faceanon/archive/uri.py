"""URIs, parsed and checked before any filesystem sees them.

Two kinds exist: a local path (typed plainly or as `file:`) and `s3://bucket/key`. A parsed Uri prints in one form that `parse`
takes back: an absolute path, or `s3://bucket/key`. A local path is always absolute, so nothing after us can read a protocol into
it. Endpoints and credentials are no part of a URI; they come from settings or the environment. `allow` narrows the buckets that may be
named, and adds further object stores that sources may be read from; it holds for the whole process.

Names are posix paths relative to a root: no empty, `.` or `..` part, no leading slash, nothing that cannot be written as UTF-8.
"""

from __future__ import annotations

import os
import posixpath
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from faceanon.core.errors import UsageError

# Two letters at least before the colon, or a slash after it: `c:clip.mp4` is a file, `data:...` and `x://` are not.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://|([A-Za-z][A-Za-z0-9+\-]+):(?=[^/])")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.\-_]{1,253}[a-z0-9]")
# Words that some library would fetch or run; any other `word:name` without `//` is a file name with a colon in it.
_FOREIGN = frozenset(
    [
        "http", "https", "ftp", "ftps", "sftp", "ssh", "data", "memory", "blob", "github", "git", "hdfs", "webhdfs", "gs", "gcs", "az", "abfs", "smb",
        "concat", "pipe", "subfile", "crypto", "tcp", "udp", "rtmp", "rtsp", "s3", "s3a", "s3n",
    ]
)


@dataclass(frozen=True)
class Uri:
    """scheme: "file", "s3", or one that `allow` added. path: absolute on disk, or the object's key ("" for the whole bucket)."""

    scheme: str
    bucket: str
    path: str

    @property
    def is_local(self) -> bool:
        return self.scheme == "file"

    @property
    def name(self) -> str:
        """The last part: a file's or folder's own name, or the bucket's."""
        return posixpath.basename(self.path) or self.bucket

    @property
    def parent(self) -> Uri:
        return Uri(self.scheme, self.bucket, posixpath.dirname(self.path))

    @property
    def object_path(self) -> str:
        """`bucket/key`, as s3fs takes it."""
        return f"{self.bucket}/{self.path}".rstrip("/")

    def local(self) -> Path:
        return Path(self.path)

    def __str__(self) -> str:
        return self.path if self.is_local else f"{self.scheme}://{self.bucket}/{self.path}"


@dataclass(frozen=True)
class _Allowed:
    """buckets: empty = any."""

    buckets: frozenset[str] = frozenset()
    schemes: frozenset[str] = frozenset()


_allowed = _Allowed()


def allow(buckets: frozenset[str], schemes: frozenset[str], endpoint: str = "") -> None:
    """What may be named from now on in this process. An endpoint goes to the environment, where every client of S3 looks for it."""
    global _allowed
    _allowed = _Allowed(buckets, schemes)
    if endpoint:
        os.environ["AWS_ENDPOINT_URL_S3"] = endpoint


def parse(text: str) -> Uri:
    """A Uri from what a person typed. Raises UsageError naming what is wrong."""
    if not text:
        raise UsageError("an empty path")
    if "\0" in text:
        raise UsageError("holds a NUL byte", source=repr(text))
    if text.startswith(("/", ".")):
        return _local(text)
    if text[:5].lower() == "file:":
        return _file(text)
    if text[:5].lower() == "s3://":
        return _object("s3", text[5:], text)
    if text[:4].lower() == "s3:/":
        raise UsageError("an S3 address starts with s3://", source=text)
    if "::" in text:
        raise UsageError("'::' joins filesystems, which is not supported; write ./ before a file name that holds it", source=text)
    match = _SCHEME.match(text)
    scheme = (match[1] or match[2]).lower() if match else ""
    if match and match[1] and scheme in _allowed.schemes:
        return _object(scheme, text[match.end() :], text)
    if match and (match[1] or scheme in _FOREIGN):
        raise UsageError(f"{scheme}: is not supported; give a local path, file: or s3://bucket/key", source=text)
    return _local(text)


def join(root: str, *names: str) -> str:
    """The URI of `names` below `root`; a name cannot leave the root. Raises UsageError."""
    base = parse(root)
    below = "/".join(check_name(name) for name in names)
    return str(Uri(base.scheme, base.bucket, posixpath.join(base.path, below) if below else base.path))


def check_name(name: str) -> str:
    """`name` itself, if it is a relative posix path that stays below its root. Raises UsageError."""
    if not name:
        raise UsageError("an empty name")
    if name.startswith("/"):
        raise UsageError(f"a name must be relative: got {name!r}")
    if any(part in ("", ".", "..") for part in name.split("/")):
        raise UsageError(f"a name must have no empty, '.' or '..' part: got {name!r}")
    if _CONTROL.search(name):
        raise UsageError(f"a name must have no control characters: got {name!r}")
    if not is_text(name):
        raise UsageError(f"a name must be UTF-8: got {printable(name)!r}")
    return name


def is_text(name: str) -> bool:
    """False where bytes of a file name are not UTF-8 (Python carries them as lone surrogates)."""
    return not _SURROGATE.search(name)


def printable(name: str) -> str:
    """`name` with undecodable bytes spelt out, so that it can be shown and stored."""
    return name.encode("utf-8", "backslashreplace").decode()


def _local(text: str) -> Uri:
    return Uri("file", "", os.path.abspath(text))


def _file(text: str) -> Uri:
    rest = text[5:]
    if rest.startswith("//"):
        host, slash, rest = rest[2:].partition("/")
        if host not in ("", "localhost"):
            raise UsageError(f"file: names another host, {host!r}; write file:///path", source=text)
        rest = slash + rest
    path = unquote(rest, errors="surrogateescape")
    if not path or "\0" in path:
        raise UsageError("file: without a path", source=text)
    return _local(path)


def _object(scheme: str, rest: str, text: str) -> Uri:
    bucket, _, key = rest.partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise UsageError(f"not a bucket name: {bucket!r}", source=text)
    if _allowed.buckets and bucket not in _allowed.buckets:
        raise UsageError(f"bucket {bucket} is not on the list in the settings (store.buckets)", source=text)
    key = key.rstrip("/")
    if "?versionId=" in key:
        raise UsageError("object versions cannot be named", source=text)
    if key:
        try:
            check_name(key)
        except UsageError as error:
            raise UsageError(error.reason, source=printable(text)) from error
    return Uri(scheme, bucket, key)
