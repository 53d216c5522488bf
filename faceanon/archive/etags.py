"""Digests that prove an upload."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

_CHUNK_BYTES = 8 << 20


def etag_of(path: Path, part_bytes: int) -> str:
    """The ETag that S3 gives a file stored without encryption: MD5, or where it went in parts the MD5 of the parts' MD5s and their number."""
    size = path.stat().st_size
    step = part_bytes if size >= 2 * part_bytes else max(1, size)
    with path.open("rb") as file:
        parts = [hashlib.md5(file.read(step), usedforsecurity=False).digest() for _ in range(max(1, -(-size // step)))]
    return parts[0].hex() if len(parts) == 1 else f"{hashlib.md5(b''.join(parts), usedforsecurity=False).hexdigest()}-{len(parts)}"


def digest_of(file: Any) -> str:
    """SHA-256 of what is left of an open file, which is closed."""
    total = hashlib.sha256()
    with file:
        while piece := file.read(_CHUNK_BYTES):
            total.update(piece)
    return total.hexdigest()
