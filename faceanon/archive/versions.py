"""One version of an object: found, looked at, moved and deleted by its own id, so that nothing else can be meant.

On disk and in a bucket without versions the id is "" and the version word (mtime in ns, or etag) says which bytes are there. Deleting names the id
and so never leaves a delete marker; markers of others are swept once no version is left below them. Nothing here looks past a lock: what the store
refuses to delete stays. A `Shelf` remembers what it learnt of its buckets; one serves one run, from any number of threads.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock
from typing import Any

from faceanon.archive import uri as uris
from faceanon.archive.disk import LocalStore
from faceanon.archive.etags import digest_of
from faceanon.archive.objects import S3Store, patiently
from faceanon.archive.store import open_store
from faceanon.archive.uri import Uri
from faceanon.core.errors import AlreadyExists, StoreError, StoreUnavailable, UsageError

_COPY_BYTES = 5 << 30  # most that one CopyObject takes
_PART_BYTES = 512 << 20
_BLOCK_BYTES = 8 << 20
_NO_LOCK = ("NoSuchObjectLockConfiguration", "ObjectLockConfigurationNotFoundError", "NoSuchObjectLegalHold", "NoSuchObjectRetention")


@dataclass(frozen=True, order=True)
class ObjectVersion:
    """id: the store's version id, "" where it keeps none. word: etag, or mtime in ns. trouble: why it is not the only name of its bytes."""

    uri: str
    id: str
    word: str
    size: int
    is_latest: bool = True
    trouble: str = ""

    @property
    def instance(self) -> str:
        """What tells this version from every other one of its name."""
        return self.id or self.word


class Shelf:
    """All that retention asks of a store of originals."""

    def __init__(self) -> None:
        self._buckets: dict[str, tuple[bool, bool]] = {}
        self._lock = Lock()

    def folder(self, folder_uri: str) -> dict[str, list[ObjectVersion]]:
        """URI -> every version that lies directly in a folder; the newest first. A folder that is not there is empty."""
        found: dict[str, list[ObjectVersion]] = {}
        folder = uris.parse(folder_uri)
        for version in _files(folder) if folder.is_local else self._objects(folder):
            found.setdefault(version.uri, []).append(version)
        return found

    def look(self, version: ObjectVersion) -> ObjectVersion | None:
        """The version as it is now; None where it is gone. Where the store keeps no versions this may be another one, with another word."""
        place = _place(version.uri)
        if place.is_local:
            return _file(place.path)
        try:
            facts = patiently(lambda fs: fs.call_s3("head_object", Bucket=place.bucket, Key=place.path, **_named(version)), version.uri)
        except FileNotFoundError:
            return None
        return ObjectVersion(version.uri, version.id, facts["ETag"].strip('"'), int(facts["ContentLength"]), version.is_latest)

    def locked(self, version: ObjectVersion) -> str:
        """The lock that the store holds on a version, in words; "" where there is none. A bucket that does not say raises StoreError."""
        place = _place(version.uri)
        if place.is_local or not self._bucket(place.bucket)[1]:
            return ""
        hold = self._lock_words(place, version, "get_object_legal_hold", "LegalHold")
        if hold.get("Status") == "ON":
            return "legal hold"
        held = self._lock_words(place, version, "get_object_retention", "Retention")
        until = held.get("RetainUntilDate")
        if not held.get("Mode") or until is None or until <= self.clock(version.uri):
            return ""
        return f"{held['Mode']} until {until.astimezone(UTC).isoformat(timespec='seconds')}"

    def clock(self, uri: str) -> datetime:
        """The time of the store that holds an object."""
        return datetime.fromtimestamp(open_store(str(_place(uri).parent)).clock_s(), UTC)

    def digest(self, version: ObjectVersion) -> str:
        """SHA-256 of a version, by reading it. Raises FileNotFoundError."""
        place = _place(version.uri)
        if place.is_local:
            return _file_digest(version)
        key = place.object_path
        return patiently(lambda fs: _body_digest(fs.call_s3("get_object", Bucket=place.bucket, Key=key[len(place.bucket) + 1 :], **_named(version)), fs), version.uri)

    def delete(self, version: ObjectVersion) -> None:
        """Exactly this version; missing is fine. Raises StoreError where the store, or a lock, refuses."""
        place = _place(version.uri)
        if place.is_local:
            _unlink(version)
            return
        with suppress(FileNotFoundError):
            patiently(lambda fs: fs.call_s3("delete_object", Bucket=place.bucket, Key=place.path, **_named(version)), version.uri)

    def sweep_markers(self, uri: str) -> int:
        """Delete markers of a name of which no version is left; how many went."""
        place = _place(uri)
        if place.is_local or not self._bucket(place.bucket)[0]:
            return 0
        pages = list(_pages(place.bucket, place.path, uri, delimiter=""))
        if any(v["Key"] == place.path for page in pages for v in page.get("Versions", [])):
            return 0
        markers = [m["VersionId"] for page in pages for m in page.get("DeleteMarkers", []) if m["Key"] == place.path]
        for marker in markers:
            patiently(lambda fs, marker=marker: fs.call_s3("delete_object", Bucket=place.bucket, Key=place.path, VersionId=marker), uri)
        return len(markers)

    def copy(self, version: ObjectVersion, root_uri: str, name: str, sha256: str) -> str:
        """The version below another root, read back and compared with a digest; the copy's URI. Raises AlreadyExists where other bytes lie there."""
        source, target = _place(version.uri), open_store(root_uri)
        if not isinstance(target, S3Store) and not source.is_local:
            raise UsageError("an object in a bucket is not moved to a disk", source=version.uri)
        try:
            if source.is_local:
                target.upload(source.local(), name)
            else:
                _copy_object(version, source, _place(target.uri(name)))
        except AlreadyExists:
            pass  # an earlier attempt came as far; its bytes are compared all the same
        stored = digest(target, name)
        if stored != sha256:
            raise AlreadyExists(f"the cold place holds other bytes (sha256 {stored[:12]}..., {sha256[:12]}... are wanted)", source=target.uri(name))
        return target.uri(name)

    def _bucket(self, bucket: str) -> tuple[bool, bool]:
        """(keeps versions, has object locks)"""
        with self._lock:
            if bucket not in self._buckets:
                self._buckets[bucket] = (_has_versions(bucket), _has_locks(bucket))
            return self._buckets[bucket]

    def _objects(self, folder: Uri) -> Iterator[ObjectVersion]:
        has_versions = self._bucket(folder.bucket)[0]
        prefix = f"{folder.path}/".lstrip("/")
        for page in _pages(folder.bucket, prefix, str(folder), delimiter="/"):
            for facts in page.get("Versions", []):
                uri = f"s3://{folder.bucket}/{facts['Key']}"
                if facts["Key"] != prefix:
                    number = facts["VersionId"] if has_versions else ""
                    yield ObjectVersion(uri, number, facts["ETag"].strip('"'), int(facts["Size"]), bool(facts["IsLatest"]))

    def _lock_words(self, place: Uri, version: ObjectVersion, question: str, word: str) -> dict[str, Any]:
        try:
            return patiently(lambda fs: fs.call_s3(question, Bucket=place.bucket, Key=place.path, **_named(version)), version.uri).get(word) or {}
        except StoreUnavailable:
            raise
        except StoreError as error:
            if any(code in error.reason for code in _NO_LOCK):
                return {}
            raise StoreError(f"does not say whether it is locked: {error.reason}", source=version.uri) from error


def digest(store: LocalStore | S3Store, name: str) -> str:
    """SHA-256 of an object of a store, by reading it in pieces. Raises FileNotFoundError."""
    if isinstance(store, LocalStore):
        with open(store.uri(name), "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    return patiently(lambda fs: digest_of(fs.open(store._key(name), "rb", block_size=_BLOCK_BYTES, cache_type="readahead")), store.uri(name))


# ---------------------------------------------------------------------------------------------------------------------- disk


def _files(folder: Uri) -> Iterator[ObjectVersion]:
    try:
        names = sorted(os.listdir(folder.path))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise StoreError(error.strerror or str(error), source=str(folder)) from error
    for name in names:
        if uris.is_text(name) and not name.startswith("."):
            version = _file(posixpath.join(folder.path, name))
            if version is not None:
                yield version


def _file(path: str) -> ObjectVersion | None:
    """None for what is not a file. A link, or a second name of the same bytes, is trouble: deleting this name would not delete them."""
    try:
        status = os.lstat(path)
        trouble = "is reached by a symbolic link" if stat.S_ISLNK(status.st_mode) or os.path.realpath(path) != path else ""
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StoreError(error.strerror or str(error), source=path) from error
    if not stat.S_ISREG(status.st_mode):
        return None
    if not trouble and status.st_nlink > 1:
        trouble = f"has {status.st_nlink} names (hard links)"
    return ObjectVersion(path, "", str(status.st_mtime_ns), status.st_size, True, trouble)


def _file_digest(version: ObjectVersion) -> str:
    try:
        with open(version.uri, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreError(error.strerror or str(error), source=version.uri) from error


def _unlink(version: ObjectVersion) -> None:
    """Only while the name still shows this version."""
    now = _file(version.uri)
    if now is None:
        return
    if (now.word, now.size, now.trouble) != (version.word, version.size, ""):
        raise StoreError("changed at the last moment; it stays", source=version.uri)
    try:
        os.unlink(version.uri)
        handle = os.open(os.path.dirname(version.uri), os.O_RDONLY)
    except OSError as error:
        raise StoreError(error.strerror or str(error), source=version.uri) from error
    with suppress(OSError):  # some network filesystems refuse to sync a folder
        os.fsync(handle)
    os.close(handle)


# ------------------------------------------------------------------------------------------------------------------------ S3


def _place(uri: str) -> Uri:
    place = uris.parse(uri)
    if place.scheme not in ("file", "s3"):
        raise UsageError(f"{place.scheme}: retention deletes on disks and in S3 only", source=uri)
    return place


def _named(version: ObjectVersion) -> dict[str, str]:
    return {"VersionId": version.id} if version.id else {}


def _pages(bucket: str, prefix: str, source: str, *, delimiter: str) -> Iterator[dict[str, Any]]:
    marks: dict[str, str] = {}
    while True:
        words = {"Bucket": bucket, "Prefix": prefix, "Delimiter": delimiter, **marks}
        try:
            page = patiently(lambda fs, words=words: fs.call_s3("list_object_versions", **words), source)
        except FileNotFoundError:  # no such bucket
            return
        yield page
        if not page.get("IsTruncated"):
            return
        marks = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page.get("NextVersionIdMarker", "")}


def _has_versions(bucket: str) -> bool:
    """Also where they are suspended: old ones are still there."""
    return bool(patiently(lambda fs: fs.call_s3("get_bucket_versioning", Bucket=bucket), f"s3://{bucket}").get("Status"))


def _has_locks(bucket: str) -> bool:
    try:
        answer = patiently(lambda fs: fs.call_s3("get_object_lock_configuration", Bucket=bucket), f"s3://{bucket}")
    except FileNotFoundError:
        return False
    except StoreUnavailable:
        raise
    except StoreError as error:
        if any(code in error.reason for code in _NO_LOCK):
            return False
        raise
    return answer.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") == "Enabled"


def _body_digest(answer: dict[str, Any], fs: Any) -> str:
    """Of a streaming body, which belongs to the filesystem's own event loop."""
    from fsspec.asyn import sync

    async def read() -> str:
        total = hashlib.sha256()
        async with answer["Body"] as body:
            while piece := await body.read(_BLOCK_BYTES):
                total.update(piece)
        return total.hexdigest()

    return sync(fs.loop, read)


def _copy_object(version: ObjectVersion, source: Uri, target: Uri) -> None:
    origin = {"Bucket": source.bucket, "Key": source.path, **_named(version)}
    try:
        patiently(lambda fs: fs.call_s3("head_object", Bucket=target.bucket, Key=target.path), str(target))
        raise AlreadyExists("exists", source=str(target))
    except FileNotFoundError:
        pass
    if version.size <= _COPY_BYTES:
        patiently(lambda fs: fs.call_s3("copy_object", Bucket=target.bucket, Key=target.path, CopySource=origin), version.uri)
    else:
        patiently(lambda fs: _copy_in_parts(fs, version, origin, target), version.uri)


def _copy_in_parts(fs: Any, version: ObjectVersion, origin: dict[str, str], target: Uri) -> None:
    upload = fs.call_s3("create_multipart_upload", Bucket=target.bucket, Key=target.path)["UploadId"]
    words = {"Bucket": target.bucket, "Key": target.path, "UploadId": upload}
    try:
        parts = []
        for number, start in enumerate(range(0, version.size, _PART_BYTES), 1):
            span = f"bytes={start}-{min(start + _PART_BYTES, version.size) - 1}"
            made = fs.call_s3("upload_part_copy", PartNumber=number, CopySource=origin, CopySourceRange=span, **words)
            parts.append({"PartNumber": number, "ETag": made["CopyPartResult"]["ETag"]})
        fs.call_s3("complete_multipart_upload", MultipartUpload={"Parts": parts}, **words)
    except OSError:
        with suppress(OSError):
            fs.abort_mpu(target.bucket, target.path, upload)
        raise
