"""The whole job in one process, on fake people: real codecs, real stores, real ledger, no weights."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.fake_archive import fake_models, frames, run_local, spec_of, write_archive

from faceanon.core.settings import Settings
from faceanon.flow import tryon
from faceanon.flow.job import Context
from faceanon.flow.layout import attempt
from faceanon.flow.outcome import guarded
from faceanon.ledger.query import query
from faceanon.media.clips import write_clip
from faceanon.media.decode import read_pictures
from faceanon.media.describe import describe
from faceanon.media.probe import probe
from faceanon.models.fakes import FakeDetector

BLUR = Settings().with_values(render__engine="blur", plan__segment_seconds=0.8, detect__width_px=192)


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    return write_archive(tmp_path_factory.mktemp("archive"))


@pytest.fixture(scope="module")
def done(archive, tmp_path_factory) -> tuple[Path, dict]:
    home = tmp_path_factory.mktemp("job")
    return home, run_local([str(archive)], home / "out", home / "key.json", BLUR)


def digests(out: Path) -> dict[str, str]:
    return {str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted((out / "videos").rglob("*")) if p.is_file()}


def rows(out: Path, sql: str) -> list[dict]:
    return query(str(out), sql).to_pylist()


def test_every_video_comes_out_whole(archive, done):
    """What was asked for is published under its own path, with every frame at its own time."""
    home, summary = done

    assert summary["balances"]
    assert (summary["requested"], summary["published"], summary["quarantined"]) == (3, 3, [])
    for name in ("cam/walk.mp4", "cam/two.mkv", "empty.mp4"):
        source, output = describe(archive / name), describe(home / "out" / "videos" / name)
        assert output.frame_times_s == source.frame_times_s
        assert [(s.kind, s.codec) for s in output.streams] == [(s.kind, s.codec) for s in source.streams]


def test_every_face_is_painted(archive, done):
    """Where the source shows a fake person, the output's pixels differ; where it shows none, hardly."""
    home, _ = done
    detector = FakeDetector()
    path = archive / "cam/two.mkv"
    source = read_pictures(path, probe(path, BLUR.plan)[0], None)
    out = home / "out/videos/cam/two.mkv"
    output = read_pictures(out, probe(out, BLUR.plan)[0], None)

    for before, after in zip(source, output, strict=True):
        for box in detector.detect(before.bgr())[0]:
            x0, y0, x1, y1 = (round(float(v)) for v in box)
            eyes = (slice(y0 + int(0.25 * (y1 - y0)), y0 + int(0.5 * (y1 - y0))), slice(x0, x1))
            change = cv2.absdiff(before.planes[0][eyes], after.planes[0][eyes])
            assert change.max() > 25, before.index


def test_a_video_without_faces_is_copied_bit_for_bit(archive, done):
    """No frame of a video without faces is encoded again."""
    home, _ = done

    output = rows(home / "out", "SELECT * FROM outputs WHERE name = 'empty.mp4'")[0]
    before, after = archive / "empty.mp4", home / "out/videos/empty.mp4"
    pairs = zip(*(read_pictures(p, probe(p, BLUR.plan)[0], None) for p in (before, after)), strict=True)

    assert output["encoded_segments"] == 0
    assert all(np.array_equal(a, b) for one, two in pairs for a, b in zip(one.planes, two.planes, strict=True))


def test_only_segments_with_faces_are_encoded(done):
    """In a video with faces in the middle, the other segments are copied and say so."""
    home, _ = done

    segments = rows(home / "out", "SELECT state, reason FROM segments WHERE name = 'cam/walk.mp4' ORDER BY segment_no")

    assert {s["state"] for s in segments} == {"copied", "encoded"}
    assert segments[-1] == {"state": "copied", "reason": ""}


def test_running_again_does_nothing(archive, done):
    """The same command a second time publishes nothing and changes nothing."""
    home, _ = done
    before = digests(home / "out")

    again = run_local([str(archive)], home / "out", home / "key.json", BLUR)

    assert (again["published"], again["unchanged"]) == (0, 3)
    assert digests(home / "out") == before


def test_a_lost_view_is_made_again(archive, done):
    """videos/ is made from the records: what was deleted there comes back."""
    home, _ = done
    view = home / "out/videos/empty.mp4"
    content = view.read_bytes()
    view.unlink()

    run_local([str(archive)], home / "out", home / "key.json", BLUR)

    assert view.read_bytes() == content


def test_nothing_private_stays(done):
    """After the run the work folder holds no file, and OUT holds no embedding and no key."""
    home, _ = done
    key = json.loads((home / "key.json").read_text())
    files = [p for p in (home / "out").rglob("*") if p.is_file()]

    assert [p for p in files if ".work" in p.parts] == []
    assert all(key["master"].encode() not in p.read_bytes() for p in files)


def test_the_same_input_gives_the_same_bytes(archive, done, tmp_path):
    """Another OUT, the same keystore and settings: every published video is the same, byte for byte, and so are the labels."""
    home, _ = done

    run_local([str(archive)], tmp_path / "out", home / "key.json", BLUR)

    assert digests(tmp_path / "out") == digests(home / "out")
    labels = "SELECT name, track_id, label FROM tracks ORDER BY ALL"
    assert rows(tmp_path / "out", labels) == rows(home / "out", labels)


def test_the_segment_length_changes_no_label(archive, done, tmp_path):
    """People keep their labels whatever the segment length; only bytes may differ."""
    home, _ = done

    run_local([str(archive)], tmp_path / "out", home / "key.json", BLUR.with_values(plan__segment_seconds=30.0))

    tracks = "SELECT name, track_id, label, n_det, shot_no FROM tracks ORDER BY ALL"
    assert rows(tmp_path / "out", tracks) == rows(home / "out", tracks)


def test_one_person_has_one_label_across_shots(done):
    """The person who is in both shots of two.mkv is one person, and the two who are seen together are two."""
    home, _ = done

    tracks = rows(home / "out", "SELECT shot_no, label FROM tracks WHERE name = 'cam/two.mkv' ORDER BY shot_no, label")

    assert len(tracks) == 3
    assert len({t["label"] for t in tracks}) == 2


def test_a_collection_shares_its_people(archive, tmp_path):
    """With the scope of a collection the red person of both clips has one label and one new face."""
    settings = BLUR.with_values(identity__scope="collection", render__engine="swap")

    run_local([str(archive)], tmp_path / "out", tmp_path / "key.json", settings)

    shared = rows(tmp_path / "out", "SELECT label FROM tracks GROUP BY label HAVING count(DISTINCT name) = 2")
    assert len(shared) == 1


@pytest.mark.parametrize(("scope", "people"), [("video", 3), ("collection", 2)])
def test_new_faces_are_tried_on_the_same_views_whatever_the_segments(scope, people, archive, tmp_path, monkeypatch):
    """Of each person who is shown for long, views are found again in the segments that kept them: the same ones, in the same order, and none stays behind."""
    seen: dict[float, list[bytes]] = {}

    class Watched(tryon.TryOn):
        def __init__(self, views, *rest):
            seen[length].append(hashlib.sha256(b"".join(image.tobytes() for image, *_ in views)).digest() + bytes([len(views)]))
            super().__init__(views, *rest)

    monkeypatch.setattr(tryon, "TryOn", Watched)
    for length in (0.8, 30.0):
        seen[length] = []
        settings = BLUR.with_values(render__engine="swap", identity__scope=scope, plan__segment_seconds=length)
        run_local([str(archive)], tmp_path / f"out{length}", tmp_path / "key.json", settings)

    assert [views[-1] >= 4 for views in seen[0.8]].count(True) == people
    assert seen[0.8] == seen[30.0]

    seen[length] = []
    run_local([str(archive)], tmp_path / "first", tmp_path / "key.json", settings.with_values(render__tries=1))
    assert seen[length] == []
    assert not [p for p in (tmp_path / "out0.8").rglob("*") if p.is_file() and ".work/videos" in str(p)]


def test_other_settings_supersede(archive, tmp_path):
    """Another engine into the same OUT publishes anew under the same path and marks the old row."""
    sources = [str(archive / "cam/walk.mp4")]
    run_local(sources, tmp_path / "out", tmp_path / "key.json", BLUR)
    before = digests(tmp_path / "out")

    run_local(sources, tmp_path / "out", tmp_path / "key.json", BLUR.with_values(render__engine="pixelate"))

    assert digests(tmp_path / "out") != before
    states = rows(tmp_path / "out", "SELECT engine, state FROM outputs ORDER BY engine")
    assert states == [{"engine": "blur", "state": "superseded"}, {"engine": "pixelate", "state": "current"}]


def test_bad_input_is_named_and_the_rest_goes_on(archive, tmp_path):
    """A truncated, an empty and a pretended video are quarantined with their reasons; the good one is published; a rerun says it again."""
    good = (archive / "cam/walk.mp4").read_bytes()
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "good.mp4").write_bytes(good)
    (folder / "cut.mp4").write_bytes(good[: len(good) * 6 // 10])
    (folder / "zero.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("this is a text\n" * 100)

    summary = run_local([str(folder)], tmp_path / "out", tmp_path / "key.json", BLUR)
    again = run_local([str(folder)], tmp_path / "out", tmp_path / "key.json", BLUR)

    assert summary["balances"]
    assert summary["published"] == 1
    assert [q["name"] for q in summary["quarantined"]] == ["cut.mp4", "text.mp4", "zero.mp4"]
    assert all(q["reason"] and q["name"] in q["reason"] for q in summary["quarantined"])
    assert (again["published"], again["unchanged"], len(again["quarantined"])) == (0, 1, 3)
    assert len(rows(tmp_path / "out", "SELECT * FROM videos WHERE state = 'quarantined'")) == 3


def test_a_missed_face_is_repaired(archive, tmp_path):
    """What the run's own detector never sees and the auditor does is painted in a second rendering, and the verdict counts it."""

    def half_blind(settings, *, need):
        models = fake_models(settings, need=need)
        inner = models.detector.detect

        def detect(image):
            boxes, points, scores = inner(image)
            keep = boxes[:, 0] < image.shape[1] * 0.45
            return boxes[keep], points[keep], scores[keep]

        models.detector.detect = detect
        return models

    sources = [str(archive / "cam/two.mkv")]
    summary = run_local(sources, tmp_path / "out", tmp_path / "key.json", BLUR, loader=half_blind)

    assert summary["published"] == 1
    assert summary["repairs"] >= 1
    assert rows(tmp_path / "out", "SELECT residual_faces, decision FROM verdicts") == [{"residual_faces": 0, "decision": "pass"}]


def test_a_face_that_stays_visible_is_not_published(archive, tmp_path):
    """Where repairs are not allowed a leak means quarantine, and no video appears."""

    def blind(settings, *, need):
        models = fake_models(settings, need=need)
        models.detector = FakeDetector("yunet", threshold=2.0)
        return models

    sources = [str(archive / "cam/two.mkv")]
    summary = run_local(sources, tmp_path / "out", tmp_path / "key.json", BLUR.with_values(verify__max_repairs=0), loader=blind)

    assert summary["published"] == 0
    assert summary["quarantined"][0]["stage"] == "publish"
    assert not (tmp_path / "out/videos").exists()


def test_a_source_that_changes_in_between_is_quarantined(archive, tmp_path):
    """Bytes that differ between analysis and rendering are never painted with the old regions."""
    path = tmp_path / "in" / "walk.mp4"
    path.parent.mkdir()
    path.write_bytes((archive / "cam/walk.mp4").read_bytes())

    def swapping(settings, *, need):
        if need == {"auditor"}:  # publishing begins: everything is rendered
            path.write_bytes((archive / "empty.mp4").read_bytes())
        return fake_models(settings, need=need)

    summary = run_local([str(path)], tmp_path / "out", tmp_path / "key.json", BLUR, loader=swapping)

    assert summary["published"] == 0
    assert "differs from what was planned" in summary["quarantined"][0]["reason"]
    assert not (tmp_path / "out/videos").exists()


def test_a_touched_source_is_not_published_again(archive, tmp_path):
    """The same bytes under a new date: nothing new, and said so."""
    path = tmp_path / "in" / "walk.mp4"
    path.parent.mkdir()
    path.write_bytes((archive / "cam/walk.mp4").read_bytes())
    run_local([str(path)], tmp_path / "out", tmp_path / "key.json", BLUR)
    path.write_bytes(path.read_bytes())

    again = run_local([str(path)], tmp_path / "out", tmp_path / "key.json", BLUR)

    assert (again["published"], again["unchanged"], again["balances"]) == (0, 1, True)


def test_an_old_view_is_replaced(archive, done):
    """A view that shows something else than the record is made again."""
    home, _ = done
    view = home / "out/videos/empty.mp4"
    content = view.read_bytes()
    view.unlink()
    view.write_bytes(b"old")

    run_local([str(archive)], home / "out", home / "key.json", BLUR)

    assert view.read_bytes() == content


def test_units_that_end_leave_no_attempt_behind(archive, tmp_path):
    """Only an attempt whose worker died counts: a unit that is done, or that failed, may be asked for again."""
    spec, _ = spec_of(tmp_path / "out", BLUR, tmp_path / "key.json", [str(archive / "empty.mp4")])
    with Context(spec, fake_models) as context:
        unit = {"unit_id": "u", "name": "n"}
        answers = [guarded(lambda context, unit: {}, "analyze", context, unit)["kind"] for _ in range(5)]
        context.work.create(attempt(spec.run.run_id, "redact", "u", 1), b"")
        context.work.create(attempt(spec.run.run_id, "redact", "u", 2), b"")
        context.work.create(attempt(spec.run.run_id, "redact", "u", 3), b"")
        given_up = guarded(lambda context, unit: {}, "redact", context, unit)

    assert answers == ["done"] * 5
    assert given_up["kind"] == "failed"
    assert "given up after 3 attempts" in given_up["reason"]


def test_a_fault_of_ours_is_a_row_and_leaves_no_scratch(archive, tmp_path):
    """An unexpected error in a step becomes a failed row that names it, and the scratch folder is emptied."""
    spec, _ = spec_of(tmp_path / "out", BLUR, tmp_path / "key.json", [str(archive / "empty.mp4")])

    def broken(context, unit):
        context.scratch.file(".nut").write_bytes(b"half")
        raise ZeroDivisionError("oops")

    with Context(spec, fake_models) as context:
        row = guarded(broken, "redact", context, {"unit_id": "u", "name": "n"})
        left = list(context.scratch.path.iterdir())

    assert (row["kind"], left) == ("failed", [])
    assert "ZeroDivisionError: oops" in row["reason"]


def test_a_clean_segment_that_cannot_be_copied_is_encoded(tmp_path):
    """In a codec whose packets do not mix, segments without faces are encoded beside the others, also with swap, and say why."""
    path = tmp_path / "in" / "old.mp4"
    path.parent.mkdir()
    write_clip(path, frames(lambda n: [(90, 70, 44, 0)] if n < 20 else [], 80), codec="mpeg4", gop=20)

    summary = run_local([str(path)], tmp_path / "out", tmp_path / "key.json", BLUR.with_values(render__engine="swap"))

    segments = rows(tmp_path / "out", "SELECT state, reason FROM segments ORDER BY segment_no")
    assert (summary["published"], summary["quarantined"]) == (1, [])
    assert {s["state"] for s in segments} == {"encoded"}
    assert "one header holds for the whole stream" in segments[-1]["reason"]
