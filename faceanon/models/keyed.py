"""Numbers that follow from an identity code, for nets whose own notion of a person is noise."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray


def normals(code: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """(count,) standard normal numbers: the same for the same code, on any machine. By Box and Muller's transform of SHAKE-256."""
    data = hashlib.shake_256(np.ascontiguousarray(code, "<f4").tobytes()).digest(16 * count)
    uniform = ((np.frombuffer(data, "<u8") >> np.uint64(11)) + 0.5) * 2.0**-53  # in (0, 1)
    return (np.sqrt(-2 * np.log(uniform[:count])) * np.cos(2 * np.pi * uniform[count:])).astype(np.float32)
