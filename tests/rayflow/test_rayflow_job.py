"""The job on a real local Ray with real models, beside the local runner, on the tiny sample archive."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from faceanon.archive.store import open_store
from faceanon.core.errors import UsageError
from faceanon.core.settings import ModelSettings, RunSettings
from faceanon.ledger.known import known
from faceanon.ledger.query import query
from faceanon.rayflow import executor
from faceanon.rayflow.resources import pool_for
from faceanon.samples.archive import build_sample_archive

COMPARED = {
    "videos": "SELECT name, state, sha256, video_id, frames FROM videos ORDER BY ALL",
    "outputs": "SELECT name, output_id, sha256, size, codec, engine, people, faces, copied_segments, encoded_segments FROM outputs ORDER BY ALL",
    "segments": "SELECT name, segment_no, first_frame, frames, state, reason, out_sha256 FROM segments ORDER BY ALL",
    "shots": "SELECT name, shot_no, first_frame, stop_frame, cut_score FROM shots ORDER BY ALL",
    "tracks": "SELECT name, track_id, label, method, first_frame, stop_frame, n_det, frames_face, frames_obscured, distance_to_original FROM tracks ORDER BY ALL",
    "verdicts": "SELECT name, auditor, frames_sampled, residual_faces, decision FROM verdicts ORDER BY ALL",
}


def anonymize(archive: Path, out: Path, key: Path, *options: str) -> dict:
    """The command as a user types it, in a process of its own; its summary."""
    command = [sys.executable, "-m", "faceanon", "anonymize", str(archive), "--output", str(out), "--key-file", str(key), "--no-progress", "--format", "json", *options]
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout[done.stdout.index("{") :])


def digests(out: Path) -> dict[str, str]:
    return {str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted((out / "videos").rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    return build_sample_archive(tmp_path_factory.mktemp("tiny"), size="tiny", models=ModelSettings())


@pytest.mark.ray
@pytest.mark.models
@pytest.mark.timeout(600)
def test_ray_equals_the_local_runner(archive, tmp_path):
    """Byte for byte in the videos and row for row in the ledger, with more segments than actors; and a second run has nothing to do."""
    options = ("--segment-seconds", "0.9", "--scope", "collection")

    local = anonymize(archive, tmp_path / "local", tmp_path / "key.json", "--local", *options)
    on_ray = anonymize(archive, tmp_path / "ray", tmp_path / "key.json", "--workers", "2", *options)
    again = anonymize(archive, tmp_path / "ray", tmp_path / "key.json", "--workers", "2", *options)

    assert on_ray["balances"]
    assert on_ray["published"] == local["published"] == local["requested"]
    assert digests(tmp_path / "ray") == digests(tmp_path / "local")
    for sql in COMPARED.values():
        assert query(str(tmp_path / "ray"), sql).to_pylist() == query(str(tmp_path / "local"), sql).to_pylist()
    assert (again["published"], again["unchanged"]) == (0, on_ray["published"])
    assert set(known(open_store(str(tmp_path / "ray"))).current) == {row["name"] for row in on_ray["videos"]}


def test_pools_fit_the_machine():
    """Never more actors than units or CPUs; on a GPU machine the pixel phases share the GPUs and the others do not touch them."""
    small, large = {"CPU": 2.0}, {"CPU": 16.0, "GPU": 1.0}

    assert pool_for("analyze", 1, RunSettings(), small).actors == 1
    assert pool_for("analyze", 50, RunSettings(), small).actors == 2
    assert pool_for("redact", 50, RunSettings(), large).gpus == 0.25
    assert pool_for("link", 50, RunSettings(), large).gpus == 0.0
    assert pool_for("redact", 50, RunSettings(device="cpu"), large).gpus == 0.0
    assert pool_for("analyze", 50, RunSettings(workers=5), small).cpus * 5 <= 2.0


def test_a_cluster_without_workers_is_refused(monkeypatch):
    """A head that does no work is no place for a run: it would be given all of it."""
    head = {"Alive": True, "NodeID": "n", "NodeManagerAddress": "127.0.0.1", "Resources": {"memory": 1.0}}
    monkeypatch.setattr(executor.ray, "nodes", lambda: [head])

    with pytest.raises(UsageError, match="no node"):
        executor.check_nodes(None)
