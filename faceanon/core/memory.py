"""How this process's allocator treats pictures.

glibc gives every block of a few hundred kB or more back to the system at once and asks for it anew with the next frame; each of its pages
is then cleared by the kernel again. Kept instead, converting a 720p frame costs less than half. Other C libraries are left as they are.
"""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_MOST_BYTES = 32 << 20  # glibc refuses more
_KEPT_BYTES = 256 << 20


def keep_freed_blocks() -> bool:
    """Blocks up to 32 MiB stay in the heap when they are freed, up to 256 MiB in all. False where the C library cannot be told so."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_M_MMAP_THRESHOLD, _MOST_BYTES)) and bool(mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES))
