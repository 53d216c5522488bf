"""Which code this is: the commit and the container image, for the ledger. Empty where nobody knows."""

from __future__ import annotations

import os
import re
from pathlib import Path

GIT_COMMIT, IMAGE_DIGEST = "FACEANON_GIT_COMMIT", "FACEANON_IMAGE_DIGEST"  # set by whoever builds and deploys an image
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


def git_commit(checkout: Path | None = None) -> str:
    """From the environment, else from the checkout that this package lies in. It does not tell whether files were changed since."""
    given = os.environ.get(GIT_COMMIT, "").strip()
    if given:
        return given
    git = (checkout or Path(__file__).parents[2]) / ".git"
    try:
        head = (git / "HEAD").read_text().strip()
        found = _resolved(git, head.removeprefix("ref: ")) if head.startswith("ref: ") else head
    except (OSError, UnicodeDecodeError):
        return ""
    return found if _COMMIT.fullmatch(found) else ""


def image_digest() -> str:
    return os.environ.get(IMAGE_DIGEST, "").strip()


def _resolved(git: Path, reference: str) -> str:
    """A branch has a file of its own, or a line in packed-refs."""
    own = git / reference
    if own.is_file():
        return own.read_text().strip()
    lines = (git / "packed-refs").read_text().splitlines()
    return next((line.split()[0] for line in lines if line.endswith(f" {reference}")), "")
