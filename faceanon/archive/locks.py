"""Objects that the store itself refuses to delete or change until a day: S3 Object Lock in compliance mode, for a bucket that was made with it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from faceanon.archive import uri as uris
from faceanon.archive.disk import LocalStore
from faceanon.archive.objects import S3Store, patiently
from faceanon.core.errors import UsageError


def put_locked(store: LocalStore | S3Store, name: str, data: bytes, days: int) -> None:
    """`data` under `name`, locked for `days` from now, by the store's clock. Putting it again is another version and harms nothing. Raises StoreError."""
    if isinstance(store, LocalStore):
        raise UsageError("a folder cannot lock what it holds; give an s3:// prefix in a bucket with Object Lock", source=store.root)
    top = uris.parse(store.root)
    words: dict[str, Any] = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": datetime.fromtimestamp(store.clock_s(), UTC) + timedelta(days)}
    key = f"{top.path}/{uris.check_name(name)}".lstrip("/")
    patiently(lambda fs: fs.call_s3("put_object", Bucket=top.bucket, Key=key, Body=data, ChecksumAlgorithm="SHA256", **words), store.uri(name))
