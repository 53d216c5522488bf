"""NAL units of H.264 and HEVC: split, told apart, and rid of user data.

Units go in and come out as bytes without start code or length. A packet leaves as Annex B (start codes), which every muxer of
FFmpeg takes and which lets copied and re-encoded packets stand in one stream.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

START = b"\x00\x00\x00\x01"
_H264_SETS = (7, 8, 13)
_HEVC_SETS = (32, 33, 34)
# Kept SEI messages say how to decode or show; all others may identify a person, a device or an encoder (user data, timecodes).
# 0 buffering, 1 picture timing, 6 recovery point, 45 frame packing, 47 display orientation, 129 active sets, 132 digest, 137 and 144 light levels, 147 transfer
_KEPT_SEI = frozenset({0, 1, 6, 45, 47, 129, 132, 137, 144, 147})
_REGISTERED, _UNREGISTERED = 4, 5
_CAPTIONS = b"\xb5\x00\x31GA94\x03"
_X264 = b"x264 - core "
_X264_WITHOUT_BUGS = 151


def unit_type(codec: str, unit: bytes) -> int:
    return unit[0] & 31 if codec == "h264" else (unit[0] >> 1) & 63


def is_parameter_set(codec: str, unit: bytes) -> bool:
    return unit_type(codec, unit) in (_H264_SETS if codec == "h264" else _HEVC_SETS)


def is_random_access(codec: str, types: Iterable[int]) -> bool:
    """True where one of the units starts a picture that depends on nothing before: IDR, or HEVC's BLA and CRA."""
    return any(t == 5 if codec == "h264" else 16 <= t <= 21 for t in types)


def length_size(codec: str, extradata: bytes | None) -> int:
    """Bytes of the length before each unit as avcC or hvcC says; 0 means Annex B."""
    if not extradata or extradata[0] != 1 or len(extradata) < (7 if codec == "h264" else 23):
        return 0
    return (extradata[4 if codec == "h264" else 21] & 3) + 1


def parameter_sets(codec: str, extradata: bytes | None) -> list[bytes]:
    """The parameter sets that a container keeps aside. A prefix of them where the record is damaged."""
    if not extradata:
        return []
    if not length_size(codec, extradata):
        return [unit for unit in split(extradata, 0) if is_parameter_set(codec, unit)]
    return list(_avcc(extradata) if codec == "h264" else _hvcc(extradata))


def _avcc(data: bytes) -> Iterator[bytes]:
    at = 5
    for mask in (31, 255):
        count, at = data[at] & mask, at + 1
        for _ in range(count):
            size = int.from_bytes(data[at : at + 2], "big")
            yield data[at + 2 : at + 2 + size]
            at += 2 + size
        if at >= len(data):
            return


def _hvcc(data: bytes) -> Iterator[bytes]:
    at = 23
    for _ in range(data[22]):
        kind, count = data[at] & 63, int.from_bytes(data[at + 1 : at + 3], "big")
        at += 3
        for _ in range(count):
            size = int.from_bytes(data[at : at + 2], "big")
            if kind in _HEVC_SETS:
                yield data[at + 2 : at + 2 + size]
            at += 2 + size


def split(data: bytes, prefix: int) -> list[bytes]:
    """The units of one packet; `prefix` as from `length_size`."""
    return list(_by_length(data, prefix) if prefix else _by_start_code(data))


def _by_length(data: bytes, prefix: int) -> Iterator[bytes]:
    at = 0
    while at + prefix < len(data):
        size = int.from_bytes(data[at : at + prefix], "big")
        if size:
            yield data[at + prefix : at + prefix + size]
        at += prefix + size


def _by_start_code(data: bytes) -> Iterator[bytes]:
    start = data.find(b"\x00\x00\x01")
    while start >= 0:
        stop = data.find(b"\x00\x00\x01", start + 3)
        unit = data[start + 3 : stop if stop >= 0 else len(data)].rstrip(b"\x00")
        if unit:
            yield unit
        start = stop


def join(units: Iterable[bytes]) -> bytes:
    return b"".join(START + unit for unit in units)


def as_broken_link(data: bytes) -> bytes:
    """An HEVC access unit in Annex B with each CRA slice (21) called BLA_N_LP (18): the same syntax, but without leading pictures, and nothing before is needed."""
    return join(bytes([36 | (unit[0] & 0x81)]) + unit[1:] if unit_type("hevc", unit) == 21 else unit for unit in split(data, 0))


def without_user_data(codec: str, unit: bytes, *, captions: bool) -> bytes | None:
    """The unit; an SEI unit with only the messages that are kept, or None where nothing is left of it."""
    kind = unit_type(codec, unit)
    if kind not in ((6,) if codec == "h264" else (39, 40)):
        return unit
    head = 1 if codec == "h264" else 2
    messages = list(sei_messages(unit[head:]))
    kept = [m for m in (_kept(number, body, captions) for number, body in messages) if m is not None]
    if kept == messages:
        return unit
    return unit[:head] + _escaped(b"".join(_message(*m) for m in kept) + b"\x80") if kept else None


def _kept(number: int, body: bytes, captions: bool) -> tuple[int, bytes] | None:
    if number in _KEPT_SEI or (number == _REGISTERED and captions and body.startswith(_CAPTIONS)):
        return number, body
    if number == _UNREGISTERED and body[16:].startswith(_X264):
        # FFmpeg works around bugs of old x264 versions by this number, so there the number stays, and the rest goes.
        version = body[16 + len(_X264) :].split(b" ")[0].split(b"\x00")[0]
        return (number, body[:16] + _X264 + version + b"\x00") if version.isdigit() and int(version) < _X264_WITHOUT_BUGS else None
    return None


def sei_messages(payload: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, body) of each message in an SEI unit's payload."""
    data = payload.replace(b"\x00\x00\x03", b"\x00\x00")
    at = 0
    while at + 2 < len(data):
        number, at = _long(data, at)
        size, at = _long(data, at)
        yield number, data[at : at + size]
        at += size


def _long(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    while at < len(data) and data[at] == 255:
        value, at = value + 255, at + 1
    return value + (data[at] if at < len(data) else 0), at + 1


def _message(number: int, body: bytes) -> bytes:
    return b"".join(b"\xff" * (n // 255) + bytes([n % 255]) for n in (number, len(body))) + body


def _escaped(data: bytes) -> bytes:
    """With emulation prevention bytes, so that no start code shows inside."""
    out = bytearray()
    zeros = 0
    for value in data:
        if zeros >= 2 and value <= 3:
            out.append(3)
            zeros = 0
        out.append(value)
        zeros = zeros + 1 if value == 0 else 0
    return bytes(out)


def recovery_frames(codec: str, units: Iterable[bytes]) -> int:
    """Frames until the picture is right after starting here, from an H.264 recovery point message; 0 without one."""
    for unit in units:
        if codec == "h264" and unit_type(codec, unit) == 6:
            for number, body in sei_messages(unit[1:]):
                if number == 6 and body:
                    return _exp_golomb(body)
    return 0


def _exp_golomb(data: bytes) -> int:
    bits = f"{int.from_bytes(data[:8].ljust(8, b'0'), 'big'):064b}"
    zeros = bits.find("1")
    return int(bits[zeros : 2 * zeros + 1], 2) - 1 if 0 <= zeros < 32 else 0


def set_id(unit: bytes) -> int:
    """seq_parameter_set_id of an H.264 SPS."""
    return _exp_golomb(unit[4:].replace(b"\x00\x00\x03", b"\x00\x00"))
