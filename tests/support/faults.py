"""Faults planted into a process that works on fake people: for tests of what survives them.

A plan is a list of faults, each a dict:

    on      "create", "upload", "link" (what a store does) or "detect" (the detector meets a magenta face: the poisoned segment)
    match   regular expression searched in the object's name; not for "detect"
    when    "before" or "after" the call
    how     "kill" (a real SIGKILL), "segv" (a real one), "raise", "hang", "memory" (a real limit, really met), "slow" (0.2 s)
    times   how many calls meet it, over all processes; 0 = every one

Which calls met a fault is written down in a folder: one file each, named `<number of the fault>.<call>`, with the process's id in it.
A `Plant` is a loader of models. It travels to workers by pickling, and what it plants is planted in whatever process it arrives in.
"""

from __future__ import annotations

import ctypes
import functools
import os
import re
import resource
import signal
import time
from pathlib import Path

import numpy as np
from support.fake_archive import fake_models

from faceanon.archive.disk import LocalStore
from faceanon.archive.objects import S3Store

POISON_HUE = 300  # magenta
_planted = False


class Plant:
    """The fake models, and faults planted on arrival. `here` plants them in this process, too."""

    def __init__(self, plan: list[dict], folder: str, *, here: bool = False) -> None:
        self.plan, self.folder = plan, folder
        if here:
            _plant(plan, Path(folder))

    def __reduce__(self):
        return _arrived, (self.plan, self.folder)

    def __call__(self, settings, *, need):
        models = fake_models(settings, need=need)
        faults = [(n, f) for n, f in enumerate(self.plan) if f["on"] == "detect"]
        inner = models.detector.detect

        def detect(image):
            for number, fault in faults:
                if fault["how"] == "slow" or is_poisoned(image):
                    meet(number, fault, Path(self.folder))
            return inner(image)

        models.detector.detect = detect
        return models


def is_poisoned(image: np.ndarray) -> bool:
    blue, green, red = (image[..., i].astype(int) for i in range(3))
    return int(((blue > 150) & (red > 150) & (green < 100)).sum()) > 60


def meet(number: int, fault: dict, folder: Path) -> None:
    """Let a fault happen, unless it has happened often enough."""
    if not _taken(number, fault.get("times", 0), folder):
        return
    how = fault["how"]
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "segv":
        ctypes.string_at(0)
    elif how == "raise":
        raise ValueError("planted: this detector does not like what it sees")
    elif how == "hang":
        time.sleep(3600)
    elif how == "memory":
        _meet_a_limit()
    elif how == "slow":
        time.sleep(0.2)
    else:
        raise AssertionError(f"no such fault: got {how = }")


def met(folder: Path, number: int = 0) -> list[int]:
    """The processes that met a fault, one entry a time."""
    return [int(path.read_text()) for path in sorted(folder.glob(f"{number}.*"))]


def _taken(number: int, times: int, folder: Path) -> bool:
    folder.mkdir(parents=True, exist_ok=True)
    call = 0
    while True:
        if times and call >= times:
            return False
        try:
            with (folder / f"{number}.{call:04d}").open("x") as file:
                file.write(str(os.getpid()))
            return True
        except FileExistsError:
            call += 1


def _meet_a_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * os.sysconf("SC_PAGE_SIZE") + (64 << 20), hard))
    try:
        np.ones(1 << 30, np.uint8)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _arrived(plan: list[dict], folder: str) -> Plant:
    return Plant(plan, folder, here=True)


def _plant(plan: list[dict], folder: Path) -> None:
    global _planted
    if _planted:
        return
    _planted = True
    for store in (LocalStore, S3Store):
        for method, place in (("create", 0), ("upload", 1), ("link", 1)):
            faults = [(n, f) for n, f in enumerate(plan) if f["on"] == method]
            if faults:
                setattr(store, method, _faulty(getattr(store, method), place, faults, folder))


def _faulty(method, place: int, faults: list[tuple[int, dict]], folder: Path):
    @functools.wraps(method)
    def call(self, *arguments):
        def at(when: str) -> None:
            for number, fault in faults:
                if fault["when"] == when and re.search(fault["match"], f"{self.root}/{arguments[place]}"):
                    meet(number, fault, folder)

        at("before")
        answer = method(self, *arguments)
        at("after")
        return answer

    return call
