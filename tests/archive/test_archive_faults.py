"""A store that misbehaves: a real server behind a proxy that answers with errors, loses answers and cuts connections."""

from __future__ import annotations

import os
import random
import threading
import time

import pytest
from support.fault_proxy import LASTING

from faceanon.archive import objects
from faceanon.archive.fetch import fetch_source, open_source
from faceanon.archive.scratch import Scratch
from faceanon.archive.store import open_store, version_of
from faceanon.core.errors import AlreadyExists, SourceChanged, StoreUnavailable

pytestmark = pytest.mark.store
DATA = b"what was there" * 5000


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """The same tries with shorter pauses."""
    monkeypatch.setattr(objects, "_PAUSES_S", (0.01,) * 4)
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.01)


@pytest.fixture
def store(faulty_root, fault_proxy):
    """A store with the object `there`; nothing was seen yet."""
    store = open_store(faulty_root)
    store.create("there", DATA)
    store.create("tree/leaf", b"x")
    fault_proxy.clear()
    return store


def small(tmp_path):
    path = tmp_path / "small.bin"
    path.write_bytes(b"sent" * 30_000)
    return path


def create(store, tmp_path):
    store.create("new", DATA)
    return store.read("new") == DATA


def replace(store, tmp_path):
    store.replace("there", b"other")
    return store.read("there") == b"other"


def upload(store, tmp_path):
    store.upload(small(tmp_path), "new")
    return store.read("new") == small(tmp_path).read_bytes()


def download(store, tmp_path):
    store.download("there", tmp_path / "back")
    return (tmp_path / "back").read_bytes() == DATA


def link(store, tmp_path):
    store.link("there", "view")
    return store.read("view") == DATA


def delete(store, tmp_path):
    store.delete("there")
    return store.list("") == ["tree/leaf"]


def delete_tree(store, tmp_path):
    store.delete_tree("tree")
    return store.list("") == ["there"]


READS = {
    "read": lambda store, tmp_path: store.read("there") == DATA,
    "exists": lambda store, tmp_path: store.exists("there") and not store.exists("nothing"),
    "list": lambda store, tmp_path: store.list("") == ["there", "tree/leaf"],
    "shows": lambda store, tmp_path: store.shows("there", "there"),
    "download": download,
    "version": lambda store, tmp_path: version_of(store.uri("there"))[0] == len(DATA),
    "clock": lambda store, tmp_path: abs(store.clock_s() - time.time()) < 60,
}
WRITES = {"create": create, "replace": replace, "upload": upload, "link": link, "delete": delete, "delete_tree": delete_tree}
OFTEN = ("read", "list", "create", "upload", "delete")  # the others in make test-all
ANSWERS = ("503", "500", "409", "drop", "slow", "lost")


@pytest.mark.parametrize("name", [pytest.param(name, marks=[] if name in OFTEN else pytest.mark.long) for name in (*READS, *WRITES)])
def test_every_operation_survives_a_passing_fault(store, fault_proxy, tmp_path, name):
    """Whatever goes wrong once with the first request of an operation, the operation does what it says, and nobody notices."""
    operation = {**READS, **WRITES}[name]
    for fault in ANSWERS:
        for mess in ("new", "view"):
            store.delete(mess)
        store.replace("there", DATA)
        store.replace("tree/leaf", b"x")
        fault_proxy.clear()
        rule = fault_proxy.fault(fault, delay_s=0.3)

        assert operation(store, tmp_path), fault
        assert rule.used == 1


@pytest.mark.parametrize("name", [pytest.param(name, marks=[] if name in ("read", "create", "upload") else pytest.mark.long) for name in (*READS, *WRITES)])
def test_a_lasting_fault_ends_within_a_bound(store, fault_proxy, tmp_path, name):
    """A store that never answers as it should is StoreUnavailable, after a number of tries and not for ever; nothing half-made is visible."""
    operation = {**READS, **WRITES}[name]
    for fault in ("503", "drop"):
        fault_proxy.clear()
        fault_proxy.fault(fault, count=LASTING)
        began = time.monotonic()

        with pytest.raises(StoreUnavailable):
            operation(store, tmp_path)
        assert time.monotonic() - began < 30
        assert 4 <= fault_proxy.count() <= 100
    fault_proxy.clear()
    assert store.list("") == ["there", "tree/leaf"]
    assert store.read("there") == DATA


def test_uploads_that_are_cut_publish_nothing(store, fault_proxy, tmp_path):
    """Connections that end in the middle of a body, again and again: no object, and once they hold, the whole object."""
    fault_proxy.fault("cut upload", method="PUT", count=LASTING)
    for write in (create, upload, replace):
        with pytest.raises(StoreUnavailable):
            write(store, tmp_path)
    fault_proxy.clear()

    assert (store.list(""), store.read("there")) == (["there", "tree/leaf"], DATA)
    fault_proxy.fault("cut upload", method="PUT")
    assert create(store, tmp_path)


def test_downloads_that_are_cut_are_taken_up_or_refused(store, fault_proxy, tmp_path):
    """A cut download is taken up where it ended; one that is cut for ever is an error, never a short result."""
    for operation in (READS["read"], download):
        fault_proxy.clear()
        fault_proxy.fault("cut download", method="GET", key="/there")
        assert operation(store, tmp_path)
        fault_proxy.fault("cut download", method="GET", key="/there", count=LASTING)
        with pytest.raises(StoreUnavailable):
            operation(store, tmp_path)


@pytest.mark.parametrize("fault", ["lost", "412"])
def test_an_answer_that_was_lost_is_no_loss(store, fault_proxy, tmp_path, fault):
    """The retry meets its own object: it is read back, and the writer knows that it has won. Another writer's object stays a loss, with equal bytes too."""
    for write in (create, upload):
        store.delete("new")
        fault_proxy.fault(fault, method="PUT", key="/new")
        assert write(store, tmp_path)

    with pytest.raises(AlreadyExists):
        store.upload(small(tmp_path), "new")
    with pytest.raises(AlreadyExists):
        store.create("there", DATA)


@pytest.mark.parametrize(
    ("fault", "key"),
    [
        *[("503", "partNumber=2"), ("409", "uploadId="), ("503", "uploadId="), ("lost", "uploadId="), ("412", "uploadId=")],
        *[("cut upload", "partNumber=1"), ("drop", "[?]uploads")],
    ],
)
def test_uploads_in_parts_survive(store, fault_proxy, tmp_path, monkeypatch, fault, key):
    """A fault in any step of an upload in parts: it is begun again where it must be, the object is whole, and no parts are left behind."""
    monkeypatch.setattr(objects, "_PART_BYTES", 5 << 20)
    path = tmp_path / "big.bin"
    path.write_bytes(os.urandom(11 << 20))
    method = "PUT" if "part" in key else "POST"
    rule = fault_proxy.fault(fault, method=method, key=key)

    store.upload(path, "big.bin")

    assert rule.used == 1
    store.download("big.bin", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == path.read_bytes()
    assert store.unfinished(-3600) == []
    if fault == "409":
        assert fault_proxy.count("POST", "[?]uploads") == 2


def test_an_upload_that_is_stored_wrongly_is_noticed(store, fault_proxy, tmp_path, monkeypatch):
    """Where the store holds other bytes than were sent, nothing stays and the upload is a failure."""
    path = small(tmp_path)
    put = objects.S3Store._put

    def garble(self, name, action):
        put(self, name, action)
        put(self, name, lambda fs, **words: fs.pipe_file(self._key(name), b"t" + path.read_bytes()[1:], **words))

    monkeypatch.setattr(objects.S3Store, "_put", garble)

    with pytest.raises(StoreUnavailable, match="other bytes"):
        store.upload(path, "new")
    assert not store.exists("new")


def test_racers_have_one_winner_among_faults(store, fault_proxy):
    """Sixteen writers of one name, while the store answers 503 and 409 and loses answers: exactly one is told that it won, and its bytes are there."""
    rng = random.Random(3)
    for _ in range(12):
        fault_proxy.fault(rng.choice(["503", "409", "lost", "drop"]), method="PUT", after=rng.randrange(8))
    gate, won = threading.Barrier(16), []

    def write(number):
        gate.wait()
        try:
            store.create("race", f"writer {number}".encode())
            won.append(number)
        except AlreadyExists:
            return

    threads = [threading.Thread(target=write, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(won) == 1
    assert store.read("race") == f"writer {won[0]}".encode()


def test_sources_survive_faults(store, fault_proxy, tmp_path):
    """A source is fetched whole through cuts and errors; one that is replaced meanwhile is not mixed."""
    data = os.urandom(9_000_000)
    store.create("x.mp4", data)
    with Scratch(tmp_path / "scratch", 100_000_000) as scratch:
        for fault in ("503", "cut download", "drop", "500"):
            fault_proxy.fault(fault, method="GET", key="/x.mp4")
            path, version = fetch_source(store.uri("x.mp4"), scratch)
            assert path.read_bytes() == data
        rule = fault_proxy.fault("hold", method="GET", key="/x.mp4")
        errors = []

        def fetch():
            try:
                open_source(version, scratch)
            except SourceChanged as error:
                errors.append(error)

        thread = threading.Thread(target=fetch)
        thread.start()
        assert fault_proxy.held.wait(20)
        store.replace("x.mp4", data[::-1])
        fault_proxy.release()
        thread.join(60)

    assert (rule.used, len(errors)) == (1, 1)
