"""Retention on a real S3 server: versioned and locked buckets, every kind of blocker, and runs that are killed with -9 wherever they are."""

from __future__ import annotations

import itertools
import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
import retention_child
from retention_cases import Archive, bucket, ledger_cases, policy

from faceanon.archive import uri as uris
from faceanon.archive.objects import filesystem
from faceanon.core.records import Correction
from faceanon.flow.proof import prove
from faceanon.ledger import corrections
from faceanon.ledger.commit import commit_quarantined
from faceanon.ledger.events import EVENTS, events
from faceanon.ledger.evidence import checkpoint
from faceanon.ledger.evidence_note import Signer
from faceanon.retention import holds
from faceanon.retention.findings import Finding
from faceanon.retention.standing import State

pytestmark = pytest.mark.store
_numbers = itertools.count()

TOML = """
[policy.cam]
collection = "cam"
basis = "GDPR article 6(1)(f)"
min_days = 30
max_days = 90
grace_days = 0
action = "delete"
[policy.court]
tag = "court"
basis = "a lawsuit"
action = "keep"
"""
# kind: what is done to an original; of the good ones nothing
KEPT = (
    "no output", "wrong output", "quarantined since", "no audit", "failed audit", "unknown audit", "own auditor", "audit of other bytes", "correction not made",
    "held", "kept by policy", "no policy", "not due", "legal hold", "compliance lock",
)  # fmt: skip
GONE = ("good", "overwritten")


@pytest.fixture
def new_bucket(s3_server, monkeypatch):
    """Makes buckets of the test's own."""
    for name, value in s3_server.items():
        monkeypatch.setenv(name, value)
    return lambda **words: bucket(f"retention-{os.getpid()}-{next(_numbers)}", **words)


def versions_of(place: str) -> list[tuple[str, str]]:
    """(key, version id) of everything in a bucket, delete markers as well."""
    found, marks = [], {}
    while True:
        page = filesystem().call_s3("list_object_versions", Bucket=uris.parse(place).bucket, **marks)
        found += [(v["Key"], v["VersionId"]) for v in page.get("Versions", [])] + [(v["Key"], f"marker {v['VersionId']}") for v in page.get("DeleteMarkers", [])]
        if not page.get("IsTruncated"):
            return sorted(found)
        marks = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page.get("NextVersionIdMarker", "")}


def spoil(archive: Archive, name: str, kind: str) -> None:
    """An original of a kind, with all that belongs to it."""
    words = {
        "no output": {"output": None}, "wrong output": {"output": b"something else"}, "no audit": {"verdict": ""}, "failed audit": {"verdict": "fail"},
        "unknown audit": {"verdict": "unknown"}, "own auditor": {"verdict": ""}, "audit of other bytes": {"verdict": ""}, "held": {"tags": ("case-7",)},
        "kept by policy": {"tags": ("court",)}, "no policy": {"collection": "elsewhere"}, "not due": {"days": 10},
    }.get(kind, {})  # fmt: skip
    record = archive.add(name, **words)
    place = uris.parse(archive.uri(name))
    if kind == "own auditor":
        archive.audit(record, auditor="centerface")
    elif kind == "audit of other bytes":
        archive.audit({**record, "output": {**record["output"], "sha256": "f" * 64}})
    elif kind == "quarantined since":
        source = {"source": record["source"], "video_id": record["video_id"], "collection": "cam", "settings_digest": "0" * 64}
        commit_quarantined(archive.out, {**ledger_cases.refused(name), **source})
    elif kind == "correction not made":
        corrections.add(archive.out, Correction(record["video_id"], 0, 5, (1, 1, 9, 9)), name=name, reviewer="ann")
    elif kind == "overwritten":
        archive.put(name, b"another film under the same name")
    elif kind == "legal hold":
        filesystem().call_s3("put_object_legal_hold", Bucket=place.bucket, Key=place.path, LegalHold={"Status": "ON"})
    elif kind == "compliance lock":
        until = {"Mode": "COMPLIANCE", "RetainUntilDate": datetime.now(UTC) + timedelta(hours=1)}
        filesystem().call_s3("put_object_retention", Bucket=place.bucket, Key=place.path, Retention=until)


@dataclass
class Seeded:
    """keep, go: (key, version id) of what must stay and what must go, by bucket."""

    archives: list[Archive]
    keep: dict[str, set[tuple[str, str]]]
    go: dict[str, set[tuple[str, str]]]

    def there(self) -> dict[str, set[tuple[str, str]]]:
        return {a.sources: set(versions_of(a.sources)) for a in self.archives}

    def events(self) -> dict[tuple[str, str], dict[str, dict]]:
        """By (address, version): the phases that were written down."""
        found: dict[tuple[str, str], dict[str, dict]] = {}
        for row in events(self.archives[0].out, "retention_events"):
            if row["phase"] != "run":
                found.setdefault((row["uri"], row["version_id"]), {})[row["phase"]] = row
        return found


def seeded(out: str, versioned: str, locked: str, count: int) -> Seeded:
    """`count` originals over two buckets: of each kind of blocker the same share, together a third; the others are good."""
    archives = [Archive(versioned, out), Archive(locked, out)]
    blockers = max(1, count // (3 * len(KEPT)))
    kinds = [kind for kind in (*KEPT, "overwritten") for _ in range(blockers)]
    kinds += ["good"] * (count - len(kinds))
    placed = [(archives[1 if "lock" in kind or "legal" in kind else n % 2], f"{n % 7}/{n:05d}.mp4", kind) for n, kind in enumerate(kinds)]
    holds.place(archives[0].out, "tag:case-7", case_ref="7", by="legal", now=datetime.now(UTC))
    with ThreadPoolExecutor(8) as seeders:
        list(seeders.map(lambda one: spoil(*one), placed))
    by_key = {(archive.sources, name): kind for archive, name, kind in placed}
    keep, go = {a.sources: set() for a in archives}, {a.sources: set() for a in archives}
    for archive in archives:
        for key, some in itertools.groupby(versions_of(archive.sources), key=lambda v: v[0]):
            versions = list(some)
            kind = by_key[archive.sources, key]
            if kind == "overwritten":
                newest = filesystem().call_s3("head_object", Bucket=uris.parse(archive.sources).bucket, Key=key)["VersionId"]
                keep[archive.sources].add((key, newest))
                versions = [v for v in versions if v[1] != newest]
            (keep if kind in KEPT else go)[archive.sources].update(versions)
    return Seeded(archives, keep, go)


def survives_kills(new_bucket, s3_server, tmp_path, count: int, kills: int, seed: int) -> None:
    """Runs that are killed after random numbers of events, then one that comes to its end, then another."""
    versioned, locked, out = new_bucket(versions=True), new_bucket(locks=True), f"{new_bucket()}/out"
    made = seeded(out, versioned, locked, count)
    (tmp_path / "policy.toml").write_text(TOML)
    arguments = ["retention", "run", out, "--policy", str(tmp_path / "policy.toml"), "--execute"]
    context, rng, store = retention_child.context(), random.Random(seed), made.archives[0].out
    environment = {**s3_server, "XDG_CONFIG_HOME": os.environ["XDG_CONFIG_HOME"]}

    def started():
        child = context.Process(target=retention_child.run, args=(environment, arguments))
        child.start()
        return child

    killed = 0
    share = 3 * sum(map(len, made.go.values())) // (kills + 1)
    for _ in range(kills):
        child = started()
        before = now = len(store.list(f"{EVENTS}retention_events/"))
        wanted = before + rng.randint(1, max(2, share))
        while child.is_alive() and now < wanted:
            time.sleep(0.01 + now / 2000)  # a listing costs the server more than what it is asked about
            now = len(store.list(f"{EVENTS}retention_events/"))
        time.sleep(rng.random() / 50)
        killed += child.is_alive()
        child.kill()
        child.join()
        told, there = made.events(), made.there()
        for place, all_that_go in made.go.items():
            assert made.keep[place] <= there[place], "something went that must stay"
            for key, version in all_that_go - there[place]:
                assert {"intent", "verified"} <= told[f"{place}/{key}", version].keys(), "something went without being written down first"
    codes = []
    for _ in range(2):
        child = started()
        child.join()
        codes.append((child.exitcode, made.there(), {key: sorted(phases) for key, phases in made.events().items()}))
    told = made.events()

    assert killed == kills, "the trap is set: every run was killed while it worked"
    assert [code for code, _, _ in codes] == [0, 0]
    assert codes[0] == codes[1], "a further run changed something"
    assert codes[1][1] == made.keep, "what must go is there, or what must stay is not, or a delete marker was left"
    for place, all_that_go in made.go.items():
        for key, version in all_that_go:
            phases = told[f"{place}/{key}", version]
            assert phases.keys() >= {"intent", "verified", "deleted"}
            assert phases["intent"]["at"] <= phases["verified"]["at"] <= phases["deleted"]["at"]
    assert not [key for key, phases in told.items() if "deleted" in phases and key not in {(f"{p}/{k}", v) for p, some in made.go.items() for k, v in some}]
    checkpoint(store, Signer.from_seed(bytes(32)))
    assert prove(store, outputs=False).problems == ()


@pytest.mark.timeout(200)
def test_killed_runs_lose_nothing_and_delete_nothing_wrong(new_bucket, s3_server, tmp_path):
    """60 originals, every kind of blocker, three kills: no wrong deletion, none without intent, evidence for each, a further run changes nothing."""
    survives_kills(new_bucket, s3_server, tmp_path, 60, 3, seed=1)


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_two_thousand_originals_and_ten_kills(new_bucket, s3_server, tmp_path):
    """The same at the size of a real night."""
    survives_kills(new_bucket, s3_server, tmp_path, 2000, 10, seed=2)


def one(found: dict[str, Finding]) -> Finding:
    (only,) = found.values()
    return only


def test_locks_of_the_store_keep(new_bucket):
    """A legal hold and a lock until a day; a run says which, and deletes once it is lifted."""
    archive = Archive(new_bucket(locks=True), f"{new_bucket()}/out")
    spoil(archive, "a.mp4", "legal hold")
    locked = one(archive.retain())
    place = uris.parse(archive.uri("a.mp4"))
    filesystem().call_s3("put_object_legal_hold", Bucket=place.bucket, Key=place.path, LegalHold={"Status": "OFF"})
    free = one(archive.retain())

    assert (locked.state, locked.gate, locked.reason) == (State.BLOCKED, "store lock", "legal hold")
    assert (free.state, versions_of(archive.sources)) == (State.DELETED, [])


def test_every_version_of_published_bytes_goes(new_bucket):
    """The same bytes twice are two versions, each with its own story; a marker that somebody else's deletion left goes with the last."""
    archive = Archive(new_bucket(versions=True), f"{new_bucket()}/out")
    archive.add("a.mp4")
    archive.put("a.mp4", archive.read("a.mp4"))
    place = uris.parse(archive.uri("a.mp4"))
    filesystem().call_s3("delete_object", Bucket=place.bucket, Key=place.path)
    before = versions_of(archive.sources)
    archive.retain()

    assert sorted(v.split()[0] == "marker" for _, v in before) == [False, False, True]
    assert versions_of(archive.sources) == []
    assert [phase for _, phase, _ in archive.told()].count("deleted") == 2


def test_cold_originals_move_within_the_store(new_bucket):
    """Under their own address; the copy holds what the original held."""
    archive, cold = Archive(new_bucket(versions=True), f"{new_bucket()}/out"), new_bucket()
    archive.add("cam/a.mp4")
    data = archive.read("cam/a.mp4")
    found = one(archive.retain(policy(action="cold", cold=f"{cold}/kept")))
    (key,) = [key for key, _ in versions_of(cold)]

    assert (found.state, versions_of(archive.sources)) == (State.MOVED, [])
    assert key.startswith(f"kept/{uris.parse(archive.sources).bucket}/cam/a-")
    assert filesystem().cat_file(f"{uris.parse(cold).bucket}/{key}") == data


def test_an_unversioned_bucket(new_bucket):
    """By name, while it shows the very bytes; what was put there since stays."""
    archive = Archive(new_bucket(), f"{new_bucket()}/out")
    archive.add("a.mp4")
    archive.add("b.mp4")
    archive.put("b.mp4", b"another film")
    found = archive.retain()

    assert (found["a.mp4"].state, found["b.mp4"].state) == (State.DELETED, State.UNKNOWN)
    assert [key for key, _ in versions_of(archive.sources)] == ["b.mp4"]


def test_a_store_that_does_not_answer_is_a_fault_of_its_own(new_bucket):
    """Originals in a bucket that is gone are faults, not missing ones; those elsewhere go on."""
    out = f"{new_bucket()}/out"
    here, gone = Archive(new_bucket(versions=True), out), Archive(new_bucket(), out)
    here.add("a.mp4")
    gone.add("b.mp4")
    filesystem().rm(uris.parse(gone.sources).bucket, recursive=True)
    found = here.retain()

    assert found["a.mp4"].state is State.DELETED
    assert (found["b.mp4"].state, "no such bucket" in found["b.mp4"].reason) == (State.FAULT, True)
