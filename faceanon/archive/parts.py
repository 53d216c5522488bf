"""A large object of which only the byte ranges that are asked for come here, into a sparse file of its full size.

Every answer must be of the version that was planned: requests carry `If-Match`, and the version that an answer names is compared, so
that a server which ignores conditions cannot slip in another one. Ranges are widened to blocks, and neighbours become one request.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from faceanon.archive import objects
from faceanon.archive import uri as uris
from faceanon.archive.scratch import Scratch
from faceanon.core.errors import AlreadyExists, SourceChanged, SourceUnreadable, StoreError, StoreUnavailable
from faceanon.core.ids import digest
from faceanon.core.records import SourceVersion

Range = tuple[int, int]  # first byte, first byte after

_BLOCK_BYTES = 1 << 16
_GAP_BYTES = 1 << 19  # ranges that are no further apart are fetched as one
_GET_BYTES = 32 << 20  # most that one request asks for, and most that is in memory


class PartFile:
    """`path` has the object's size; `held` are the ranges whose bytes are in it, sorted and apart. The rest reads as zeros."""

    def __init__(self, uri: str, size: int, version: str, scratch: Scratch) -> None:
        self.source = uris.parse(uri)
        self.size, self.version = size, version
        self.path: Path = scratch.file(Path(self.source.name).suffix)
        self.held: tuple[Range, ...] = ()
        self._scratch = scratch
        with self.path.open("wb") as file:
            file.truncate(size)

    def fetch(self, wanted: Iterable[Range]) -> None:
        """Makes these ranges part of `held`. Raises SourceChanged, SourceUnreadable, LimitExceeded or StoreUnavailable."""
        ranges = joined([(start // _BLOCK_BYTES * _BLOCK_BYTES, min(self.size, -(-stop // _BLOCK_BYTES) * _BLOCK_BYTES)) for start, stop in wanted], _GAP_BYTES)
        missing = [gap for one in ranges for gap in _without(one, self.held)]
        self._scratch.check(sum(stop - start for start, stop in missing), source=str(self.source))
        with self.path.open("r+b") as file:
            for start, stop in missing:
                for at in range(start, stop, _GET_BYTES):
                    file.seek(at)
                    file.write(self._get(at, min(stop, at + _GET_BYTES)))
        self.held = tuple(joined([*self.held, *missing], 0))

    def held_bytes(self) -> int:
        return sum(stop - start for start, stop in self.held)

    def fingerprint(self, ranges: Iterable[Range]) -> str:
        """What stands for the content until it is read whole: size, version and the digest of these ranges."""
        total = hashlib.sha256()
        with self.path.open("rb") as file:
            for start, stop in ranges:
                file.seek(start)
                total.update(file.read(stop - start))
        return digest("parts", self.size, self.version, total.hexdigest())

    def as_version(self, fingerprint: str) -> SourceVersion:
        return SourceVersion(str(self.source), self.size, self.version, "", fingerprint)

    def _get(self, start: int, stop: int) -> bytes:
        name = str(self.source)
        try:
            data, version = objects.patiently(lambda fs: _ranged(fs, self.source, start, stop, self.version), name)
        except AlreadyExists as error:  # 412: the condition did not hold
            raise SourceChanged("differs from what was planned", source=name) from error
        except FileNotFoundError as error:
            raise SourceUnreadable("vanished while it was read", source=name) from error
        except StoreUnavailable:
            raise
        except StoreError as error:
            raise SourceUnreadable(f"may not be read: {error.reason}", source=name) from error
        if version != self.version:
            raise SourceChanged("differs from what was planned", source=name)
        if len(data) != stop - start:
            raise StoreUnavailable(f"{len(data)} bytes came of {stop - start}", source=name)
        return data


def joined(ranges: Sequence[Range], gap_bytes: int) -> list[Range]:
    """The same bytes, and gaps of at most `gap_bytes` between them, as sorted ranges that lie apart."""
    out: list[Range] = []
    for start, stop in sorted(ranges):
        if out and start <= out[-1][1] + gap_bytes:
            out[-1] = (out[-1][0], max(out[-1][1], stop))
        else:
            out.append((start, stop))
    return out


def _without(one: Range, held: Sequence[Range]) -> list[Range]:
    """What of `one` is not held."""
    at, gaps = one[0], []
    for start, stop in held:
        if stop > at and start < one[1]:
            if start > at:
                gaps.append((at, start))
            at = max(at, stop)
    return [*gaps, (at, one[1])] if at < one[1] else gaps


def _ranged(fs: Any, source: uris.Uri, start: int, stop: int, version: str) -> tuple[bytes, str]:
    """The bytes, and the version that the answer names."""
    from fsspec.asyn import sync

    async def read(answer: Any) -> bytes:
        async with answer["Body"] as body:
            return await body.read()

    answer = fs.call_s3("get_object", Bucket=source.bucket, Key=source.path, Range=f"bytes={start}-{stop - 1}", IfMatch=f'"{version}"')
    return sync(fs.loop, read, answer), answer["ETag"].strip('"')
