"""The tiny sample archive."""

from __future__ import annotations

import itertools
from pathlib import Path

import av
import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from faceanon.core.errors import LicenceRefused, UsageError
from faceanon.core.settings import ModelSettings
from faceanon.models.detectors import make_detector
from faceanon.samples.archive import build_sample_archive
from faceanon.samples.script import clips

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_sample_archive(tmp_path_factory.mktemp("samples"), size="tiny")


def _pictures(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]


def _truth(root: Path, clip: str) -> list[dict]:
    return [row for row in pq.read_table(root / "truth.parquet").to_pylist() if row["clip"] == clip]


def _files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_two_builds_have_the_same_bytes(tiny: Path, tmp_path: Path) -> None:
    """A sample archive that is built again elsewhere has the same bytes, file for file, the truth included."""
    again = build_sample_archive(tmp_path / "again", size="tiny")

    assert _files(tiny) == _files(again)


def test_a_whole_archive_is_left_alone_and_a_damaged_clip_is_made_again(tiny: Path) -> None:
    """Building over an archive makes only what is missing or damaged."""
    before, made = _files(tiny), []
    victim = tiny / "two" / "empty.mp4"
    victim.write_bytes(victim.read_bytes()[:-1])

    build_sample_archive(tiny, size="tiny", on_progress=lambda name, done, total: made.append(name))

    assert set(made) == {"two/empty.mp4"}
    assert _files(tiny) == before


def test_every_clip_has_its_frames(tiny: Path) -> None:
    """Each clip decodes to the number of frames and the size that its script says."""
    for clip in clips("tiny"):
        pictures = _pictures(tiny / clip.name)

        assert (clip.frames, (clip.height, clip.width, 3)) == (len(pictures), pictures[0].shape)


def test_truth_lies_inside_the_pictures(tiny: Path) -> None:
    """Every box of the truth is a box, lies inside its picture and belongs to a frame that exists."""
    for clip in clips("tiny"):
        for row in _truth(tiny, clip.name):
            assert 0 <= row["x1"] < row["x2"] <= clip.width
            assert 0 <= row["y1"] < row["y2"] <= clip.height
            assert 0 <= row["frame"] < clip.frames
            assert 0 < row["visible"] <= 1


def test_a_detector_sees_the_people_where_the_truth_says(tiny: Path) -> None:
    """A detector finds at least 97 % of the faces in plain view with an IoU above 0.6 in the median, and nothing else."""
    detector = make_detector("yunet", threshold=0.5, models=ModelSettings())
    best: list[float] = []
    strays = 0
    for clip in clips("tiny"):
        truth = _truth(tiny, clip.name)
        for n, picture in list(enumerate(_pictures(tiny / clip.name)))[::4]:
            boxes = detector.detect(picture)[0]
            rows = [row for row in truth if row["frame"] == n]
            overlap = np.array([[_iou(row, box) for box in boxes] for row in rows]).reshape(len(rows), len(boxes))
            best += [float(overlap[i].max(initial=0)) for i, row in enumerate(rows) if row["visible"] > 0.7 and abs(row["yaw"]) < 45]
            strays += int((overlap.max(axis=0, initial=0) < 0.2).sum())

    assert np.mean(np.array(best) > 0.3) >= 0.97
    assert np.median(best) > 0.6
    assert strays == 0


def _iou(row: dict, box: np.ndarray) -> float:
    w = min(row["x2"], box[2]) - max(row["x1"], box[0])
    h = min(row["y2"], box[3]) - max(row["y1"], box[1])
    common = max(w, 0) * max(h, 0)
    return common / ((row["x2"] - row["x1"]) * (row["y2"] - row["y1"]) + (box[2] - box[0]) * (box[3] - box[1]) - common)


def test_cuts_are_where_the_pictures_change(tiny: Path) -> None:
    """The largest change between neighbouring frames of a clip with one cut lies at that cut."""
    rows = pq.read_table(tiny / "cuts.parquet").to_pylist()

    assert [(row["clip"], row["frame"], row["kind"]) for row in rows] == [("one/talk.mp4", 26, "hard"), ("one/pair.mp4", 24, "hard")]
    for row in rows:
        small = [cv2.resize(p, (64, 36), interpolation=cv2.INTER_AREA).astype(int) for p in _pictures(tiny / row["clip"])]
        change = [int(np.abs(b - a).sum()) for a, b in itertools.pairwise(small)]
        assert row["frame"] == int(np.argmax(change)) + 1


def test_people_move_and_speak(tiny: Path) -> None:
    """Faces change place and turn within a clip, and the clip with sound is not silent."""
    rows = [row for row in _truth(tiny, "one/talk.mp4") if row["person"] == "eve"]
    with av.open(str(tiny / "one" / "talk.mp4")) as container:
        sound = np.concatenate([frame.to_ndarray().ravel() for frame in container.decode(audio=0)])

    assert np.ptp([row["x1"] for row in rows]) > 10
    assert np.ptp([row["yaw"] for row in rows]) > 15
    assert np.abs(sound).max() > 0.05


def test_tags_that_must_be_stripped_are_there(tiny: Path) -> None:
    """The trap is set: a clip says where it was taken and by whom."""
    with av.open(str(tiny / "one" / "talk.mp4")) as container:
        assert {"location", "artist", "title"} <= set(container.metadata)


def test_wrong_size_and_refused_licence_are_said_at_once(tmp_path: Path) -> None:
    """An unknown size and a licence that forbids the generator stop before anything is made."""
    with pytest.raises(UsageError, match="huge"):
        build_sample_archive(tmp_path / "a", size="huge")
    with pytest.raises(LicenceRefused):
        build_sample_archive(tmp_path / "a", models=ModelSettings(licences="commercial"))

    assert not (tmp_path / "a").exists()
