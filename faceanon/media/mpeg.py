"""Packets and headers of MPEG-1, MPEG-2 and MPEG-4 part 2 without user data, closed captions included. Pure.

All other bytes stay. Decoders work around the bugs of some encoders by the names these leave in user data: such a name stays,
cut down to its numbers, since pictures would decode otherwise.
"""

from __future__ import annotations

import re

_START = b"\x00\x00\x01"
_USER_DATA = b"\x00\x00\x01\xb2"
_NO_MORE = 5  # digits: enough for versions, too few for a telephone number
_NUMBER = rb"(\d{1,%d})(?!\d)" % _NO_MORE
_DIVX = re.compile(rb"DivX\s*" + _NUMBER + rb"(Build|b)\s*" + _NUMBER + rb"(p?)")
_XVID = re.compile(rb"XviD\s*" + _NUMBER)
_FFMPEG = re.compile(rb"FFmpe[^b]+b\s*" + _NUMBER + rb"|FFmpeg v\d+\.\d+\.\d+ / libavcodec build:\s*" + _NUMBER)
_LAVC = re.compile(rb"Lavc" + rb"\.".join([_NUMBER] * 3))
_TMPGENC = b"\x00TMPGEXS\x00"
_TMPGENC_SEARCHED = 28


def without_user_data(data: bytes, codec: str) -> bytes:
    """A packet or a container's header. Never empty where it was not."""
    parts, at = [], 0
    while (start := data.find(_USER_DATA, at)) >= 0:
        stop = data.find(_START, start + len(_USER_DATA))
        stop = stop if stop >= 0 else len(data)
        name = _encoder(data[start + len(_USER_DATA) : stop], codec)
        parts += [data[at:start], _USER_DATA + name if name else b""]
        at = stop
    return b"".join(parts) + data[at:] or data[: len(_USER_DATA)]


def _encoder(text: bytes, codec: str) -> bytes:
    """What FFmpeg reads of the encoder's name, or nothing."""
    if codec != "mpeg4":
        return _TMPGENC + b" " * _TMPGENC_SEARCHED if _TMPGENC in text[:_TMPGENC_SEARCHED] else b""
    text = text.split(b"\x00")[0]
    if found := _DIVX.match(text):
        return b"DivX%b%b%b%b" % found.groups()
    if found := _FFMPEG.match(text):
        return b"FFmpegb" + (found[1] or found[2])
    if found := _LAVC.match(text) or _XVID.match(text):
        return found[0]
    return text if text == b"ffmpeg" else b""
