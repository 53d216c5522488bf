"""Shards: disjoint, complete, the same everywhere."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from faceanon.archive import shards
from faceanon.archive.sources import Resolved, resolve
from faceanon.core.errors import UsageError
from faceanon.core.records import Quarantined, SourceItem
from faceanon.core.settings import Settings

ITEMS = tuple(SourceItem(f"/in/cam{n % 7}/{n}.mp4", f"cam{n % 7}/{n}.mp4", f"cam{n % 7}", ("a", "b") if n % 2 else ()) for n in range(500))
BAD = tuple(Quarantined(SourceItem(f"m.csv:{n}", f"m.csv:{n}"), "", "manifest", "no uri") for n in range(9))


@pytest.mark.parametrize("scope", ["video", "collection"])
def test_shards_are_disjoint_and_complete(scope):
    """Every item and every bad line is in exactly one of the shards."""
    parts = [shards.own(Resolved(ITEMS, BAD), shards.Shard(k, 4), scope) for k in (1, 2, 3, 4)]

    assert sorted(item.name for part in parts for item in part.items) == sorted(item.name for item in ITEMS)
    assert sorted(line.item.name for part in parts for line in part.rejected) == sorted(line.item.name for line in BAD)


def test_a_shard_follows_from_the_name_alone():
    """Whatever else is asked for, in whatever order: an item stays where it is; shards are about even."""
    whole = shards.own(Resolved(ITEMS, ()), shards.Shard(2, 4), "video").items
    some = shards.own(Resolved(ITEMS[400:3:-7], ()), shards.Shard(2, 4), "video").items

    assert set(some) <= set(whole)
    assert 90 < len(whole) < 160
    assert shards.number_of(ITEMS[0], "video", 1000) == 18  # written down: machines and versions must agree


def test_a_collection_stays_together():
    """With scope collection no collection is in two shards."""
    homes = {(item.collection, shards.number_of(item, "collection", 5)) for item in ITEMS}

    assert len(homes) == 7


def test_the_archive_scope_is_refused():
    """People of the whole archive cannot be told apart in jobs of their own; the message says what to do."""
    with pytest.raises(UsageError, match="scope collection"):
        shards.own(Resolved(ITEMS, ()), shards.Shard(1, 2), "archive")


@pytest.mark.parametrize("text", ["0/4", "5/4", "1/0", "1", "a/b", "1/4/2", "-1/4"])
def test_bad_shards_are_wrong_usage(text):
    """K/N with K from 1 to N, and nothing else."""
    with pytest.raises(UsageError, match="--shard"):
        shards.parse(text)


def test_written_shards_are_manifests(tmp_path):
    """Each file gives back its items with collection and tags; together they are the archive; a second writing is refused."""
    written = shards.write(ITEMS, 4, "video", tmp_path / "jobs")

    found = [resolve([str(path)], Settings()).items for path, _ in written]
    assert [len(part) for part in found] == [rows for _, rows in written]
    assert sorted((i for part in found for i in part), key=lambda i: i.name) == sorted(ITEMS, key=lambda i: i.name)
    assert set(found[1]) == set(shards.own(Resolved(ITEMS, ()), shards.Shard(2, 4), "video").items)
    assert pq.read_schema(written[0][0]).names == ["uri", "name", "collection", "tags"]
    with pytest.raises(UsageError, match="already"):
        shards.write(ITEMS, 4, "video", tmp_path / "jobs")
