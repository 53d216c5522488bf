"""Glob patterns as regular expressions over posix paths: `**` is any number of folders; `*`, `?` and `[...]` stay inside one part."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import translate

MAGIC = re.compile(r"[*?\[]")
_PIECES = re.compile(r"(\*+|\?|\[!?\]?[^\]]*\])")


def glob_regex(parts: Sequence[str]) -> str:
    """A regular expression for a pattern's parts, to be matched in full."""
    pieces = []
    for i, part in enumerate(parts):
        last = i == len(parts) - 1
        if part == "**":
            pieces.append(".+" if last else "(?:[^/]+/)*")
        else:
            pieces.append("".join(_piece_regex(piece) for piece in _PIECES.split(part)) + ("" if last else "/"))
    return "".join(pieces)


def _piece_regex(piece: str) -> str:
    if piece.startswith("*"):
        return "[^/]*"
    if piece == "?":
        return "[^/]"
    if piece.startswith("[") and piece.endswith("]") and len(piece) > 2:
        return "(?!/)(?:" + translate(piece).removeprefix("(?s:").removesuffix("\\Z").removesuffix("\\z").removesuffix(")") + ")"
    return re.escape(piece)
