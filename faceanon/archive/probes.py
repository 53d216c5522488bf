"""The probes of `doctor`: each does one thing to a store and says what the store did. What they make lies below the folder they are given."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from faceanon.archive import uri as uris
from faceanon.archive.disk import LocalStore
from faceanon.archive.objects import S3Store, patiently
from faceanon.core.errors import AlreadyExists, StoreError, StoreUnavailable

Role = Literal["output", "work"]
State = Literal["ok", "note", "broken"]
AnyStore = LocalStore | S3Store

_SKEW_S = 60.0


@dataclass(frozen=True)
class Finding:
    """One probe. found: what the store did; means: what that says about a promise."""

    probe: str
    state: State
    found: str
    means: str


@dataclass(frozen=True)
class Effort:
    writers: int
    rounds: int
    upload_bytes: int
    is_short: bool = False


# ------------------------------------------------------------------------------------------------------- what every store must do


def _create_once(store: AnyStore, folder: str, role: Role, effort: Effort) -> Finding:
    for number in range(effort.rounds):
        name = f"{folder}/race-{number}"
        bodies = [f"writer {n} of {name}".encode() for n in range(effort.writers)]
        winners = _race(effort.writers, lambda n, name=name, bodies=bodies: store.create(name, bodies[n]))
        again = _race(1, lambda n, name=name: store.create(name, b"late"))
        if len(winners) + len(again) != 1:
            return Finding(*_ONCE, "broken", f"{len(winners) + len(again)} of {effort.writers + 1} writers of one name were told that they won", _TWICE)
        if store.read(name) != bodies[winners[0]]:
            return Finding(*_ONCE, "broken", "the object is not the winner's", _TWICE)
    return Finding(*_ONCE, "ok", f"{effort.writers} writers at once, {effort.rounds} times: one winner each", "each video is published by one record")


def _upload_once(store: AnyStore, folder: str, role: Role, effort: Effort) -> Finding:
    name, data = f"{folder}/file", os.urandom(effort.upload_bytes)
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "sent"
        path.write_bytes(data)
        winners = _race(3, lambda n: store.upload(path, name))
    if len(winners) != 1:
        return Finding("upload once", "broken", f"{len(winners)} of 3 uploads of one name succeeded", _TWICE)
    if store.read(name) != data:
        return Finding("upload once", "broken", "what is read is not what was sent", "files would be damaged")
    return Finding("upload once", "ok", f"3 uploads of {len(data)} bytes at once: one winner, its bytes are there", "a file is stored whole, once")


def _read_and_list(store: AnyStore, folder: str, role: Role, effort: Effort) -> Finding:
    for number in range(effort.rounds * 2):
        name = f"{folder}/seen/{number}"
        store.create(name, b"x")
        if not store.exists(name) or store.read(name) != b"x" or name not in store.list(folder):
            return Finding(*_SEEN, "broken", "an object that was written is not seen at once", "a run could miss what another one has published")
    return Finding(*_SEEN, "ok", f"{effort.rounds * 2} objects were read and listed right after they were written", "a run sees what was published before it")


def _replace(store: AnyStore, folder: str, role: Role, effort: Effort) -> Finding:
    name = f"{folder}/view"
    for number in range(effort.rounds * 2):
        store.replace(name, f"{number}".encode())
        if store.read(name) != f"{number}".encode():
            return Finding("replace", "broken", "an older content was read after a newer one was written", "videos/ could show an old video")
    return Finding("replace", "ok", f"{effort.rounds * 2} times the newest content was read", "videos/ shows what the records say")


def _delete(store: AnyStore, folder: str, role: Role, effort: Effort) -> Finding:
    name = f"{folder}/gone"
    store.create(name, b"x")
    store.delete(name)
    if store.exists(name) or name in store.list(folder):
        return Finding("delete", "broken", "a deleted object is still there", _KEEPS)
    return Finding("delete", "ok", "a deleted object is gone, from the listing too", "half-made work does not stay")


def _clock(store: AnyStore, folder: str, role: Role, effort: Effort) -> Finding:
    skew_s = store.clock_s() - time.time()
    state: State = "ok" if abs(skew_s) <= _SKEW_S else "note"
    return Finding("clock", state, f"{skew_s:+.0f} s against this machine", "ages are told by the store's clock; times in the ledger are this machine's")


# ------------------------------------------------------------------------------------------------------------ object stores only


def _create_once_in_parts(store: S3Store, folder: str, role: Role, effort: Effort) -> Finding:
    for number in range(effort.rounds):
        name = f"{folder}/parts-{number}"
        winners = _race(effort.writers, lambda n, name=name: _put_in_parts(store, name, f"writer {n}".encode()))
        if _race(1, lambda n, name=name: _put_in_parts(store, name, b"late")):
            return Finding(*_PARTS, "note", "a later upload in parts of a name that is taken is not refused", _NAMED)
        if len(winners) != 1:
            return Finding(*_PARTS, "note", f"{len(winners)} of {effort.writers} uploads in parts at once were told that they won, a later one is refused", _NAMED)
    return Finding(*_PARTS, "ok", f"{effort.writers} uploads in parts at once, {effort.rounds} times: one winner each", "large files are stored once, too")


def _checksum(store: S3Store, folder: str, role: Role, effort: Effort) -> Finding:
    bucket, key = _place(store, f"{folder}/checked")
    try:
        patiently(lambda fs: fs.call_s3("put_object", Bucket=bucket, Key=key, Body=b"sent", ContentMD5="AAAAAAAAAAAAAAAAAAAAAA=="), store.root)
    except StoreError:
        return Finding("checksum", "ok", "a body that does not fit its checksum is refused", "damage on the way is noticed by both sides")
    return Finding("checksum", "note", "a body that does not fit its checksum is taken", "damage on the way is noticed after each upload, which faceanon compares")


def _digests(store: S3Store, folder: str, role: Role, effort: Effort) -> Finding:
    store.create(f"{folder}/digest", b"sent")
    tag = store._info(f"{folder}/digest")["ETag"].strip('"')
    if tag == hashlib.md5(b"sent", usedforsecurity=False).hexdigest():
        return Finding("etag", "ok", "an ETag is the MD5 of the content", "an upload is proven by one question")
    return Finding("etag", "note", "an ETag is no digest of the content", "every upload is read back to prove it")


def _lost_answers(store: S3Store, folder: str, role: Role, effort: Effort) -> Finding:
    store.create(f"{folder}/mine", b"x")
    if store._written_by(f"{folder}/mine"):
        return Finding("lost answers", "ok", "metadata are kept", "a writer whose answer was lost finds out that it has won")
    return Finding("lost answers", "note", "metadata are not kept", "a writer whose answer was lost takes its own object for another's: work may be done once more")


def _versions(store: S3Store, folder: str, role: Role, effort: Effort) -> Finding:
    """By what stays after a delete; what the bucket says of itself is only added."""
    name = f"{folder}/versioned"
    store.create(name, b"x")
    store.delete(name)
    left = versions_of(store, name)
    says = _words(store, "get_bucket_versioning", lambda answer: answer.get("Status", ""))
    lock = _words(store, "get_object_lock_configuration", lambda answer: answer.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled", ""))
    told = "; ".join([f"versioning: {says or 'off'}", f"object lock: {lock or 'off'}"])
    if not left:
        return Finding("versions and locks", "ok", f"nothing is left of a deleted object ({told})", "work that is done leaves nothing")
    if role == "work":
        return Finding("versions and locks", "broken", f"a deleted object stays as an old version ({told})", _KEEPS)
    return Finding("versions and locks", "note", f"a deleted object stays as an old version ({told})", "what views showed before is kept; --work belongs elsewhere")


_ONCE, _SEEN, _PARTS = ("create once",), ("read and list",), ("create once, in parts",)
_TWICE = "two runs, or two attempts, could both publish one video"
_NAMED = "large files are named by their content and shown by a record of one part: a second one is the same"
_KEEPS = "sealed embeddings would outlive the video they belong to; give --work a place that forgets"
COMMON = (_create_once, _upload_once, _read_and_list, _replace, _delete, _clock)
OF_OBJECTS = (_create_once_in_parts, _checksum, _digests, _lost_answers, _versions)
DECISIVE = frozenset({_create_once, _upload_once, _read_and_list, _delete, _versions})  # what a promise can break on


def _race(count: int, action: Callable[[int], object]) -> list[int]:
    """Who won of `count` that start together. A store's other errors are raised."""
    gate, winners, errors = threading.Barrier(count), [], []

    def run(number: int) -> None:
        gate.wait()
        try:
            action(number)
            winners.append(number)
        except AlreadyExists:
            return
        except (StoreError, FileNotFoundError) as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return winners


def _put_in_parts(store: S3Store, name: str, data: bytes) -> None:
    """As large files go, in one small part."""
    bucket, key = _place(store, name)

    def put(fs: Any) -> None:
        upload = fs.call_s3("create_multipart_upload", Bucket=bucket, Key=key)["UploadId"]
        try:
            tag = fs.call_s3("upload_part", Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=data)["ETag"]
            parts = {"Parts": [{"PartNumber": 1, "ETag": tag}]}
            fs.call_s3("complete_multipart_upload", Bucket=bucket, Key=key, UploadId=upload, MultipartUpload=parts, IfNoneMatch="*")
        except OSError:
            with suppress(OSError):
                fs.abort_mpu(bucket, key, upload)
            raise

    patiently(put, store.uri(name))


def _place(store: S3Store, name: str) -> tuple[str, str]:
    top = uris.parse(store.root)
    return top.bucket, f"{top.path}/{name}".lstrip("/")


def versions_of(store: S3Store, prefix: str) -> list[dict[str, str]]:
    """Key and VersionId of everything that is left below a prefix, old versions and delete markers too; empty where the store has no versions."""
    bucket, key = _place(store, prefix)
    try:
        answer = patiently(lambda fs: fs.call_s3("list_object_versions", Bucket=bucket, Prefix=key), store.root)
    except StoreUnavailable:
        raise
    except StoreError:
        return []
    return [{"Key": v["Key"], "VersionId": v["VersionId"]} for kind in ("Versions", "DeleteMarkers") for v in answer.get(kind, [])]


def _words(store: S3Store, question: str, told: Callable[[dict], str]) -> str:
    bucket = uris.parse(store.root).bucket
    try:
        return told(patiently(lambda fs: fs.call_s3(question, Bucket=bucket), store.root))
    except StoreUnavailable:
        raise
    except (StoreError, FileNotFoundError):  # no such configuration, or the server does not know the question
        return ""
