"""One contract suite over every store: a local folder, and S3 on a real server."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading

import pytest

from faceanon.archive.store import LocalStore, S3Store, open_store, tidy, version_of
from faceanon.core.errors import AlreadyExists, SourceUnreadable, StoreError, StoreUnavailable, UsageError


@pytest.fixture(params=["disk", pytest.param("s3", marks=pytest.mark.store)])
def store(request, tmp_path):
    return open_store(request.getfixturevalue("s3_root") if request.param == "s3" else str(tmp_path / "root"))


def race(count, action):
    """Run action(i) in `count` threads that start together; the sorted names of how each ended."""
    gate, outcomes = threading.Barrier(count), []

    def run(i):
        gate.wait()
        try:
            action(i)
            outcomes.append("won")
        except AlreadyExists:
            outcomes.append("lost")

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(outcomes, reverse=True)


def test_create_stores_once(store):
    """A created object reads back, and a second create is told so and changes nothing."""
    store.create("a/b.json", b"one")

    with pytest.raises(AlreadyExists):
        store.create("a/b.json", b"two")
    assert store.read("a/b.json") == b"one"
    assert store.exists("a/b.json")


def test_eight_racing_creators_have_one_winner(store):
    """Whoever wins, exactly one does, and its bytes are the ones that stay."""
    bodies = [f"writer {i}".encode() * 100 for i in range(8)]

    outcomes = race(8, lambda i: store.create("race/x", bodies[i]))

    assert outcomes == ["won"] + ["lost"] * 7
    assert store.read("race/x") in bodies


def test_four_racing_uploads_have_one_winner(store, tmp_path):
    """The promise of create holds for files as well."""
    paths = [tmp_path / f"{i}.mp4" for i in range(4)]
    for i, path in enumerate(paths):
        path.write_bytes(bytes([i]) * 200_000)

    outcomes = race(4, lambda i: store.upload(paths[i], "race/video.mp4"))

    assert outcomes == ["won"] + ["lost"] * 3
    assert store.read("race/video.mp4") in [path.read_bytes() for path in paths]


def test_replace_overwrites(store):
    """A view can be put again."""
    store.replace("view", b"one")
    store.replace("view", b"two")

    assert store.read("view") == b"two"


def test_upload_and_download_keep_bytes(store, tmp_path):
    """A file comes back as it went, an empty one too."""
    source, back = tmp_path / "s.bin", tmp_path / "back.bin"
    for name, data in (("big", os.urandom(300_000)), ("empty", b"")):
        source.write_bytes(data)
        store.upload(source, f"files/{name}")
        store.download(f"files/{name}", back)

        assert back.read_bytes() == data


def test_upload_meets_an_object(store, tmp_path):
    """An upload never overwrites."""
    path = tmp_path / "x"
    path.write_bytes(b"mine")
    store.create("x", b"theirs")

    with pytest.raises(AlreadyExists):
        store.upload(path, "x")
    assert store.read("x") == b"theirs"


def test_missing_objects(store, tmp_path):
    """What is not there is FileNotFoundError to read, False to exists, and nothing to delete."""
    for action in (lambda: store.read("no"), lambda: store.download("no", tmp_path / "x"), lambda: store.link("no", "view")):
        with pytest.raises(FileNotFoundError):
            action()
    store.delete("no")
    store.delete_tree("no")

    assert not store.exists("no")
    assert store.list("no") == []


def test_a_store_knows_whether_anything_lies_below_a_prefix(store):
    """One object below is enough; a neighbour whose name begins alike is not below, and nothing is where nothing was written."""
    assert not store.holds("ledger")

    store.create("ledger-old/a.json", b"x")
    assert not store.holds("ledger")

    store.create("ledger/records/a.json", b"x")
    assert store.holds("ledger")
    assert store.holds("ledger/records/")
    assert not store.holds("ledger/runs")


def test_list_is_sorted_and_bounded_by_folders(store):
    """Names below a prefix, sorted; a prefix is a folder, not the start of a word."""
    for name in ("b/2", "b/1", "b/deep/3", "bb/4", "a", "b/ünï code+%20.mp4"):
        store.create(name, name.encode())

    assert store.list("") == sorted(["b/2", "b/1", "b/deep/3", "bb/4", "a", "b/ünï code+%20.mp4"])
    assert store.list("b") == store.list("b/") == sorted(["b/1", "b/2", "b/deep/3", "b/ünï code+%20.mp4"])
    assert store.list("a") == []
    assert store.read("b/ünï code+%20.mp4") == "b/ünï code+%20.mp4".encode()


def test_folders_are_not_objects(store):
    """A prefix with objects below it does not exist itself."""
    store.create("a/b", b"")

    assert not store.exists("a")
    assert store.exists("a/b")


def test_link_shows_the_object_and_is_renewed(store):
    """A view shows its object, again and after the object behind it is another."""
    store.create("objects/1", b"one")
    store.create("objects/2", b"two")

    store.link("objects/1", "videos/x/clip.mp4")
    store.link("objects/1", "videos/x/clip.mp4")
    assert store.read("videos/x/clip.mp4") == b"one"
    store.link("objects/2", "videos/x/clip.mp4")
    assert store.read("videos/x/clip.mp4") == b"two"
    assert store.list("videos") == ["videos/x/clip.mp4"]
    assert store.read("objects/1") == b"one"


def test_delete_tree_takes_a_folder_only(store):
    """Everything below a folder goes, its neighbours stay."""
    for name in ("w/1", "w/2/3", "ww/4"):
        store.create(name, b"x")
    store.delete("w/1")
    store.delete_tree("w")

    assert store.list("") == ["ww/4"]
    store.delete_tree("")
    assert store.list("") == []


def test_names_cannot_leave_the_root(store):
    """A name with '..' or a leading slash is wrong usage for every operation."""
    for name in ("../x", "/etc/passwd", "a/../../x", "", "a//b", "a/./b", "nul\0"):
        for action in (store.read, store.exists, store.uri, lambda n: store.create(n, b""), store.delete):
            with pytest.raises(UsageError):
                action(name)


def test_uri_and_pickle_carry_the_root_only(store):
    """A store crosses a process border as its root; no credential is in the message."""
    message = pickle.dumps(store)

    assert pickle.loads(message) == store
    assert store.uri("a/b").endswith("/a/b")
    assert b"secret" not in message


def test_version_follows_the_content(store):
    """A renewed object has another version word."""
    store.replace("x", b"one")
    before = version_of(store.uri("x"))
    assert version_of(store.uri("x")) == before

    store.replace("x", b"three")

    assert (before[0], version_of(store.uri("x"))[0]) == (3, 5)
    assert version_of(store.uri("x"))[1] != before[1]
    with pytest.raises(SourceUnreadable, match="does not exist"):
        version_of(store.uri("missing"))


@pytest.mark.store
def test_s3_upload_in_parts(s3_root, tmp_path, monkeypatch):
    """A file of several parts arrives whole, once."""
    monkeypatch.setattr("faceanon.archive.objects._PART_BYTES", 5 << 20)
    store, path = open_store(s3_root), tmp_path / "big.bin"
    path.write_bytes(os.urandom(11 << 20))
    store.upload(path, "big.bin")
    back = tmp_path / "back.bin"
    store.download("big.bin", back)

    assert back.read_bytes() == path.read_bytes()
    with pytest.raises(AlreadyExists):
        store.upload(path, "big.bin")


@pytest.mark.store
def test_s3_killed_upload_publishes_nothing(s3_root, tmp_path):
    """A process killed when all parts but the end are there leaves no object, and the next upload succeeds."""
    path = tmp_path / "big.bin"
    path.write_bytes(os.urandom(11 << 20))
    code = f"""
import os, signal, s3fs.core
from pathlib import Path
from faceanon.archive.store import open_store
from faceanon.archive import objects
objects._PART_BYTES = 5 << 20
call = s3fs.core.S3FileSystem._call_s3
async def die(self, method, *args, **kwargs):
    if method == 'complete_multipart_upload':
        os.kill(os.getpid(), signal.SIGKILL)
    return await call(self, method, *args, **kwargs)
s3fs.core.S3FileSystem._call_s3 = die
open_store({s3_root!r}).upload(Path({str(path)!r}), 'big.bin')
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    store = open_store(s3_root)

    assert not store.exists("big.bin")
    assert store.list("") == []
    assert tidy(s3_root + "/elsewhere", older_than_s=-1) == 0
    assert (tidy(s3_root, older_than_s=86400), tidy(s3_root, older_than_s=-86400), tidy(s3_root, older_than_s=-86400)) == (0, 1, 0)
    store.upload(path, "big.bin")
    assert version_of(store.uri("big.bin"))[0] == 11 << 20


@pytest.mark.store
def test_s3_missing_bucket_and_wrong_secret(s3_root, s3_server):
    """A bucket that does not exist and credentials that are refused stop the run; they are not tried for ever."""
    with pytest.raises(StoreError, match="no such bucket"):
        open_store("s3://nobody-made-this").create("x", b"")
    code = f"from faceanon.archive.store import open_store; open_store({s3_root!r}).create('x', b'')"
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, **s3_server, "AWS_SECRET_ACCESS_KEY": "wrong"}, capture_output=True, text=True)

    assert "StoreError" in done.stderr
    assert "StoreUnavailable" not in done.stderr.splitlines()[-1]


def test_s3_that_does_not_answer_is_a_passing_fault(monkeypatch):
    """Nobody listens: tried again with pauses, then StoreUnavailable."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setattr("faceanon.archive.objects._PAUSES_S", ())
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)

    with pytest.raises(StoreUnavailable):
        S3Store("s3://bucket/root").read("x")


def test_faults_pass(monkeypatch):
    """A fault that passes is tried again and not seen by the caller."""
    from faceanon.archive import objects

    answers = [OSError(16, "SlowDown"), ConnectionResetError("gone"), b"data"]

    class Flaky:
        def cat_file(self, path, **_):
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

    monkeypatch.setattr(objects, "filesystem", Flaky)
    monkeypatch.setattr(objects, "_PAUSES_S", (0.0, 0.0, 0.0))

    assert S3Store("s3://bucket/root").read("x") == b"data"


def test_killed_writer_publishes_nothing(tmp_path):
    """A process killed while it writes leaves no object, and what it leaves is not listed."""
    code = (
        "import os, signal; from faceanon.archive import disk\n"
        "disk.os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"disk.LocalStore({str(tmp_path)!r}).create('a/x', b'half')"
    )
    done = subprocess.run([sys.executable, "-c", code])

    assert done.returncode == -9
    assert len(list(tmp_path.rglob("*"))) == 2  # the trap is set: the folder and an unfinished file are there
    assert LocalStore(str(tmp_path)).list("") == []
    assert tidy(str(tmp_path)) == 0  # it could still be somebody's work
    assert tidy(str(tmp_path), older_than_s=-1) == 1
    assert len(list(tmp_path.rglob("*"))) == 1


def test_disk_link_is_no_copy(tmp_path):
    """On disk a view costs no space."""
    store = LocalStore(str(tmp_path))
    store.create("o", b"x")
    store.link("o", "v/o")

    assert (tmp_path / "o").samefile(tmp_path / "v/o")


def test_disk_without_hard_links(tmp_path, monkeypatch):
    """A filesystem without hard links still shows views, but refuses to publish what it cannot publish once."""
    store = LocalStore(str(tmp_path))
    store.create("o", b"x")
    monkeypatch.setattr("faceanon.archive.disk.os.link", lambda *_: (_ for _ in ()).throw(OSError(95, "not supported")))
    store.link("o", "v")

    assert store.read("v") == b"x"
    with pytest.raises(StoreError, match="hard links"):
        store.create("p", b"y")
    assert store.list("") == ["o", "v"]


def test_version_of_what_is_no_file(tmp_path):
    """A folder, a pipe and a missing file each say what they are."""
    os.mkfifo(tmp_path / "pipe")

    for path, reason in ((tmp_path, "is a folder"), (tmp_path / "pipe", "is not a regular file"), (tmp_path / "no", "does not exist")):
        with pytest.raises(SourceUnreadable, match=reason):
            version_of(str(path))
