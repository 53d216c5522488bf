"""Enough of a source to read its header: the file itself on disk; of an object its first and last bytes, in a file of its size that is empty between them.

Most containers say what they hold at the front or, written in one go, at the end; two range requests bring both. Such a file is
good for a look at the header and for nothing else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from faceanon.archive import objects
from faceanon.archive import uri as uris
from faceanon.archive.scratch import Scratch
from faceanon.core.errors import SourceUnreadable

HEAD_BYTES, TAIL_BYTES = 1 << 20, 4 << 20


def peek(uri: str, size: int, scratch: Scratch) -> Path:
    """A local path that shows the header of a source of `size` bytes; the caller removes it where it lies in scratch. Raises SourceUnreadable or StoreError."""
    source = uris.parse(uri)
    if source.is_local:
        return source.local()
    path = scratch.file(Path(source.name).suffix)
    try:
        objects.patiently(lambda fs: _fetch(fs, source, size, path), uri)
    except FileNotFoundError as error:
        raise SourceUnreadable("does not exist", source=uri) from error
    return path


def _fetch(fs: Any, source: uris.Uri, size: int, path: Path) -> None:
    spans = [(0, size)] if size <= HEAD_BYTES + TAIL_BYTES else [(0, HEAD_BYTES), (size - TAIL_BYTES, size)]
    with path.open("wb") as file:
        file.truncate(size)
        for start, stop in spans:
            file.seek(start)
            file.write(fs.cat_file(source.object_path, start=start, end=stop))
