"""The ledger on a real object store: the same promises as on disk."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from datetime import timedelta

import ledger_cases as cases
import pytest

from faceanon.archive.objects import filesystem
from faceanon.archive.store import open_store
from faceanon.core.errors import StoreError, StoreUnavailable
from faceanon.flow.evidence import Notary
from faceanon.flow.proof import prove
from faceanon.ledger import boxes
from faceanon.ledger.commit import commit_published, commit_quarantined, now
from faceanon.ledger.evidence import append
from faceanon.ledger.evidence_note import Signer
from faceanon.ledger.fold import FoldReport, fold
from faceanon.ledger.known import known
from faceanon.ledger.query import query
from faceanon.ledger.upkeep import compact, expire

pytestmark = pytest.mark.store


def test_commit_fold_query(s3_root):
    """Records, tables and answers live in a bucket; a second fold finds nothing new."""
    store = open_store(s3_root)
    made = [commit_published(store, cases.published()), commit_published(store, cases.published()), commit_quarantined(store, cases.refused())]
    commit_published(store, cases.published(settings=cases.Settings().with_values(render__engine="blur")))
    fold(s3_root, store)

    assert made == [True, False, True]
    assert known(store).current["a.mp4"].out_uri.startswith(f"{s3_root}/objects/")
    states = query(s3_root, "SELECT state, count(*) AS n FROM outputs WHERE name = 'a.mp4' GROUP BY state ORDER BY state").to_pylist()
    assert states == [{"state": "current", "n": 1}, {"state": "superseded", "n": 1}]
    assert query(s3_root, "SELECT name, state FROM videos ORDER BY name").column("state").to_pylist() == ["published", "quarantined"]
    assert fold(s3_root, store) == FoldReport()


def test_two_processes_fold_one_bucket(s3_root):
    """Two folders at once on an object store double nothing and lose nothing."""
    store = open_store(s3_root)
    for number in range(4):
        commit_published(store, cases.published(f"{number}.mp4"))
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    folders = [context.Process(target=_fold_at, args=(s3_root, start, dict(os.environ))) for _ in range(2)]
    for folder in folders:
        folder.start()
    for folder in folders:
        folder.join(100)

    assert [f.exitcode for f in folders] == [0, 0]
    counts = query(s3_root, "SELECT (SELECT count(*) FROM outputs) AS outputs, (SELECT count(*) FROM tracks) AS tracks, (SELECT count(*) FROM videos) AS videos")
    assert counts.to_pylist() == [{"outputs": 4, "tracks": 12, "videos": 4}]
    Notary(Signer.from_seed(bytes(32)), None, 0).seal(store)
    assert prove(store, outputs=False).problems == ()


def _fold_at(root: str, start, environment: dict[str, str]) -> None:
    os.environ.update(environment)
    start.wait(60)
    fold(root, open_store(root))


def test_evidence_in_a_bucket(s3_root):
    """Signed, mirrored and verified; tables that were compacted and boxes that expired are no alarm, a swapped object is one."""
    store, mirror = open_store(f"{s3_root}/out"), open_store(f"{s3_root}/mirror")
    notary = Notary(Signer.from_seed(bytes(32)), mirror, 0)
    for name in ("a.mp4", "b.mp4"):
        record = cases.published(name)
        data = name.encode()
        record["output"]["sha256"] = hashlib.sha256(data).hexdigest()
        record["boxes"] = boxes.write(store, record["output_id"], cases.regions(record["video_id"]))
        store.create(record["output"]["object"], data)
        commit_published(store, record)
        store.link(record["output"]["object"], f"videos/{name}")
        fold(store.root, store)
    compact(store.root, store, 1)
    expire(store.root, store, 30, lambda: now() + timedelta(40))
    said = notary.seal(store)

    assert prove(store, mirror=mirror).problems == ()
    assert mirror.read(said["mirror"].removeprefix(mirror.root + "/")) == store.read(said["checkpoint"].removeprefix(store.root + "/"))
    store.link(record["output"]["object"], "videos/a.mp4")
    assert [(p.kind, p.name) for p in prove(store, mirror=mirror).problems] == [("output", "videos/a.mp4")]


def test_a_locked_mirror_gives_up_no_checkpoint(s3_server, monkeypatch):
    """In a bucket with Object Lock a checkpoint cannot be deleted before its day, not even by whoever wrote it; a bucket without one is refused."""
    for name, value in s3_server.items():
        monkeypatch.setenv(name, value)
    filesystem().call_s3("create_bucket", Bucket="locked-mirror", ObjectLockEnabledForBucket=True)
    filesystem().call_s3("create_bucket", Bucket="open-mirror")
    store, mirror = open_store("s3://locked-mirror/out"), open_store("s3://locked-mirror/mirror")
    append(store, [{"kind": "expire", "ingest_date": "2026-01-01"}])
    notary = Notary(Signer.from_seed(bytes(32)), mirror, 1)
    kept = notary.seal(store)["mirror"]
    assert notary.seal(store)["mirror"] == kept

    key = kept.removeprefix("s3://locked-mirror/")
    versions = [v["VersionId"] for v in filesystem().call_s3("list_object_versions", Bucket="locked-mirror", Prefix=key)["Versions"]]
    assert len(versions) == 1
    with pytest.raises(Exception, match=r"(?i)lock|denied|retention|worm"):
        filesystem().call_s3("delete_object", Bucket="locked-mirror", Key=key, VersionId=versions[0], BypassGovernanceRetention=True)
    with pytest.raises(StoreError):
        Notary(Signer.from_seed(bytes(32)), open_store("s3://open-mirror/mirror"), 1).seal(store)


def test_a_server_that_is_gone_is_a_passing_fault(s3_root, monkeypatch):
    """A query to a store that does not answer says so, as an error of the store that may pass."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")

    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        query(s3_root, "SELECT name FROM outputs")
