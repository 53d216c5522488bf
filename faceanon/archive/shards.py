"""One archive as many independent jobs on one OUT: which items are whose, and manifests that say so.

An item's shard follows from its name (or its collection, where a collection's people must be told apart together) by a hash, so that it is
the same on every machine and whatever else is asked for. What a manifest says does not matter: K/N of the same SRCs are disjoint and complete.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from faceanon.archive.sources import Resolved
from faceanon.core.errors import UsageError
from faceanon.core.ids import digest
from faceanon.core.records import SourceItem

_GROUP_ROWS = 16384  # of a shard, read at a time


@dataclass(frozen=True)
class Shard:
    """`number` of `of`, from 1."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


def parse(text: str) -> Shard:
    """`K/N` with 1 <= K <= N. Raises UsageError."""
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    shard = Shard(int(match[1]), int(match[2])) if match else Shard(0, 0)
    if not 1 <= shard.number <= shard.of:
        raise UsageError(f"--shard must be K/N with K from 1 to N: got {text!r}")
    return shard


def check_scope(scope: str) -> None:
    """Raises UsageError where jobs of their own cannot tell people apart as asked."""
    if scope == "archive":
        raise UsageError("scope archive cannot be sharded: who is who is decided over all videos together; use scope collection, or one job")


def number_of(item: SourceItem, scope: str, of: int) -> int:
    """The shard of an item, from 1."""
    return int(digest("shard", item.collection if scope == "collection" else item.name)[:15], 16) % of + 1


def own(resolved: Resolved, shard: Shard, scope: str) -> Resolved:
    """What one job of N takes on. Lines that make no sense are shared out, too, so that each is refused once."""
    check_scope(scope)
    mine = tuple(item for item in resolved.items if number_of(item, scope, shard.of) == shard.number)
    rejected = tuple(line for line in resolved.rejected if number_of(line.item, "video", shard.of) == shard.number)
    return replace(resolved, items=mine, rejected=rejected)


def write(items: Sequence[SourceItem], of: int, scope: str, folder: Path) -> list[tuple[Path, int]]:
    """A parquet manifest below `folder` for each shard that is not empty, and its number of rows. Raises UsageError where shards lie there already."""
    check_scope(scope)
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.glob("shard-*.parquet")):
        raise UsageError("holds shards already; give another folder", source=str(folder))
    numbers = np.fromiter((number_of(item, scope, of) for item in items), np.int32, len(items))
    order = np.argsort(numbers, kind="stable")
    present, starts = np.unique(numbers[order], return_index=True)
    return [_write(folder, int(number), of, [items[i] for i in places]) for number, places in zip(present, np.split(order, starts[1:]), strict=True)]


def _write(folder: Path, number: int, of: int, items: Sequence[SourceItem]) -> tuple[Path, int]:
    import pyarrow as pa
    from pyarrow import parquet

    columns = {"uri": pa.string(), "name": pa.string(), "collection": pa.string(), "tags": pa.list_(pa.string())}
    table = pa.table({name: pa.array([getattr(item, name) for item in items], kind) for name, kind in columns.items()})
    path = folder / f"shard-{number:05d}-of-{of:05d}.parquet"
    parquet.write_table(table, path, compression="zstd", row_group_size=_GROUP_ROWS)
    return path, len(items)
