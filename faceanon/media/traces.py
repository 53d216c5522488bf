"""Copied packets and headers of every codec but H.264 and HEVC (see `nal`) without user data. Pure."""

from __future__ import annotations

from faceanon.media import gifs, jpeg, mpeg, obus

_MPEG = ("mpeg1video", "mpeg2video", "mpeg4")


def clean_packet(codec: str, payload: bytes) -> bytes:
    """The payload; codecs without a place for user data come back as they are."""
    if codec in _MPEG:
        return mpeg.without_user_data(payload, codec)
    if codec == "av1":
        return obus.without_user_data(payload)
    if codec == "gif":
        return gifs.without_user_data(payload)
    return jpeg.without_user_data(payload) if codec == "mjpeg" else payload


def clean_header(codec: str, extradata: bytes) -> bytes:
    """What the container keeps aside for the decoder."""
    if codec in _MPEG:
        return mpeg.without_user_data(extradata, codec)
    return obus.header_without_user_data(extradata) if codec == "av1" else extradata
