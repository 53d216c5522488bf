"""One JPEG frame of an MJPEG stream without what a camera wrote into it (EXIF, comments); the picture's own bytes stay as they are."""

from __future__ import annotations

_APP0, _APP14, _APP15, _COMMENT, _SCAN = 0xE0, 0xEE, 0xEF, 0xFE, 0xDA


def without_user_data(data: bytes) -> bytes:
    """The frame with only those application segments that decoders use: JFIF and AVI1 (APP0), Adobe's colour transform (APP14)."""
    out = bytearray(data[:2])
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != _SCAN:
        marker, stop = data[at + 1], at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xFF:
            stop = at + 1  # a fill byte
        elif marker != _COMMENT and not (_APP0 < marker <= _APP15 and marker != _APP14):
            out += data[at:stop]
        at = stop
    return bytes(out) + data[at:]
