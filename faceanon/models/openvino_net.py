"""OpenVINO on the CPU, as all of our nets use it: so many threads, f32 unless asked otherwise, and nothing of this process changed by it."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class _SignalStack(ctypes.Structure):
    """stack_t of sigaltstack(2)."""

    _fields_ = (("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def compiled(core: Any, model: Any, threads: int, precision: str = "f32") -> Any:
    """`model` of `core`, ready to be called. precision: "f32", or "bf16" to let a CPU that has it in hardware use it; others compute in f32."""
    # pinning would put every process of a machine on the same core; f32 keeps a CPU with bfloat16 from using it
    options = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": precision, "ENABLE_CPU_PINNING": False}
    with own_signal_stack():
        return core.compile_model(model, "CPU", options)


@contextmanager
def own_signal_stack() -> Iterator[None]:
    """This thread's alternate signal stack is afterwards what it was before.

    OpenVINO's CPU plugin puts one of its own in its place and takes its memory away with the plugin; the next signal that Python handles, a Ctrl-C or a
    time limit, then ends the process.
    """
    before = signal_stack()
    try:
        yield
    finally:
        if before is not None and signal_stack() != before:
            ctypes.CDLL(None).sigaltstack(ctypes.byref(_SignalStack(*before)), None)


def signal_stack() -> tuple[int | None, int, int] | None:
    """(start, flags, size) of this thread's alternate signal stack; None where there is no such thing."""
    if not sys.platform.startswith("linux"):
        return None
    now = _SignalStack()
    ctypes.CDLL(None).sigaltstack(None, ctypes.byref(now))
    return now.start, now.flags, now.size
