"""Messages between the process that asks and the one that parses: JSON, then plain arrays. Nothing that is read here can run code.

A message is 4 bytes of length, a JSON object, and the bytes of the arrays that its `arrays` names as [dtype, length]. What comes from
a parsing process is not trusted: kinds and sizes are checked against bounds before memory is taken. Raises Garbled.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LENGTH = struct.Struct("<I")
_MAX_JSON_BYTES = 1 << 28
_MAX_ARRAY_BYTES = 1 << 31
_DTYPES = ("<i8", "|b1")  # pts and flags; pictures travel in shared memory

Read = Callable[[memoryview], None]  # fills the whole view, or raises


class Garbled(Exception):
    """What came is not a message."""


def send(channel: socket.socket, value: dict[str, Any], arrays: Sequence[NDArray] = ()) -> None:
    """arrays: one-dimensional, int64 or bool."""
    kinds = [[array.dtype.str, len(array)] for array in arrays]
    text = json.dumps({**value, "arrays": kinds} if kinds else value, separators=(",", ":")).encode()
    channel.sendall(_LENGTH.pack(len(text)) + text)
    for array in arrays:
        channel.sendall(np.ascontiguousarray(array).view(np.uint8))


def receive(read: Read) -> tuple[dict[str, Any], list[NDArray]]:
    """The next message and its arrays."""
    (size,) = _LENGTH.unpack(_bytes(read, _LENGTH.size))
    if size > _MAX_JSON_BYTES:
        raise Garbled(f"a message of {size} bytes")
    try:
        value = json.loads(_bytes(read, size))
    except (ValueError, RecursionError) as error:
        raise Garbled(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise Garbled("not an object")
    return value, [_array(read, kind) for kind in value.pop("arrays", [])]


class Buffered:
    """Reads a socket in large pieces. `wait` is called when its timeout has passed without a byte, and may raise."""

    def __init__(self, channel: socket.socket, wait: Callable[[], None]) -> None:
        self._channel, self._wait = channel, wait
        self._buffer = bytearray(1 << 16)
        self._left = memoryview(self._buffer)[:0]

    def __call__(self, view: memoryview) -> None:
        """Fills `view`. Raises EOFError where the other side is gone."""
        while view:
            if self._left:
                count = min(len(view), len(self._left))
                view[:count], self._left = self._left[:count], self._left[count:]
            else:
                count = self._receive(view)
            view = view[count:]

    def _receive(self, view: memoryview) -> int:
        """At least a byte, into `view` where it is large, else aside."""
        aside = len(view) < len(self._buffer)
        while True:
            try:
                count = self._channel.recv_into(self._buffer if aside else view)
            except BlockingIOError:
                self._wait()
                continue
            if not count:
                raise EOFError
            if not aside:
                return count
            self._left = memoryview(self._buffer)[:count]
            return 0


def set_patience(channel: socket.socket, seconds: float) -> None:
    """How long reads and writes block before BlockingIOError; in the kernel, where Python's own timeout would cost a call more each time."""
    spec = struct.pack("@ll", int(seconds), max(1, int(seconds % 1 * 1e6)))
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, spec)
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, spec)


def forever() -> None:
    """A `wait` that waits on."""


def _bytes(read: Read, size: int) -> bytearray:
    data = bytearray(size)
    read(memoryview(data))
    return data


def _array(read: Read, kind: Any) -> NDArray:
    if not (isinstance(kind, list) and len(kind) == 2 and kind[0] in _DTYPES and isinstance(kind[1], int)):
        raise Garbled(f"an array of unknown kind: {kind!r}")
    dtype = np.dtype(kind[0])
    if not 0 <= kind[1] * dtype.itemsize <= _MAX_ARRAY_BYTES:
        raise Garbled(f"an array of {kind[1]} entries")
    data = _bytes(read, kind[1] * dtype.itemsize)
    # Any byte but 0 and 1 would be no bool that numpy knows.
    return np.frombuffer(data, np.uint8) != 0 if dtype == np.bool_ else np.frombuffer(data, dtype)
