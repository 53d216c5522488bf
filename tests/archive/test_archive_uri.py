"""URIs are checked by parsing, before any filesystem sees them."""

from __future__ import annotations

import os

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceanon.archive.fetch import fetch_source, open_source
from faceanon.archive.objects import filesystem
from faceanon.archive.scratch import Scratch
from faceanon.archive.sources import resolve
from faceanon.archive.store import open_store
from faceanon.archive.uri import allow, check_name, join, parse
from faceanon.core.errors import SettingsError, SourceChanged, UsageError
from faceanon.core.settings import Settings, from_table


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/a/b.mp4", "/a/b.mp4"),
        ("file:/a/b.mp4", "/a/b.mp4"),
        ("file:///a/b%20c.mp4", "/a/b c.mp4"),
        ("FILE://localhost/a/b.mp4", "/a/b.mp4"),
        ("s3://bucket/key/x.mp4", "s3://bucket/key/x.mp4"),
        ("S3://bucket/key/", "s3://bucket/key"),
        ("s3://bucket", "s3://bucket/"),
        ("/a/../b", "/b"),
        ("/odd::name.mp4", "/odd::name.mp4"),
        ("/a/http://x", "/a/http:/x"),
    ],
)
def test_accepted(text, expected):
    """What is typed in several ways prints in one."""
    assert str(parse(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "http://x/y", "https://x/y.mp4", "HTTP://x", "ftp://x", "data:text/plain,x", "simplecache::http://x", "simplecache::s3://b/k", "zip://x::file:///y"),
        *("s3:bucket/key", "s3a://b/k", "gs://bucket/key", "concat:a|b", "pipe:0", "file://otherhost/x", "file:", "s3://", "s3:///key", "s3://b/k", "s3://Bucket/k"),
        *("s3://bucket/a/../b", "s3://bucket/a//b", "s3://bucket/./b", "s3://user:secret@bucket/k", "s3://bucket/k?versionId=3", "/a\0b", "file:///a%00b", "unknown://x"),
    ],
)
def test_refused(text):
    """Other protocols, chains, credentials and escapes are wrong usage."""
    with pytest.raises(UsageError):
        parse(text)


def test_relative_paths_are_absolute_at_once(tmp_path, monkeypatch):
    """A typed path is meant from where it is typed, with a colon in it or not."""
    monkeypatch.chdir(tmp_path)

    assert str(parse("x.mp4")) == os.path.join(tmp_path, "x.mp4")
    assert str(parse("12:30.mp4")) == os.path.join(tmp_path, "12:30.mp4")
    assert str(parse("file:x.mp4")) == os.path.join(tmp_path, "x.mp4")


@given(st.text(max_size=40))
def test_parse_is_stable_or_refuses(text):
    """Whatever is typed is refused as wrong usage, or becomes an absolute path or an s3 URI that parses to itself."""
    try:
        uri = parse(text)
    except UsageError:
        return

    assert str(uri).startswith("/" if uri.is_local else "s3://")
    assert parse(str(uri)) == uri


@given(st.sampled_from(["/root", "s3://bucket/root", "s3://bucket"]), st.text(st.sampled_from("a./~ \\:*é"), max_size=12))
def test_join_stays_below_its_root(root, name):
    """No name leads out of a root: it is refused, or the joined URI lies below."""
    try:
        joined = join(root, name)
    except UsageError:
        return

    assert joined.startswith(root + "/")
    assert ".." not in joined.split("/")
    assert str(parse(joined)) == joined


@pytest.fixture
def policy():
    """`allow`, undone afterwards."""
    yield allow
    allow(frozenset(), frozenset())


def test_buckets_on_a_list(policy):
    """Where the settings list buckets, no other can be named, by whatever spelling; local paths are not concerned."""
    policy(frozenset({"mine", "also-mine"}), frozenset())

    assert str(parse("s3://mine/x.mp4")) == "s3://mine/x.mp4"
    assert str(parse("/x.mp4")) == "/x.mp4"
    for text in ("s3://other/x.mp4", "S3://other", "s3://mine.other/x"):
        with pytest.raises(UsageError, match=r"store\.buckets"):
            parse(text)
    with pytest.raises(UsageError):
        join("s3://other", "x")


def test_further_schemes_only_when_allowed(policy):
    """A scheme counts once the settings allow it, for reading alone; chains and escapes are refused all the same."""
    with pytest.raises(UsageError):
        parse("memory://bucket/x.mp4")
    policy(frozenset({"bucket"}), frozenset({"memory"}))

    assert str(parse("memory://bucket/a/x.mp4")) == "memory://bucket/a/x.mp4"
    for text in ("memory://other/x", "memory://bucket/../x", "simplecache::memory://bucket/x", "gs://bucket/x", "http://bucket/x"):
        with pytest.raises(UsageError):
            parse(text)
    with pytest.raises(UsageError, match="not written to"):
        open_store("memory://bucket/out")


def test_sources_of_a_further_scheme_are_read(policy, tmp_path):
    """Folders, versions and bytes of an allowed scheme's objects; a scheme whose package is missing says which."""
    policy(frozenset(), frozenset({"memory", "oci"}))
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/bucket/in/a.mp4", b"first")
    memory.pipe_file("/bucket/in/deep/b.mkv", b"second")

    items = resolve(["memory://bucket/in"], Settings()).items
    with Scratch(tmp_path, 1000) as scratch:
        path, version = fetch_source(items[0].uri, scratch)
        again = open_source(version, scratch)

        assert [item.uri for item in items] == ["memory://bucket/in/a.mp4", "memory://bucket/in/deep/b.mkv"]
        assert path.read_bytes() == again.read_bytes() == b"first"
        memory.pipe_file("/bucket/in/a.mp4", b"other")
        with pytest.raises(SourceChanged):
            open_source(version, scratch)
    with pytest.raises(UsageError, match="oci"):
        resolve(["oci://bucket/in"], Settings())


def test_settings_of_stores():
    """Endpoints with credentials or paths, http as a scheme and unknown schemes are refused; none of these settings changes a published byte."""
    for values in ({"endpoint": "https://user:secret@host"}, {"endpoint": "https://host/path"}, {"endpoint": "ftp://host"}, {"schemes": "http"}, {"schemes": "gs,file"}):
        with pytest.raises(SettingsError):
            from_table({"store": values})
    settings = from_table({"store": {"endpoint": "https://s3.example.org:8333", "schemes": "gs, abfs", "buckets": "a,b"}})

    assert settings.digest() == Settings().digest()


def test_the_endpoint_of_the_settings_is_used(policy, monkeypatch):
    """An endpoint in the settings wins over the environment's, for every client of S3."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "")

    policy(frozenset(), frozenset(), "http://127.0.0.1:8")

    assert filesystem().endpoint_url == "http://127.0.0.1:8"


def test_names_that_cannot_be_written():
    """Control characters and bytes that are no UTF-8 make no name."""
    for name in ("a\nb", "a\x7f", "caf\udce9.mp4", "/abs", "a/..", ".."):
        with pytest.raises(UsageError):
            check_name(name)
    assert check_name("ünï/ code [1].mp4") == "ünï/ code [1].mp4"
