"""What a reviewer drew, rendered on a real local Ray: the same bytes and rows as in one process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_rayflow_job import COMPARED, anonymize, digests

from faceanon.archive.store import open_store
from faceanon.core.records import Correction
from faceanon.ledger import corrections
from faceanon.ledger.query import query
from faceanon.media.clips import write_clip


def drawn(out: Path) -> None:
    video = query(str(out), "SELECT video_id FROM videos")["video_id"][0].as_py()
    corrections.add(open_store(str(out)), Correction(video, 22, 27, (40, 30, 90, 80)), name="clip.mp4", reviewer="ana")


@pytest.mark.ray
@pytest.mark.models
@pytest.mark.timeout(600)
def test_corrections_on_ray_equal_the_local_runner(tmp_path):
    """Published again with the region in it, byte for byte as the local runner does."""
    rough = np.random.default_rng(5).integers(60, 200, (12, 16, 3), np.uint8)
    image = np.kron(rough, np.ones((10, 10, 1), np.uint8))
    (tmp_path / "in").mkdir()
    write_clip(tmp_path / "in/clip.mp4", (np.roll(image, n, axis=1) for n in range(40)), gop=20)
    options = ("--engine", "blur", "--segment-seconds", "0.8")
    local, on_ray = tmp_path / "local", tmp_path / "ray"
    for out in (local, on_ray):
        anonymize(tmp_path / "in", out, tmp_path / "key.json", "--local", *options)
        drawn(out)

    again = [anonymize(tmp_path / "in", local, tmp_path / "key.json", "--local", *options), anonymize(tmp_path / "in", on_ray, tmp_path / "key.json", *options)]

    assert [summary["published"] for summary in again] == [1, 1]
    assert digests(local) == digests(on_ray)
    for sql in COMPARED.values():
        assert query(str(local), sql).to_pylist() == query(str(on_ray), sql).to_pylist()
    assert query(str(on_ray), "SELECT sum(n_repaired) AS n FROM tracks")["n"][0].as_py() == 5
