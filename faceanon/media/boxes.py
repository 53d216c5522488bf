"""What the bytes of a container say that FFmpeg does not pass on: its exact kind, and how long it claims to be.

Pure reads of a file's head and tail; `missing_bytes` is a reason in words, or "" where nothing is known to be missing.
"""

from __future__ import annotations

import re
from pathlib import Path

_HEAD_BYTES = 4096
_EBML, _MKV_SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def container_name(path: Path, format_name: str) -> str:
    """One word where FFmpeg's demuxer serves many: mp4, mov, matroska or webm."""
    head = _head(path)
    if format_name.startswith("mov,"):
        if head[4:8] != b"ftyp" or head[8:12] == b"qt  ":
            return "mov"
        return "mp4"
    if format_name.startswith("matroska"):
        return "webm" if b"webm" in head[:64] else "matroska"
    return format_name


def looks_like(path: Path) -> str:
    """The container that the first bytes belong to, or ""."""
    head = _head(path)
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide"):
        return "mp4"
    if head.startswith(_EBML):
        return "matroska"
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return "avi"
    return "gif" if head.startswith(b"GIF8") else ""


def missing_bytes(path: Path) -> str:
    """Why the file is shorter than its container says."""
    kind, size = looks_like(path), path.stat().st_size
    if kind == "matroska":
        return _compare(_matroska_end(_head(path)), size)
    if kind == "avi":
        claimed = int.from_bytes(_head(path)[4:8], "little")
        return _compare(claimed + 7 if claimed else None, size)  # some writers leave out the last byte of padding
    if kind == "gif":
        return "" if _tail(path).rstrip(b"\x00").endswith(b"\x3b") else "the GIF has no end mark"
    if kind == "mp4":
        return _compare(_mp4_end(path, size), size)
    if _head(path)[:1] == b"\x47" == _head(path)[188:189] and size % 188:
        return "the last transport packet is not complete"
    return ""


def _compare(claimed: int | None, size: int) -> str:
    return f"the container claims {claimed} bytes, the file has {size}" if claimed is not None and claimed > size else ""


def _matroska_end(head: bytes) -> int | None:
    """The end of the Segment element; None where its size is left open, as in live recordings, or is not there any more."""
    at = head.find(_MKV_SEGMENT)
    if at < 0:
        return None
    at += 4
    width = 9 - head[at].bit_length() if at < len(head) else 0
    if not 1 <= width <= min(8, len(head) - at):
        return None
    value = int.from_bytes(head[at : at + width], "big") & ((1 << 7 * width) - 1)
    return None if value == (1 << 7 * width) - 1 else at + width + value


def _mp4_end(path: Path, size: int) -> int | None:
    """The end of the last box."""
    at = 0
    with path.open("rb") as file:
        while at + 8 <= size:
            file.seek(at)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            if length == 0:
                return None
            if length < 8 or not all(32 <= c < 127 or c == 0xA9 for c in head[4:8]):
                return None  # junk after the last box is harmless
            at += length
    return at


def loop_count(path: Path) -> int | None:
    """How often a GIF repeats (0 = for ever), or None where it does not say."""
    data = path.read_bytes()
    found = re.search(rb"\x21\xff\x0b(?:NETSCAPE2\.0|ANIMEXTS1\.0)\x03\x01(..)", data, re.DOTALL)
    return int.from_bytes(found[1], "little") if found else None


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES)


def _tail(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 64))
        return file.read()
