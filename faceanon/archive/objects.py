"""S3Store: a bucket or a prefix of it, through s3fs.

Publishing is one PUT (or one CompleteMultipartUpload) with `If-None-Match: *`. Never `open(key, "wb")`: leaving such a block by an
exception publishes what was written so far. A server says "exists" with 412, which s3fs raises as FileExistsError or, where the answer
names no condition, as OSError(EINVAL). A reply that was lost makes a retry meet its own object; so every write carries a word of its
own as metadata, and on 412 it is read back: who finds their own word there has won.
409 and 503 mean: again, after a pause; an upload in parts is then begun anew. What was uploaded is compared with what was sent.
"""

from __future__ import annotations

import email.utils
import errno
import os
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from faceanon.archive.entries import Entry
from faceanon.archive.etags import digest_of, etag_of
from faceanon.archive.uri import Uri, check_name, join, parse
from faceanon.core.errors import AlreadyExists, SourceUnreadable, StoreError, StoreUnavailable, UsageError

_PAUSES_S = (0.3, 1.5, 4.0, 8.0)  # between tries; each is at most eight requests of s3fs, botocore and aiohttp
_DEADLINE_S = 120.0  # no further try begins after this
_PASSING = {errno.EBUSY, errno.EIO, getattr(errno, "EREMOTEIO", errno.EIO), errno.ETIMEDOUT, errno.ECONNRESET, errno.ECONNREFUSED, errno.EPIPE, errno.ENOSPC}
_PARTS = 2  # parts in memory at a time
_PART_BYTES = 50 << 20
_MOST_PARTS = 10_000
_BATCH = 1000  # most keys that one DeleteObjects takes
_VERSION_WORDS = ("ETag", "etag", "generation", "content_md5", "mtime", "modificationTime", "created")  # of s3fs, adlfs, gcsfs, ossfs, hdfs, memory
_WORD = "faceanon-write"  # metadata: which write made the object

T = TypeVar("T")


def filesystem(scheme: str = "s3") -> Any:
    """s3fs with the environment's endpoint and credentials, without a cache of listings: other writers must be seen. Or another scheme's own."""
    if scheme != "s3":
        return _other(scheme)
    import s3fs

    fs = s3fs.S3FileSystem(
        endpoint_url=os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None,
        use_listings_cache=False,
        config_kwargs={"retries": {"max_attempts": 1, "mode": "standard"}, "connect_timeout": 10, "read_timeout": 60},
    )
    fs.retries = 2  # five by itself; `patiently` tries with longer pauses, and a download that is cut is taken up once
    return fs


def _other(scheme: str) -> Any:
    """Only for reading sources; `uri` has seen that the settings allow it."""
    import fsspec

    try:
        return fsspec.filesystem(scheme, use_listings_cache=False)
    except ImportError as error:
        raise UsageError(f"{scheme}: needs a package that is not installed: {error}") from error


@dataclass(unsafe_hash=True)  # the port's root is a plain attribute
class S3Store:
    root: str

    def uri(self, name: str) -> str:
        return join(self.root, name)

    def read(self, name: str) -> bytes:
        return patiently(lambda fs: fs.cat_file(self._key(name), max_concurrency=1), self.uri(name))

    def exists(self, name: str) -> bool:
        try:
            return self._info(name)["type"] == "file"
        except FileNotFoundError:
            return False

    def create(self, name: str, data: bytes) -> None:
        self._put(name, lambda fs, **words: fs.pipe_file(self._key(name), data, mode="create", **words))

    def replace(self, name: str, data: bytes) -> None:
        self._put(name, lambda fs, **words: fs.pipe_file(self._key(name), data, **words))

    def upload(self, path: Path, name: str) -> None:
        part_bytes = max(_PART_BYTES, -(-path.stat().st_size // _MOST_PARTS))
        options = {"mode": "create", "max_concurrency": _PARTS, "chunksize": part_bytes}
        self._put(name, lambda fs, **words: fs.put_file(str(path), self._key(name), **options, **words))
        reason = self._differs(name, path, part_bytes)
        if reason:
            self.delete(name)  # nobody else's: this upload made it
            raise StoreUnavailable(reason, source=self.uri(name))

    def download(self, name: str, path: Path) -> None:
        size = self._info(name)["size"]
        patiently(lambda fs: fs.get_file(self._key(name), str(path), max_concurrency=1), self.uri(name))
        if path.stat().st_size != size:
            raise StoreUnavailable(f"{path.stat().st_size} bytes came of {size}", source=self.uri(name))

    def link(self, name: str, view: str) -> None:
        patiently(lambda fs: fs.cp_file(self._key(name), self._key(view)), self.uri(name))

    def shows(self, name: str, view: str) -> bool:
        try:
            one, other = self._info(name), self._info(view)
        except FileNotFoundError:
            return False
        parted = "-" in one.get("ETag", "-") + other.get("ETag", "-")  # an ETag of parts is no digest of the content
        return one["size"] == other["size"] and (parted or one["ETag"] == other["ETag"])

    def list(self, prefix: str) -> list[str]:
        return [entry.name for entry in self.entries(prefix)]

    def holds(self, prefix: str) -> bool:
        """Whether anything lies below a prefix, folder markers left out: one request."""
        return any(not entry["Key"].endswith("/") for entry in self._first(f"{self._key(prefix.rstrip('/'))}/", 2).get("Contents", ()))

    def entries(self, prefix: str) -> list[Entry]:
        """What lies below a prefix, by name, with sizes and times as the store tells them."""
        top = self._key(prefix.rstrip("/")) if prefix else parse(self.root).object_path
        skip = len(parse(self.root).object_path) + 1
        found = list_details(top, self.root)
        return [Entry(path[skip:], int(facts["size"]), facts["LastModified"].timestamp()) for path, facts in found]

    def clock_s(self) -> float:
        """The store's time, in seconds since 1970, to the second. Raises StoreError where it does not say."""
        date = self._first(f"{parse(self.root).object_path}/", 1)["ResponseMetadata"]["HTTPHeaders"].get("date")
        if not date:
            raise StoreError("does not say what time it is", source=self.root)
        return email.utils.parsedate_to_datetime(date).timestamp()

    def delete(self, name: str) -> None:
        with suppress(FileNotFoundError):
            patiently(lambda fs: fs.rm_file(self._key(name)), self.uri(name))

    def delete_tree(self, prefix: str) -> None:
        bucket = parse(self.root).bucket
        keys = [{"Key": self._key(name)[len(bucket) + 1 :]} for name in self.list(prefix)]
        for start in range(0, len(keys), _BATCH):
            self._delete_batch(bucket, keys[start : start + _BATCH])

    def unfinished(self, older_than_s: float) -> list[Entry]:
        """Uploads in parts below the root that were begun so long ago, by the store's clock, that they are nobody's work; a thousand at a time. Size -1: not known."""
        top, limit = parse(self.root), self.clock_s() - older_than_s
        pending = patiently(lambda fs: fs.list_multipart_uploads(top.bucket), self.root)
        below = f"{top.path}/" if top.path else ""
        old = [u for u in pending if u["Key"].startswith(below) and u["Initiated"].timestamp() < limit]
        return [Entry(u["Key"][len(below) :], -1, u["Initiated"].timestamp(), u["UploadId"]) for u in old]

    def drop(self, entry: Entry) -> None:
        """Abort an upload that `unfinished` named; parts that were stored go with it."""
        top = parse(self.root)
        with suppress(FileNotFoundError):  # another one was quicker
            patiently(lambda fs: fs.abort_mpu(top.bucket, f"{top.path}/{entry.name}".lstrip("/"), entry.upload), self.root)

    def tidy(self, older_than_s: float) -> int:
        """Drop what killed writers left unfinished; younger ones may be in the making. How many went."""
        old = self.unfinished(older_than_s)
        for entry in old:
            self.drop(entry)
        return len(old)

    def _delete_batch(self, bucket: str, keys: Sequence[dict[str, str]]) -> None:
        answer = patiently(lambda fs: fs.call_s3("delete_objects", Bucket=bucket, Delete={"Objects": keys, "Quiet": True}), self.root)
        for refused in answer.get("Errors", []):
            raise StoreError(f"not deleted: {refused.get('Message', refused.get('Code', ''))}", source=f"s3://{bucket}/{refused.get('Key', '')}")

    def _key(self, name: str) -> str:
        return f"{parse(self.root).object_path}/{check_name(name)}"

    def _first(self, top: str, count: int) -> dict[str, Any]:
        """The store's answer about the first objects below `bucket/prefix/`."""
        bucket, _, prefix = top.partition("/")
        return patiently(lambda fs: fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=count), self.root)

    def _info(self, name: str) -> dict[str, Any]:
        return patiently(lambda fs: fs.info(self._key(name)), self.uri(name))

    def _put(self, name: str, action: Callable[..., object]) -> None:
        word = secrets.token_hex(16)
        try:
            patiently(lambda fs: action(fs, Metadata={_WORD: word}), self.uri(name))
        except AlreadyExists:
            if self._written_by(name) != word:
                raise
        except FileNotFoundError as error:
            raise StoreError("no such bucket", source=self.root) from error

    def _written_by(self, name: str) -> str:
        """The word of the write that made the object; "" where there is none, or it was taken away meanwhile."""
        top = parse(self.root)
        key = self._key(name)[len(top.bucket) + 1 :]
        try:
            return patiently(lambda fs: fs.call_s3("head_object", Bucket=top.bucket, Key=key), self.uri(name)).get("Metadata", {}).get(_WORD, "")
        except FileNotFoundError:
            return ""

    def _differs(self, name: str, path: Path, part_bytes: int) -> str:
        """Why what is stored is not the file. An ETag that is a digest is believed; where it is none, the object is read back."""
        facts, size = self._info(name), path.stat().st_size
        if facts["size"] != size:
            return f"the store holds {facts['size']} bytes of {size}"
        if facts["ETag"].strip('"') == etag_of(path, part_bytes):
            return ""
        stored = patiently(lambda fs: digest_of(fs.open(self._key(name), "rb", block_size=8 << 20, cache_type="readahead")), self.uri(name))
        return "" if stored == digest_of(path.open("rb")) else "the store holds other bytes than were sent"


def list_objects(top: str, source: str) -> list[str]:
    """`bucket/key` of every object below `bucket/prefix`, sorted; a prefix ends at a slash, and folder markers are left out."""
    return [path for path, _ in list_details(top, source)]


def list_details(top: str, source: str) -> list[tuple[str, dict[str, Any]]]:
    """The same with what s3fs says of each."""
    try:
        found = patiently(lambda fs: fs.find(top, detail=True), source)
    except FileNotFoundError:
        return []
    entries = ((path.lstrip("/"), facts) for path, facts in found.items())
    return sorted((path, facts) for path, facts in entries if path.startswith(top + "/") and not path.endswith("/"))


def object_version(source: Uri) -> tuple[int, str]:
    """(size, version word) of an object: its etag, or whatever its store has for one. Raises SourceUnreadable."""
    try:
        facts = patiently(lambda fs: fs.info(source.object_path), str(source))
    except FileNotFoundError as error:
        raise SourceUnreadable("does not exist", source=str(source)) from error
    except StoreUnavailable:
        raise
    except StoreError as error:
        raise SourceUnreadable(f"may not be read: {error.reason}", source=str(source)) from error
    if facts["type"] != "file":
        raise SourceUnreadable("is a folder", source=str(source))
    words = [str(facts[word]) for word in _VERSION_WORDS if facts.get(word)]
    if not words:
        raise SourceUnreadable("its store does not say which version it is", source=str(source))
    return int(facts["size"]), words[0].strip('"')


def patiently(action: Callable[[Any], T], source: str) -> T:
    """`action(filesystem)`, again after passing faults. Raises FileNotFoundError, AlreadyExists, StoreError or, at last, StoreUnavailable."""
    client_errors: tuple[type[Exception], ...] = (OSError, *_client_errors())
    deadline = time.monotonic() + _DEADLINE_S
    scheme = source.partition("://")[0]
    for pause_s in (*_PAUSES_S, None):
        try:
            return action(filesystem(scheme) if scheme != "s3" else filesystem())
        except client_errors as error:
            if isinstance(error, FileNotFoundError) and _answer(error)[0] != "NoSuchUpload":
                raise
            fault = translate(error, source)
            if pause_s is None or not isinstance(fault, StoreUnavailable) or time.monotonic() + pause_s > deadline:
                raise fault from error
            time.sleep(pause_s)
    raise AssertionError("the last try returns or raises")


def translate(error: Exception, source: str) -> StoreError:
    """What an error of s3fs or botocore means for the caller."""
    code, status = _answer(error)
    if isinstance(error, FileExistsError) or status == 412:
        return AlreadyExists("exists", source=source)
    if status == 409 or (status or 0) >= 500 or code == "NoSuchUpload" or isinstance(error, (TimeoutError, ConnectionError)):
        return StoreUnavailable(f"the store did not answer as it should: {error}", source=source)
    if status is None and (not isinstance(error, OSError) or error.errno in _PASSING) and "redential" not in str(error):
        return StoreUnavailable(f"the store cannot be reached: {error}", source=source)
    return StoreError(f"the store refused: {code or error}", source=source)


def _answer(error: Exception) -> tuple[str, int | None]:
    """The server's error code and HTTP status, where there was an answer."""
    for candidate in (error, error.__cause__):
        response = getattr(candidate, "response", None)
        if isinstance(response, dict):
            return response.get("Error", {}).get("Code", ""), response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return "", None


def _client_errors() -> tuple[type[Exception], ...]:
    """All that an operation may end with besides OSError; aiohttp's own where a body breaks off."""
    import aiohttp
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

    return BotoCoreError, ClientError, HTTPClientError, aiohttp.ClientError
