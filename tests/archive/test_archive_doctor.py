"""A store is judged by what it does: what it must do is proven on real ones, and one that ignores conditions is refused."""

from __future__ import annotations

import json

import pytest
from support.fault_proxy import LASTING

from faceanon.archive import doctor
from faceanon.archive.doctor import examine, require
from faceanon.archive.objects import S3Store, filesystem
from faceanon.archive.store import LocalStore, open_store
from faceanon.cli import main
from faceanon.core.errors import StoreUnavailable, StoreUnfit


@pytest.fixture(autouse=True)
def fewer(monkeypatch):
    """Sixteen writers still, in one round."""
    monkeypatch.setattr(doctor, "_THOROUGH", doctor.Effort(16, 1, 100_000))


def states(findings):
    return {finding.probe: finding.state for finding in findings}


def test_a_folder_is_fit(tmp_path, capsys):
    """A local folder keeps every promise, the command says so, and nothing of the probes stays."""
    code = main(["store", "doctor", str(tmp_path)])

    assert code == 0
    assert "NOT FIT" not in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.store
def test_a_real_server_is_fit(s3_root, capsys):
    """A real S3 server is fit for output and work, as JSON too, and nothing of the probes stays, not even an unfinished upload."""
    code = main(["store", "doctor", s3_root, "--format", "json"])
    told = json.loads(capsys.readouterr().out)

    assert (code, told["fit"]) == (0, True)
    assert all(finding["means"] and finding["found"] for finding in told["findings"])
    assert {"create once", "checksum", "versions and locks", "clock"} <= {finding["probe"] for finding in told["findings"]}
    store = open_store(s3_root)
    assert (store.list(""), store.unfinished(-3600)) == ([], [])


@pytest.mark.store
def test_a_store_that_ignores_conditions_is_refused(faulty_root, fault_proxy, tmp_path, capsys):
    """Where every racer is told that it won, the doctor says what would break, the job does not start and says why, and no source is read."""
    fault_proxy.fault("pretend", method="PUT", count=LASTING)
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"never read")

    found = examine(faulty_root, "output")
    told = main(["store", "doctor", faulty_root]), capsys.readouterr().out
    started = main(["anonymize", str(clip), "--output", faulty_root, "--local", "--key-file", str(tmp_path / "key.json"), "--no-progress"])

    assert states(found)["create once"] == "broken"
    assert told[0] == 1
    assert "NOT FIT" in told[1]
    assert started == 2
    assert "create once: 4 of 4 writers" in capsys.readouterr().err
    assert open_store(faulty_root).list("") == []


@pytest.mark.store
def test_uploads_in_parts_are_only_noted(faulty_root, fault_proxy):
    """Large files are named by their content, so a store that overwrites them in parts breaks no promise; it is said all the same."""
    fault_proxy.fault("pretend", method="POST", key="uploadId=", count=LASTING)

    found = states(examine(faulty_root, "work"))

    assert found["create once, in parts"] == "note"
    assert "broken" not in found.values()


@pytest.mark.store
def test_a_versioned_bucket_is_no_place_for_work(s3_root):
    """What is deleted from a versioned bucket stays: refused for work, noted for output, and the probes' own versions are removed."""
    fs = filesystem()
    fs.mkdir("faceanon-versioned")
    fs.call_s3("put_bucket_versioning", Bucket="faceanon-versioned", VersioningConfiguration={"Status": "Enabled"})
    root = "s3://faceanon-versioned/x"

    assert states(examine(root, "output"))["versions and locks"] == "note"
    with pytest.raises(StoreUnfit, match="old version"):
        require(root, f"{root}/.work")
    require(f"{s3_root}/out", f"{s3_root}/work")
    assert not fs.call_s3("list_object_versions", Bucket="faceanon-versioned").get("Versions")


def test_a_disk_that_loses_writes_is_refused(tmp_path, monkeypatch):
    """A store whose create replaces, as on a filesystem where links are not exclusive, is unfit; so is one that does not show what was written."""
    real = LocalStore.create
    monkeypatch.setattr(LocalStore, "create", LocalStore.replace)
    with pytest.raises(StoreUnfit, match="told that they won"):
        require(str(tmp_path), str(tmp_path / ".work"))
    monkeypatch.setattr(LocalStore, "create", real)
    monkeypatch.setattr(LocalStore, "list", lambda self, prefix: [])
    with pytest.raises(StoreUnfit, match="not seen at once"):
        require(str(tmp_path), str(tmp_path / ".work"))


def test_a_store_that_does_not_answer_is_not_judged(monkeypatch):
    """No answer is no proof of anything: it is said as what it is."""
    monkeypatch.setattr(S3Store, "create", lambda *_: (_ for _ in ()).throw(StoreUnavailable("the store cannot be reached")))

    with pytest.raises(StoreUnavailable):
        require("s3://bucket/out", "s3://bucket/out/.work")
