"""Content credentials through the whole job: in what can hold them, as the ledger says, and verified like any output."""

from __future__ import annotations

import c2pa
from support.fake_archive import run_local, write_archive

from faceanon.archive.store import open_store
from faceanon.core.settings import Settings
from faceanon.flow.proof import prove
from faceanon.ledger.query import query

SETTINGS = Settings().with_values(render__engine="blur", detect__width_px=192, c2pa__sign=True)


def test_outputs_carry_credentials(tmp_path):
    """mp4 does, mkv does not; the ledger holds the manifest's digest, and says the digest of the signed file."""
    summary = run_local([str(write_archive(tmp_path / "in"))], tmp_path / "out", tmp_path / "key.json", SETTINGS)
    rows = query(str(tmp_path / "out"), "SELECT name, c2pa_manifest_sha256 AS manifest FROM outputs ORDER BY name").to_pylist()

    assert summary["published"] == 3
    assert [(row["name"], bool(row["manifest"])) for row in rows] == [("cam/two.mkv", False), ("cam/walk.mp4", True), ("empty.mp4", True)]
    for name, word in (("cam/walk.mp4", "Faces of people were obscured"), ("empty.mp4", "No face was found")):
        with c2pa.Reader(str(tmp_path / "out/videos" / name)) as reader:
            assert (reader.get_validation_state(), word in reader.json()) == ("Valid", True)
    assert prove(open_store(str(tmp_path / "out"))).problems == ()


def test_settings_without_credentials_are_the_same_as_before():
    """Who never asked for them publishes nothing anew; who does, does."""
    plain = Settings()

    assert plain.with_values(c2pa__certificate="a", c2pa__key="b").digest() == plain.digest() != plain.with_values(c2pa__sign=True).digest()
