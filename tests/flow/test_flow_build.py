"""The ledger names the code by its commit, however the checkout keeps it, and by its image; or says nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from faceanon.flow import build

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    monkeypatch.delenv(build.GIT_COMMIT, raising=False)
    monkeypatch.delenv(build.IMAGE_DIGEST, raising=False)
    (tmp_path / ".git/refs/heads").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    "files",
    [
        {"HEAD": f"{COMMIT}\n"},
        {"HEAD": "ref: refs/heads/main\n", "refs/heads/main": f"{COMMIT}\n"},
        {"HEAD": "ref: refs/heads/main\n", "packed-refs": f"# pack-refs\n{'f' * 40} refs/heads/other-main\n{COMMIT} refs/heads/main\n"},
    ],
    ids=["detached", "branch", "packed"],
)
def test_the_commit_is_found_however_it_is_kept(checkout, files):
    """A branch has a file, or a line among packed ones; a detached checkout has neither."""
    for name, text in files.items():
        (checkout / ".git" / name).write_text(text)

    assert build.git_commit(checkout) == COMMIT


@pytest.mark.parametrize("head", [None, "", "ref: refs/heads/none\n", "no commit\n"])
def test_where_nobody_knows_nothing_is_said(checkout, head):
    """Rather than a word that is no commit."""
    if head is not None:
        (checkout / ".git/HEAD").write_text(head)

    assert (build.git_commit(checkout), build.image_digest()) == ("", "")


def test_who_deploys_it_knows_better(checkout, monkeypatch):
    """In an image there is no checkout; the environment says what was built."""
    monkeypatch.setenv(build.GIT_COMMIT, COMMIT)
    monkeypatch.setenv(build.IMAGE_DIGEST, "sha256:ab")

    assert (build.git_commit(checkout), build.image_digest()) == (COMMIT, "sha256:ab")


def test_this_checkout_is_found(monkeypatch):
    """The commit that git itself names; none where this is no checkout."""
    monkeypatch.delenv(build.GIT_COMMIT, raising=False)
    root = Path(build.__file__).parents[2]
    named = ""
    if (root / ".git").is_dir():
        named = subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()

    assert build.git_commit() == named
