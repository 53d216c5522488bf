"""Confined readers of media inside a worker of Ray."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import ray
from support.processes import eventually, is_alive, keepers, parsers

from faceanon.core.settings import PlanSettings
from faceanon.media import guarded
from faceanon.media.clips import write_clip
from faceanon.rayflow import executor

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


def reading():
    """The class of a worker amid a video; made here, so that it travels to a process that does not know this file."""

    class Reading:
        def begin(self, clip: str) -> int:
            facts, _ = guarded.probe(Path(clip), PlanSettings())
            self._reader = guarded.read_pictures(Path(clip), facts, None)
            next(self._reader)
            return os.getpid()

        def count(self) -> int:
            return 1 + sum(1 for _ in self._reader)

    return Reading


@pytest.fixture
def worker(monkeypatch):
    """Of a Ray that is started for it."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with executor.joined(None):
        yield ray.remote(num_cpus=1, max_restarts=0)(reading()).remote()


def test_a_worker_reads_and_leaves_no_reader_when_it_is_killed(worker, tmp_path):
    """One keeper a worker, made when first needed; kill -9 of the worker takes it and its readers along."""
    clip = write_clip(tmp_path / "clip.mp4", (np.full((240, 320, 3), n, np.uint8) for n in range(200)))

    pid = ray.get(worker.begin.remote(str(clip)))
    family = [*keepers(pid), *parsers(pid)]
    assert len(family) == 2
    assert ray.get(worker.count.remote()) == 200
    assert parsers(pid) == []
    ray.get(worker.begin.remote(str(clip)))
    family += parsers(pid)
    assert keepers(pid) == family[:1]
    os.kill(pid, signal.SIGKILL)

    assert len(family) == 3
    assert eventually(lambda: not any(map(is_alive, family)))
