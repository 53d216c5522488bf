"""One packet of a GIF without its extensions that say something: comments, application data such as XMP, plain text. Pure.

Palettes, image data and graphic controls stay byte for byte. Looping is left out too, since the muxer writes it anew.
What follows the end mark is left out, since no player shows it.
"""

from __future__ import annotations

from collections.abc import Iterator

_EXTENSION, _IMAGE, _CONTROL = 0x21, 0x2C, 0xF9
_CONTROL_BYTES = 4


def without_user_data(data: bytes) -> bytes:
    """The packet with its header, its graphic controls and its image."""
    head = _header_bytes(data)
    return data[:head] + b"".join(_blocks(data, head))


def has_image(data: bytes) -> bool:
    """False for what stands behind the last image, which FFmpeg gives as a packet of its own."""
    return any(block[0] == _IMAGE for block in _blocks(data, _header_bytes(data)))


def _header_bytes(data: bytes) -> int:
    """Signature, screen and global palette: in the first packet only."""
    return 13 + _palette_bytes(data[10]) if data[:4] == b"GIF8" and len(data) >= 13 else 0


def _palette_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _blocks(data: bytes, at: int) -> Iterator[bytes]:
    """The blocks that stay, up to the end mark or to a byte that starts none, where decoders stop too."""
    while at + 1 < len(data):
        if data[at] == _EXTENSION:
            stop = _after_sub_blocks(data, at + 2)
            if data[at + 1] == _CONTROL and data[at + 2 : at + 3] == bytes([_CONTROL_BYTES]):
                yield data[at : at + 3 + _CONTROL_BYTES] + b"\x00"  # further sub-blocks are read by none
        elif data[at] == _IMAGE and at + 10 <= len(data):
            stop = _after_sub_blocks(data, at + 11 + _palette_bytes(data[at + 9]))
            yield data[at:stop]
        else:
            return
        at = stop


def _after_sub_blocks(data: bytes, at: int) -> int:
    while at < len(data) and data[at]:
        at += 1 + data[at]
    return at + 1
