"""The whole job from an S3 prefix to another, on a real server, with fake people."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from support.fake_archive import run_local, write_archive

from faceanon.archive.store import open_store
from faceanon.core.settings import Settings
from faceanon.ledger.query import query

BLUR = Settings().with_values(render__engine="blur", plan__segment_seconds=0.8, detect__width_px=192)


@pytest.mark.store
def test_a_prefix_is_anonymized_into_a_prefix(s3_root, tmp_path):
    """From s3:// to s3:// the same bytes come out as on disk, nothing stays in the work folder, and a second run has nothing to do."""
    archive = write_archive(tmp_path / "archive")
    source, out = open_store(f"{s3_root}/in"), open_store(f"{s3_root}/out")
    names = sorted(str(p.relative_to(archive)) for p in archive.rglob("*.m*"))
    for name in names:
        source.upload(archive / name, name)

    summary = run_local([f"{s3_root}/in"], out.root, tmp_path / "key.json", BLUR)
    again = run_local([f"{s3_root}/in"], out.root, tmp_path / "key.json", BLUR)
    run_local([str(archive)], tmp_path / "out", tmp_path / "key.json", BLUR)

    assert summary["balances"]
    assert (summary["published"], summary["quarantined"]) == (3, [])
    assert (again["published"], again["unchanged"]) == (0, 3)
    on_disk = {name: digest(Path(tmp_path / "out/videos" / name).read_bytes()) for name in names}
    assert {name: digest(out.read(f"videos/{name}")) for name in names} == on_disk
    assert open_store(out.uri(".work")).list("") == []
    states = query(out.root, "SELECT state, count(*) AS n FROM videos GROUP BY state").to_pylist()
    assert states == [{"state": "published", "n": 3}]


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
