"""One archive, several jobs on one OUT at once."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
from support.fake_archive import Silent, fake_models, frames, spec_of

from faceanon.archive.shards import Shard, own
from faceanon.archive.sources import resolve
from faceanon.archive.store import open_store
from faceanon.core.settings import Settings
from faceanon.flow import driver
from faceanon.flow.job import Context
from faceanon.flow.local import LocalExecutor
from faceanon.flow.request import work_to_do
from faceanon.ledger.fold import FoldReport, fold
from faceanon.ledger.known import known
from faceanon.ledger.query import query
from faceanon.media.clips import write_clip

BLUR = Settings().with_values(render__engine="blur", plan__segment_seconds=1.0, detect__width_px=192, run__wave_videos=1)
VIDEOS = 6


@pytest.fixture
def archive(tmp_path) -> Path:
    for n in range(VIDEOS):
        (tmp_path / "in").mkdir(exist_ok=True)
        write_clip(tmp_path / f"in/{n}.mp4", frames(lambda f: [(60 + f, 70, 46, 0)], 25, seed=n), gop=25)
    (tmp_path / "in/bad.mp4").write_text("not a video")
    return tmp_path


def _job(home: Path, number: int, start) -> None:
    start.wait(60)
    spec, _ = spec_of(home / "out", BLUR, home / "key.json", [str(home / "in")])
    resolved = own(resolve([str(home / "in")], BLUR), Shard(number, 2), "video")
    out = open_store(spec.out_uri)
    work = work_to_do(resolved, known(out), BLUR, spec.run.keystore_id, retry_quarantined=False)
    with Context(spec, fake_models) as context:
        summary = driver.run(context, LocalExecutor(context), work, Silent())
    assert summary["balances"]


def test_two_shards_at_once_make_one_archive(archive):
    """Two processes, a shard each, waves and folds of one video: every video is published once, every row is there once, and nothing is left over."""
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    jobs = [context.Process(target=_job, args=(archive, number, start)) for number in (1, 2)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(120)

    out = str(archive / "out")
    assert [job.exitcode for job in jobs] == [0, 0]
    assert fold(out, open_store(out)) == FoldReport()
    rows = query(out, "SELECT state, count(*) AS n, count(DISTINCT run_id) AS runs FROM videos GROUP BY state ORDER BY state").to_pylist()
    assert rows == [{"state": "published", "n": VIDEOS, "runs": 2}, {"state": "quarantined", "n": 1, "runs": 1}]
    for table, key in (("commits", "record_id"), ("outputs", "record_id"), ("segments", "record_id || '/' || segment_no"), ("tracks", "record_id || '/' || track_id")):
        answer = query(out, f"SELECT count(*) AS n, count(DISTINCT {key}) AS keys FROM {table}").to_pylist()[0]
        assert answer["n"] == answer["keys"] > 0, table
    assert query(out, "SELECT state FROM runs").column(0).to_pylist() == ["done", "done"]
    assert sorted(p.name for p in (archive / "out/videos").iterdir()) == [f"{n}.mp4" for n in range(VIDEOS)]
    assert not list((archive / "out/.work/videos").glob("*"))
