"""Runs of `fault_job` as processes, what to wait for before they are killed, and what must hold after any fault."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from support.fake_archive import frames, write_archive

from faceanon.archive.store import open_store
from faceanon.core.settings import Settings
from faceanon.ledger.commit import RECORDS, read_record
from faceanon.ledger.query import query
from faceanon.media.clips import write_clip
from faceanon.media.decode import read_pictures
from faceanon.media.probe import probe
from faceanon.media.segments import plan_segments

JOB = Path(__file__).with_name("fault_job.py")
POISONED = "cam/poison.mp4"
_WAIT_S = 280.0
SAME = {
    "videos": "SELECT name, state, sha256, frames FROM videos ORDER BY ALL",
    "outputs": "SELECT name, output_id, sha256, people, faces, copied_segments, encoded_segments FROM outputs ORDER BY ALL",
    "segments": "SELECT name, segment_no, first_frame, frames, state, reason, out_sha256 FROM segments ORDER BY ALL",
    "tracks": "SELECT name, track_id, label, method, first_frame, stop_frame, n_det, frames_face, frames_obscured FROM tracks ORDER BY ALL",
}


def write_faulty_archive(folder: Path) -> Path:
    """The fake archive and one video whose first segment alone shows a magenta face: fakes see a person, planted faults their moment."""
    write_archive(folder)
    write_clip(folder / POISONED, frames(lambda n: [(60 + 2 * n, 70, 44, 300)] if 4 <= n < 17 else [], 60, seed=5), gop=20)
    return folder


@dataclass
class Job:
    """One archive and one OUT, run as often as wanted. scratch, faults and toml are made in `home`."""

    home: Path
    archive: str
    key: Path | None  # None: FACEANON_KEY in the environment
    out: str = ""
    options: tuple[str, ...] = ("--engine", "blur", "--segment-seconds", "0.8")
    settings: dict[str, dict] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.out = self.out or str(self.home / "out")
        self.scratch = self.home / "scratch"
        self.faults = self.home / "faults"
        self.scratch.mkdir(parents=True, exist_ok=True)

    def start(self, *options: str, plan: list[dict] | None = None, clock_s: float = 0.0, ray: str = "") -> subprocess.Popen:
        """The command, as a process; on the Ray at address `ray`, else --local."""
        command, environment = self.command(*options, plan=plan, on_ray=bool(ray))
        environment |= {"FAULT_CLOCK_S": str(clock_s)} if clock_s else {}
        environment |= {"RAY_ADDRESS": ray} if ray else {}
        with (self.home / "out.txt").open("wb") as out, (self.home / "err.txt").open("wb") as err:
            return subprocess.Popen(command, stdout=out, stderr=err, env={**os.environ, **environment})

    def command(self, *options: str, plan: list[dict] | None = None, on_ray: bool = False) -> tuple[list[str], dict[str, str]]:
        """What to run, and in which environment beside the usual one."""
        tables = {"detect": {"width_px": 192}, **self.settings, "run": {"scratch_dir": str(self.scratch), **self.settings.get("run", {})}}
        lines = [line for name, table in tables.items() for line in (f"[{name}]", *(f"{k} = {json.dumps(v)}" for k, v in table.items()))]
        (self.home / "settings.toml").write_text("\n".join(lines))
        command = [sys.executable, str(JOB), self.archive, "--output", self.out, "--settings", str(self.home / "settings.toml")]
        command += ["--key-file", str(self.key)] if self.key else []
        command += ["--no-progress", "--format", "json", *self.options, *(() if on_ray else ("--local",)), *options]
        return command, {"RAY_AUTH_MODE": "disabled", "FAULT_PLAN": json.dumps(plan or []), "FAULT_FOLDER": str(self.faults), **self.environment}

    def finish(self, process: subprocess.Popen) -> dict:
        """Its summary, or {"exit_code"} where it printed none; "stderr" holds what it said."""
        try:
            code = process.wait(_WAIT_S)
        except subprocess.TimeoutExpired:
            kill(process)
            raise
        text, said = (self.home / "out.txt").read_text(), (self.home / "err.txt").read_text()
        summary = json.loads(text) if text else {}
        return {**summary, "exit_code": code, "stderr": said}

    def run(self, *options: str, **how) -> dict:
        return self.finish(self.start(*options, **how))

    def killed_when(self, there: Callable[[], bool], process: subprocess.Popen) -> None:
        """kill -9 as soon as `there` holds."""
        wait_until(there, process)
        kill(process)

    def attempt(self, phase: str) -> dict:
        """Who works on a unit of a phase now; {} where nobody does."""
        return next(iter(self.attempts(phase)), {})

    def attempts(self, phase: str) -> list[dict]:
        """Everybody who works on a unit of a phase now."""
        found, store = [], open_store(self.out)
        for name in store.list(".work/attempts"):
            if re.search(rf"/{phase}/[^/]+\.[0-9]+$", name):
                with suppress(FileNotFoundError, json.JSONDecodeError):
                    found.append(json.loads(store.read(name)))
        return found


def wait_until(there: Callable[[], object], process: subprocess.Popen | None = None) -> None:
    stop = time.monotonic() + _WAIT_S
    while not there():
        if time.monotonic() > stop or (process is not None and process.poll() is not None):
            raise AssertionError("what was waited for never came" if process is None or process.poll() is None else f"the job ended first: {process.returncode}")
        time.sleep(0.002)


def kill(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def videos_of(out: str) -> dict[str, str]:
    """Name to digest of what videos/ shows."""
    store = open_store(out)
    return {name: hashlib.sha256(store.read(name)).hexdigest() for name in store.list("videos")}


def rows_of(out: str, name: str, without: tuple[str, ...] = ()) -> list[dict]:
    return [row for row in query(out, SAME[name]).to_pylist() if row["name"] not in without]


def assert_whole(job: Job, quiet: Job | None, summary: dict, *, quarantined: tuple[str, ...] = ()) -> None:
    """What holds after every fault, once a run has ended by itself: nothing lost, nothing twice, nothing left, and the bytes of a quiet run."""
    assert summary["exit_code"] == (3 if quarantined else 0), summary["stderr"]
    assert summary["balances"]
    assert summary["requested"] == len(names_of(job.archive)) == summary["published"] + summary["unchanged"] + len(quarantined)
    assert [q["name"] for q in summary["quarantined"]] == sorted(quarantined)
    _assert_published_once(job, quarantined)
    _assert_nothing_left(job)
    if quiet is not None:
        shown, expected = videos_of(job.out), videos_of(quiet.out)
        assert shown == {name: sha for name, sha in expected.items() if name.removeprefix("videos/") not in quarantined}
        for name in SAME:
            assert rows_of(job.out, name, quarantined) == rows_of(quiet.out, name, quarantined), name


def _assert_published_once(job: Job, quarantined: tuple[str, ...]) -> None:
    store = open_store(job.out)
    wanted = set(names_of(job.archive))
    logs: dict[str, list[dict]] = {}
    for path in store.list(RECORDS):
        record = read_record(store, path)
        logs.setdefault(record["name"], []).append(record)
    published = {name: [r for r in log if r["kind"] == "published"] for name, log in logs.items()}

    assert wanted == set(logs), "every video asked for has a decision, and nothing else has"
    assert {name for name, log in logs.items() if log[-1]["kind"] == "quarantined"} == set(quarantined)
    assert set(store.list("objects")) == {r["output"]["object"] for records in published.values() for r in records}, "an object that no record names is left"
    assert set(videos_of(job.out)) == {f"videos/{name}" for name, records in published.items() if records}
    for name, records in published.items():
        outputs = [r["output_id"] for r in records]
        assert len(outputs) == len(set(outputs)), f"{name} was published twice"
        if name not in quarantined:
            _assert_as_recorded(job, store, name, records[-1])


def _assert_as_recorded(job: Job, store, name: str, record: dict) -> None:
    data = store.read(f"videos/{name}")
    path = job.home / f"look{Path(name).suffix}"
    path.write_bytes(data)
    pictures = sum(1 for _ in pictures_of(path))
    path.unlink()

    assert hashlib.sha256(data).hexdigest() == record["output"]["sha256"]
    assert hashlib.sha256(store.read(record["output"]["object"])).hexdigest() == record["output"]["sha256"]
    assert pictures == record["output"]["frames"] == record["facts"]["frames"]


def pictures_of(path: Path) -> Iterator[tuple[np.ndarray, ...]]:
    """The planes of each picture of a video, decoded from its first to its last; read-only, good until the next one is asked for."""
    plan = Settings().plan
    facts, index = probe(path, plan)
    for segment in plan_segments("look", facts, index, plan):
        yield from (picture.planes for picture in read_pictures(path, facts, segment, writable=False))


def _assert_nothing_left(job: Job) -> None:
    store = open_store(job.out)
    left = [name for name in store.list(".work") if not name.startswith(".work/gallery")]

    assert left == [], "half-made work is left"
    assert [name for name in store.list("runs") if not name.endswith(".json")] == [], "a mark of a run is left"
    assert [p.name for p in job.scratch.iterdir()] == [], "scratch is left"
    originals = {hashlib.sha256(data).hexdigest() for data in _originals(job.archive)}
    assert originals.isdisjoint(hashlib.sha256(store.read(name)).hexdigest() for name in store.list("objects")), "an original is in OUT"
    assert [entry.name for entry in store.unfinished(-60.0)] == [], "a half-written file or upload is left"


def names_of(archive: str) -> list[str]:
    return [name for name in open_store(archive).list("") if name.endswith((".mp4", ".mkv"))]


def _originals(archive: str) -> Iterator[bytes]:
    store = open_store(archive)
    return (store.read(name) for name in names_of(archive))
