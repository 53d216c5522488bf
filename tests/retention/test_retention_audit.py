"""`faceanon audit` on real files, with detectors that find coloured disks: what it passes, fails, cannot tell, and refuses."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta

import pytest
from support.fake_archive import frames, run_local, write_archive

from faceanon.archive.store import open_store
from faceanon.cli import main
from faceanon.commands import audit as command
from faceanon.core.errors import UsageError
from faceanon.core.settings import DETECTORS, Settings
from faceanon.flow.audit import auditor_of, queue
from faceanon.ledger import boxes
from faceanon.ledger.events import events
from faceanon.ledger.known import known
from faceanon.ledger.upkeep import expire
from faceanon.media.clips import write_clip
from faceanon.models.fakes import FakeDetector
from faceanon.retention.verdicts import Verdicts, judged

BLUR = Settings().with_values(render__engine="fill", plan__segment_seconds=0.8, detect__width_px=192)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An archive that was anonymized once."""
    home = tmp_path_factory.mktemp("audit")
    run_local([str(write_archive(home / "archive"))], home / "out", home / "key.json", BLUR)
    return home


@pytest.fixture
def out(made, tmp_path):
    shutil.copytree(made / "out", tmp_path / "out")
    return open_store(str(tmp_path / "out"))


class Sharp(FakeDetector):
    """An auditor of another family; its weights are other ones than the run's."""

    def __init__(self, name, **words):
        super().__init__(name, threshold=0.6)
        self.model_sha256 = ("a" * 64,)


class Blind(Sharp):
    def detect(self, image):
        boxes, points, scores = super().detect(image)
        return boxes[:0], points[:0], scores[:0]


class Everywhere(Sharp):
    """Sees a face in the upper left corner of every picture."""

    def detect(self, image):
        import numpy as np

        return np.array([[0, 0, 20, 20]], np.float32), np.full((1, 5, 2), np.nan, np.float32), np.array([0.9], np.float32)


def audited(out, *words, maker=Sharp, capsys=None):
    import argparse

    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([out.root, *words]), maker)


def verdicts(out) -> list[tuple[str, str, str]]:
    return [(row["name"], row["auditor"], row["decision"]) for row in events(out, "verdicts")]


def test_a_clean_archive_passes(out):
    """By the one family that the run left; the verdicts count as an independent audit of these very bytes."""
    code = audited(out)
    passed = Verdicts(out)

    assert code == 0
    assert sorted(verdicts(out)) == [(name, "mtcnn", "pass") for name in ("cam/two.mkv", "cam/walk.mp4", "empty.mp4")]
    for entry in known(out).current.each():
        record = json.loads(out.read(f"ledger/records/{entry_path(out, entry.name)}"))
        assert judged(passed.of(entry.output_id), record)[0] == ""


def entry_path(out, name) -> str:
    from faceanon.ledger.commit import RECORDS, log_of

    return out.list(log_of(name))[-1].removeprefix(RECORDS)


def test_a_face_that_was_left_fails(out):
    """A hit outside what the ledger says was painted; exit 3, and the gate stays shut."""
    code = audited(out, maker=Everywhere)

    assert code == 3
    assert {decision for _, _, decision in verdicts(out)} == {"fail"}
    assert all("outside the painted regions" in row["reason"] and row["residual_faces"] > 0 for row in events(out, "verdicts"))


def test_without_boxes_a_hit_is_unknown(out):
    """Where faces were painted has expired: what is seen cannot be told apart, what shows nobody still passes."""
    expire(out.root, out, 0, lambda: datetime.now(UTC) + timedelta(2))
    code = audited(out, "--format", "json", maker=Everywhere)
    told = {name: decision for name, _, decision in verdicts(out)}

    assert out.list(boxes.BOXES) == []
    assert code == 3
    assert told == {"cam/two.mkv": "unknown", "cam/walk.mp4": "unknown", "empty.mp4": "fail"}
    assert audited(out, maker=Blind) == 0


def test_an_output_that_is_another_file_fails(out):
    """Swapped, gone or not a video: a verdict, not a crash."""
    names = {entry.name: entry.object for entry in known(out).current.each()}
    out.replace(names["empty.mp4"], out.read(names["cam/walk.mp4"]))
    out.delete(names["cam/walk.mp4"])
    audited(out)

    reasons = {row["name"]: (row["decision"], row["reason"]) for row in events(out, "verdicts")}
    assert reasons["empty.mp4"] == ("fail", "the output is not what was published")
    assert reasons["cam/walk.mp4"] == ("fail", "the output is not there")


def test_all_frames_on_request(out):
    """Otherwise one a second."""
    audited(out)
    sampled = {row["name"]: row["frames_sampled"] for row in events(out, "verdicts")}
    audited(out, "--every-frame", "--all")
    every = {row["name"]: row["frames_sampled"] for row in list(events(out, "verdicts"))[3:]}

    assert every == {"cam/two.mkv": 80, "cam/walk.mp4": 120, "empty.mp4": 50}
    assert all(sampled[name] < every[name] / 5 for name in every)


def test_the_oldest_verdict_comes_first(out):
    """A night's sample goes on where the last one ended."""
    for _ in range(3):
        audited(out, "--sample", "1")

    assert len({name for name, _, _ in verdicts(out)}) == 3
    assert [entry.name for entry in queue(out, Verdicts(out).newest_audit)] == [name for name, _, _ in verdicts(out)]


@pytest.mark.parametrize(
    ("detector", "auditor", "wanted", "message"),
    [
        ("yunet", "auto", "yunet", "not yunet"), ("yunet", "auto", "centerface", "mtcnn or blazeface, not centerface"),
        ("yunet+centerface", "auto", "mtcnn", "is blazeface, not mtcnn"), ("yunet+centerface+blazeface", "mtcnn", "", "no other family"),
    ],
)  # fmt: skip
def test_who_looked_may_not_audit(detector, auditor, wanted, message):
    """Neither the run's detector nor its own auditor; where all have looked, nobody is left."""
    with pytest.raises(UsageError, match=message):
        auditor_of(record_with(detector, auditor), wanted)


def test_somebody_is_left_for_every_run_that_settings_allow():
    """The first family that neither found faces nor audited; BlazeFace where a union took two."""
    asked = [("yunet", "auto"), ("yunet", "mtcnn"), ("centerface", "auto"), ("yunet+centerface", "auto"), ("mtcnn+yunet", "auto")]

    assert [auditor_of(record_with(*one)) for one in asked] == ["mtcnn", "centerface", "yunet", "blazeface", "blazeface"]


def record_with(detector: str, auditor: str) -> dict:
    return {"name": "a.mp4", "run": {"settings_json": json.dumps({"detect": {"detector": detector}, "verify": {"auditor": auditor}})}}


def test_nobody_left_is_a_clear_error(tmp_path, capsys, monkeypatch):
    """From the command line, with exit 2 and the families that were used."""
    monkeypatch.setattr("faceanon.flow.audit.AUDITORS", DETECTORS)
    write_clip(tmp_path / "a.mp4", frames(lambda n: [], 25), gop=25)
    settings = BLUR.with_values(detect__detector="yunet+centerface")
    run_local([str(tmp_path / "a.mp4")], tmp_path / "out", tmp_path / "key.json", settings)

    assert main(["audit", str(tmp_path / "out")]) == 2
    assert "centerface, mtcnn, yunet" in capsys.readouterr().err
