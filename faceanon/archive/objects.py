"""S3Store: a bucket or a prefix of it, through s3fs.

Publishing is one PUT (or one CompleteMultipartUpload) with `If-None-Match: *`. Never `open(key, "wb")`: leaving such a block by an
exception publishes what was written so far. A server says "exists" with 412, which s3fs raises as FileExistsError or, where the answer
names no condition, as OSError(EINVAL). A reply that was lost makes a retry meet its own object, so the caller compares.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from faceanon.archive.uri import Uri, check_name, join, parse
from faceanon.core.errors import AlreadyExists, SourceUnreadable, StoreError, StoreUnavailable

_PAUSES_S = (0.3, 1.5, 4.0)  # between tries, on top of botocore's own
_PASSING = {errno.EBUSY, errno.EIO, getattr(errno, "EREMOTEIO", errno.EIO), errno.ETIMEDOUT, errno.ECONNRESET, errno.ECONNREFUSED, errno.EPIPE, errno.ENOSPC}
_PARTS = 2  # parts of 50 MB in memory at a time
_BATCH = 1000  # most keys that one DeleteObjects takes

T = TypeVar("T")


def filesystem() -> Any:
    """s3fs with the environment's endpoint and credentials, without a cache of listings: other writers must be seen."""
    import s3fs

    fs = s3fs.S3FileSystem(
        endpoint_url=os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None,
        use_listings_cache=False,
        config_kwargs={"retries": {"max_attempts": 3, "mode": "standard"}, "connect_timeout": 10, "read_timeout": 60},
    )
    fs.retries = 2  # s3fs tries five times on top of botocore's three; `patiently` does that with longer pauses
    return fs


@dataclass(unsafe_hash=True)  # the port's root is a plain attribute
class S3Store:
    root: str

    def uri(self, name: str) -> str:
        return join(self.root, name)

    def read(self, name: str) -> bytes:
        return patiently(lambda fs: fs.cat_file(self._key(name)), self.uri(name))

    def exists(self, name: str) -> bool:
        try:
            return patiently(lambda fs: fs.info(self._key(name)), self.uri(name))["type"] == "file"
        except FileNotFoundError:
            return False

    def create(self, name: str, data: bytes) -> None:
        self._put(name, lambda fs: fs.pipe_file(self._key(name), data, mode="create"))

    def replace(self, name: str, data: bytes) -> None:
        self._put(name, lambda fs: fs.pipe_file(self._key(name), data))

    def upload(self, path: Path, name: str) -> None:
        size = path.stat().st_size
        self._put(name, lambda fs: fs.put_file(str(path), self._key(name), mode="create", max_concurrency=_PARTS))
        stored = patiently(lambda fs: fs.info(self._key(name)), self.uri(name))["size"]
        if stored != size:
            raise StoreError(f"the store holds {stored} bytes of {size}", source=self.uri(name))

    def download(self, name: str, path: Path) -> None:
        size = patiently(lambda fs: fs.info(self._key(name)), self.uri(name))["size"]
        patiently(lambda fs: fs.get_file(self._key(name), str(path), max_concurrency=_PARTS), self.uri(name))
        if path.stat().st_size != size:
            raise StoreUnavailable(f"{path.stat().st_size} bytes came of {size}", source=self.uri(name))

    def link(self, name: str, view: str) -> None:
        patiently(lambda fs: fs.cp_file(self._key(name), self._key(view)), self.uri(name))

    def shows(self, name: str, view: str) -> bool:
        try:
            one, other = (patiently(lambda fs, n=n: fs.info(self._key(n)), self.uri(n)) for n in (name, view))
        except FileNotFoundError:
            return False
        parted = "-" in one.get("ETag", "-") + other.get("ETag", "-")  # an ETag of parts is no digest of the content
        return one["size"] == other["size"] and (parted or one["ETag"] == other["ETag"])

    def list(self, prefix: str) -> list[str]:
        top = self._key(prefix.rstrip("/")) if prefix else parse(self.root).object_path
        skip = len(parse(self.root).object_path) + 1
        return [path[skip:] for path in list_objects(top, self.root)]

    def delete(self, name: str) -> None:
        with suppress(FileNotFoundError):
            patiently(lambda fs: fs.rm_file(self._key(name)), self.uri(name))

    def delete_tree(self, prefix: str) -> None:
        bucket = parse(self.root).bucket
        keys = [{"Key": self._key(name)[len(bucket) + 1 :]} for name in self.list(prefix)]
        for start in range(0, len(keys), _BATCH):
            self._delete_batch(bucket, keys[start : start + _BATCH])

    def tidy(self, older_than_s: float) -> int:
        """Abort uploads below the root that killed writers left, a thousand at a time; younger ones may be in the making. How many went."""
        top, limit = parse(self.root), time.time() - older_than_s
        pending = patiently(lambda fs: fs.list_multipart_uploads(top.bucket), self.root)
        below = f"{top.path}/" if top.path else ""
        old = [(u["Key"], u["UploadId"]) for u in pending if u["Key"].startswith(below) and u["Initiated"].timestamp() < limit]
        for key, upload in old:
            self._abort(top.bucket, key, upload)
        return len(old)

    def _abort(self, bucket: str, key: str, upload: str) -> None:
        with suppress(FileNotFoundError):  # another one was quicker
            patiently(lambda fs: fs.abort_mpu(bucket, key, upload), self.root)

    def _delete_batch(self, bucket: str, keys: Sequence[dict[str, str]]) -> None:
        answer = patiently(lambda fs: fs.call_s3("delete_objects", Bucket=bucket, Delete={"Objects": keys, "Quiet": True}), self.root)
        for refused in answer.get("Errors", []):
            raise StoreError(f"not deleted: {refused.get('Message', refused.get('Code', ''))}", source=f"s3://{bucket}/{refused.get('Key', '')}")

    def _key(self, name: str) -> str:
        return f"{parse(self.root).object_path}/{check_name(name)}"

    def _put(self, name: str, action: Callable[[Any], object]) -> None:
        try:
            patiently(action, self.uri(name))
        except FileNotFoundError as error:
            raise StoreError("no such bucket", source=self.root) from error


def list_objects(top: str, source: str) -> list[str]:
    """`bucket/key` of every object below `bucket/prefix`, sorted; a prefix ends at a slash, and folder markers are left out."""
    try:
        found = patiently(lambda fs: fs.find(top), source)
    except FileNotFoundError:
        return []
    return sorted(path for path in found if path.startswith(top + "/") and not path.endswith("/"))


def object_version(source: Uri) -> tuple[int, str]:
    """(size, etag) of an object. Raises SourceUnreadable."""
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
    return int(facts["size"]), facts["ETag"].strip('"')


def patiently(action: Callable[[Any], T], source: str) -> T:
    """`action(filesystem)`, again after passing faults. Raises FileNotFoundError, AlreadyExists, StoreError or, at last, StoreUnavailable."""
    client_errors: tuple[type[Exception], ...] = (OSError, *_client_errors())
    for pause_s in (*_PAUSES_S, None):
        try:
            return action(filesystem())
        except FileNotFoundError:
            raise
        except client_errors as error:
            fault = translate(error, source)
            if pause_s is None or not isinstance(fault, StoreUnavailable):
                raise fault from error
            time.sleep(pause_s)
    raise AssertionError("the last try returns or raises")


def translate(error: Exception, source: str) -> StoreError:
    """What an error of s3fs or botocore means for the caller."""
    code, status = _answer(error)
    if isinstance(error, FileExistsError) or status == 412:
        return AlreadyExists("exists", source=source)
    if status == 409 or (status or 0) >= 500 or isinstance(error, (TimeoutError, ConnectionError)):
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
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

    return BotoCoreError, ClientError, HTTPClientError
