"""Packets and headers of AV1 without metadata that may name someone: ITU-T T.35 messages, timecodes, private and padding units. Pure.

Light levels, mastering display and scalability stay, and all units that decode to pictures stay byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterator

_METADATA = 5
_KEPT_UNITS = frozenset({1, 2, 3, 4, 6, 7, 8})  # headers, delimiters, frames, tiles; reserved units and padding are read by none
_KEPT_METADATA = frozenset({1, 2, 3})  # light level, mastering display, scalability
_HEADER_BYTES = 4  # of the container's record, before the units in it


def without_user_data(data: bytes) -> bytes:
    """One packet."""
    return b"".join(unit for unit, kind, body in _units(data) if kind in _KEPT_UNITS or (kind == _METADATA and _leb128(body, 0)[0] in _KEPT_METADATA))


def header_without_user_data(extradata: bytes) -> bytes:
    """The container's record (av1C)."""
    return extradata[:_HEADER_BYTES] + without_user_data(extradata[_HEADER_BYTES:]) if extradata[:1] == b"\x81" else without_user_data(extradata)


def _units(data: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    """(all bytes, type, body) of each unit; one that gives no size reaches to the end."""
    at = 0
    while at < len(data):
        start, head = at, data[at]
        at += 2 if head & 4 else 1
        size, at = _leb128(data, at) if head & 2 else (len(data) - at, at)
        yield data[start : at + size], head >> 3 & 15, data[at : at + size]
        at += size


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    """(value, place after it)."""
    value = 0
    for n, byte in enumerate(data[at : at + 8]):
        value |= (byte & 127) << 7 * n
        if not byte & 128:
            return value, at + n + 1
    return value, min(len(data), at + 8)
