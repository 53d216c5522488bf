"""What is asked for becomes items with names; what makes no sense becomes a reason."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceanon.archive.globs import glob_regex
from faceanon.archive.sources import resolve
from faceanon.archive.store import open_store
from faceanon.core.errors import UsageError
from faceanon.core.settings import Settings


@pytest.fixture(params=["disk", pytest.param("s3", marks=pytest.mark.store)])
def archive(request, tmp_path):
    """A root URI with some videos, and the store to add to it."""
    store = open_store(request.getfixturevalue("s3_root") if request.param == "s3" else str(tmp_path / "films"))
    for name in ("a.mp4", "b/c.MOV", "b/d/e.gif", "b/notes.txt", ".hidden/f.mp4", "b/.g.mp4", ".work/h.mp4", "b/i.bin"):
        store.create(name, name.encode())
    return store


def names(resolved):
    return [item.name for item in resolved.items]


def ask(*sources, **options):
    return resolve(list(sources), Settings(), **options)


def test_folder(archive):
    """A folder gives its videos, named by their path below it, and neither hidden nor other files."""
    found = ask(archive.root)

    assert names(found) == ["a.mp4", "b/c.MOV", "b/d/e.gif"]
    assert [item.uri for item in found.items] == [archive.uri(name) for name in names(found)]
    assert {item.collection for item in found.items} == {archive.root.rsplit("/", 1)[1]}
    assert found.skipped == 2


def test_lone_file(archive):
    """A lone file has its own name, whatever its suffix."""
    assert names(ask(archive.uri("b/c.MOV"), archive.uri("b/i.bin"))) == ["c.MOV", "i.bin"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.mp4", ["a.mp4"]),
        ("**/*.[gG][iI]?", ["b/d/e.gif"]),
        ("b/*.bin", ["i.bin"]),
        ("b/*", ["c.MOV", "d/e.gif"]),
        ("*", ["a.mp4", "b/c.MOV", "b/d/e.gif"]),
        ("**", ["a.mp4", "b/c.MOV", "b/d/e.gif"]),
        ("?/**/*.gif", ["b/d/e.gif"]),
        ("[!b].mp4", ["a.mp4"]),
    ],
)
def test_globs(archive, pattern, expected):
    """Names are relative to the glob's fixed part; a matched folder counts with its videos."""
    assert names(ask(f"{archive.root}/{pattern}")) == expected


def test_globs_of_manifests(archive):
    """Manifests that a glob matches are read, as when a shell expands it."""
    archive.create("lists/one.csv", b"uri\n../a.mp4\n")
    archive.create("lists/two.csv", b"uri,name\n../b/c.MOV,two/c.MOV\n,\n")
    found = ask(archive.root + "/lists/*.csv")

    assert names(found) == ["a.mp4", "two/c.MOV"]
    assert len(found.rejected) == 1


def test_wrong_usage(archive):
    """A missing SRC, a glob without a match and nothing at all are said before any work."""
    for source in (archive.root + "/none", archive.root + "/*.avi", archive.root + "/none/*.mp4", "http://x/y.mp4"):
        with pytest.raises(UsageError) as caught:
            ask(source)
        assert caught.value.exit_code == 2
    with pytest.raises(UsageError):
        ask()


def test_two_sources_for_one_name(archive):
    """The error names both; the same source asked for twice is one item."""
    archive.create("z/a.mp4", b"other")

    with pytest.raises(UsageError) as caught:
        ask(archive.uri("a.mp4"), archive.uri("z/a.mp4"))
    assert archive.uri("a.mp4") in str(caught.value)
    assert archive.uri("z/a.mp4") in str(caught.value)
    assert names(ask(archive.root + "/*.mp4", archive.uri("a.mp4"), archive.root)).count("a.mp4") == 1


def test_output_inside_the_source_is_no_source(archive):
    """A run into a folder of its own SRC does not find what it published."""
    archive.create("out/videos/a.mp4", b"published")
    archive.create("outer.mp4", b"x")
    assert "out/videos/a.mp4" in names(ask(archive.root))  # the trap is set

    assert names(ask(archive.root, exclude=[archive.uri("out")])) == ["a.mp4", "b/c.MOV", "b/d/e.gif", "outer.mp4"]
    assert names(ask(archive.uri("b"), exclude=[archive.root])) == ["c.MOV", "d/e.gif"]
    assert names(ask(archive.root + "/*", exclude=[archive.uri("out"), archive.uri("b")])) == ["a.mp4", "outer.mp4"]


def test_manifests_agree(archive):
    """One list as csv, jsonl and parquet gives the same items."""
    rows = [
        {"uri": "a.mp4", "name": "first.mp4", "collection": "one", "tags": ["x", "y"]},
        {"uri": "b/c.MOV", "name": None, "collection": None, "tags": []},
        {"uri": archive.uri("b/d/e.gif"), "name": None, "collection": None, "tags": None},
    ]
    archive.create("list.jsonl", "\n".join(json.dumps(row) for row in rows).encode())
    archive.create("list.csv", f"uri,name,collection,tags\na.mp4,first.mp4,one,x;y\n\nb/c.MOV,,,\n{rows[2]['uri']},,,\n".encode())
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    archive.create("list.parquet", sink.getvalue().to_pybytes())

    found = [ask(archive.uri(f"list.{kind}")) for kind in ("jsonl", "csv", "parquet")]

    assert found[0] == found[1] == found[2]
    assert [(i.uri, i.name, i.collection, i.tags) for i in found[0].items] == [
        (archive.uri("a.mp4"), "first.mp4", "one", ("x", "y")),
        (archive.uri("b/c.MOV"), "b/c.MOV", "list", ()),
        (archive.uri("b/d/e.gif"), "e.gif", "list", ()),
    ]


def test_manifests_say_why_a_video_may_be_kept_and_since_when(tmp_path):
    """Its legal basis, and when it came in, in UTC; a moment without a zone could be any of a day's, and is refused."""
    lines = [
        {"uri": "a.mp4", "legal_basis": "contract 7", "ingested_at": "2026-03-01T12:00:00+02:00"},
        {"uri": "b.mp4", "ingested_at": "2026-03-01T12:00:00"},
        {"uri": "c.mp4", "ingested_at": "yesterday"},
        {"uri": "d.mp4", "legal_basis": "", "ingested_at": ""},
    ]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, lines)))
    moment = pa.array([datetime(2026, 3, 1, 12, tzinfo=UTC)], pa.timestamp("us", tz="Europe/Berlin"))
    pq.write_table(pa.table({"uri": ["e.mp4"], "ingested_at": moment}), tmp_path / "m.parquet")
    found = ask(str(tmp_path / "m.jsonl"), str(tmp_path / "m.parquet"))

    said = [(item.name, item.legal_basis, item.ingested_at) for item in found.items]
    assert said == [("a.mp4", "contract 7", "2026-03-01T10:00:00+00:00"), ("d.mp4", "", ""), ("e.mp4", "", "2026-03-01T12:00:00+00:00")]
    assert [(r.item.name, "ingested_at is not a moment" in r.reason) for r in found.rejected] == [("m.jsonl:2", True), ("m.jsonl:3", True)]


def test_bad_csv_lines(tmp_path):
    """Each line that makes no sense is refused by file and number; the rest goes on."""
    bad = [",no-uri.mp4", "x.mp4", "x.mp4,y.mp4,z", "x.mp4,../escape.mp4", "x.mp4,/abs.mp4", 'x.mp4,"open', "http://h/x.mp4,", "caf\udce9.mp4,"]
    lines = ["uri,name", "ok.mp4,", *bad, "last.mp4,"]
    path = tmp_path / "list.csv"
    path.write_bytes("\r\n".join(lines).encode("utf-8", "surrogateescape"))

    found = ask(str(path))

    assert names(found) == ["ok.mp4", "last.mp4"]
    assert [row.reason.split(": ")[0] for row in found.rejected] == [f"{path}:{number}" for number in range(3, 11)]
    assert {row.stage for row in found.rejected} == {"manifest"}
    assert len({row.item.name for row in found.rejected}) == 8


def test_bad_json_lines(tmp_path):
    """The same for jsonl, with values of the wrong kind."""
    lines = [
        *('{"uri": "ok.mp4"}', "{", "[1]", "null", '{"uri": 3}', '{"uri": null}', '{"name": "x"}', '{"uri": "x.mp4", "tags": 5}', '{"uri": "x.mp4", "tags": [1]}'),
        *("[" * 100_000, '{"uri": "a\\u0000b"}', '{"uri": "x.mp4", "name": "a//b"}', '{"uri": "last.mp4", "tags": "a, b"}'),
    ]
    (tmp_path / "list.jsonl").write_text("\n".join(lines))

    found = ask(str(tmp_path / "list.jsonl"))

    assert names(found) == ["ok.mp4", "last.mp4"]
    assert found.items[1].tags == ("a", "b")
    assert [row.item.name for row in found.rejected] == [f"list.jsonl:{number}" for number in range(2, 13)]


def test_files_that_are_no_manifest(tmp_path):
    """Without a uri column there is nothing to ask for; that is wrong usage, not a bad line."""
    (tmp_path / "empty.csv").write_bytes(b"")
    (tmp_path / "columns.csv").write_text("path,name\nx,y\n")
    (tmp_path / "twice.csv").write_text("uri,uri\nx,y\n")
    (tmp_path / "text.parquet").write_text("hello")
    pq.write_table(pa.table({"path": ["x"]}), tmp_path / "columns.parquet")

    for name in ("empty.csv", "columns.csv", "twice.csv", "text.parquet", "columns.parquet"):
        with pytest.raises(UsageError) as caught:
            ask(str(tmp_path / name))
        assert name in str(caught.value)


@pytest.mark.store
def test_manifest_on_s3_names_no_local_file(s3_root):
    """What lies on S3 cannot make a machine read its own files."""
    store = open_store(s3_root)
    store.create("list.csv", b"uri\n/etc/passwd\nfile:///etc/passwd\n../other/y.mp4\nx.mp4\n../../../../escape.mp4\n")

    found = ask(store.uri("list.csv"))

    assert [item.uri for item in found.items] == [s3_root.rsplit("/", 1)[0] + "/other/y.mp4", store.uri("x.mp4")]
    assert len(found.rejected) == 3


def test_folder_oddities(tmp_path):
    """Pipes, dead links, links to folders, unreadable names: nothing is opened that is no file, and every loss has a reason."""
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "dead.mp4").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "real.mp4").write_bytes(b"x")
    (tmp_path / "alias.mp4").symlink_to(tmp_path / "real.mp4")
    (tmp_path / "line\nbreak.mp4").write_bytes(b"x")
    (tmp_path / os.fsdecode(b"caf\xe9.mp4")).write_bytes(b"x")

    found = ask(str(tmp_path))

    assert names(found) == ["alias.mp4", "real.mp4"]
    reasons = " ".join(row.reason for row in found.rejected)
    assert len(found.rejected) == 4
    for word in ("not a regular file", "leads nowhere", "control characters", "UTF-8"):
        assert word in reasons
    assert all(row.reason.encode() and row.item.uri.encode() for row in found.rejected)


def test_special_characters_in_folder_names(tmp_path, monkeypatch):
    """Brackets in the name of a real folder are not a pattern."""
    (tmp_path / "[2024] *").mkdir()
    (tmp_path / "[2024] *" / "x.mp4").write_bytes(b"x")
    monkeypatch.chdir(tmp_path / "[2024] *")

    assert names(ask("*.mp4")) == names(ask("x.mp4")) == names(ask(".")) == names(ask(str(tmp_path / "[2024] *"))) == ["x.mp4"]


def test_a_name_that_is_also_a_folder(tmp_path):
    """x.mp4 cannot be published beside x.mp4/y.mp4."""
    (tmp_path / "list.csv").write_text("uri,name\na,x.mp4\nb,x.mp4/y.mp4\n")

    with pytest.raises(UsageError, match="also a folder"):
        ask(str(tmp_path / "list.csv"))


def test_long_manifests_are_quick(tmp_path):
    """Thirty thousand lines take a second or two, so a million takes a minute at most."""
    (tmp_path / "list.csv").write_text("uri\n" + "".join(f"folder/{i}.mp4\n" for i in range(30_000)))
    start = time.process_time()
    found = ask(str(tmp_path / "list.csv"))

    assert len(found.items) == 30_000
    assert time.process_time() - start < 2


@given(st.lists(st.text(st.sampled_from("ab*?[]!.-\\^"), min_size=1, max_size=6), min_size=1, max_size=4))
def test_any_pattern_compiles(parts):
    """Whatever is typed as a glob is a pattern, and one without magic matches itself."""
    import re

    pattern = re.compile(glob_regex(parts))
    if not re.search(r"[*?\[]", "/".join(parts)):
        assert pattern.fullmatch("/".join(parts))
