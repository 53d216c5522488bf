"""URIs are checked by parsing, before any filesystem sees them."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceanon.archive.uri import check_name, join, parse
from faceanon.core.errors import UsageError


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


def test_names_that_cannot_be_written():
    """Control characters and bytes that are no UTF-8 make no name."""
    for name in ("a\nb", "a\x7f", "caf\udce9.mp4", "/abs", "a/..", ".."):
        with pytest.raises(UsageError):
            check_name(name)
    assert check_name("ünï/ code [1].mp4") == "ünï/ code [1].mp4"
