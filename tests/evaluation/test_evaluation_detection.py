"""Recall tables, from generated pictures."""

import gzip
import io
import tarfile

import cv2
import numpy as np
import pytest

from faceanon.core.errors import UsageError
from faceanon.evaluation.detection import evaluate_detection, match, read_tar, read_wider
from faceanon.evaluation.report import recall_table, table


def encoded(width=64, height=48):
    return cv2.imencode(".png", np.zeros((height, width, 3), np.uint8))[1].tobytes()


def finder(boxes):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    return lambda image: (boxes, np.zeros((len(boxes), 5, 2), np.float32), np.ones(len(boxes), np.float32))


@pytest.fixture
def labelled(tmp_path):
    """A tar of two pictures and its table: faces of 10, 20 and 40 px."""
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        for name in ("set/a.png", "set/b.png"):
            data = encoded()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    faces = [("set/a.png", 2, 2, 10), ("set/a.png", 20, 2, 20), ("set/b.png", 0, 0, 40)]
    rows = ["file\twidth\theight\tx\ty\tw\th\tlabel\tdifficult", *(f"{name}\t64\t48\t{x}\t{y}\t{size}\t{size}\tface\t0" for name, x, y, size in faces)]
    (tmp_path / "set.tsv").write_text("\n".join(rows) + "\n")
    return tmp_path


def test_recall_is_counted_by_width_of_face(labelled):
    """Each face falls in its bucket, and boxes on nothing are counted apart."""
    images = list(read_tar(labelled / "set.tar", labelled / "set.tsv"))
    rows = evaluate_detection(images, {"one": finder([(20, 2, 40, 22)]), "none": finder([])}, buckets=((0, 16), (16, 32), (32, 99)))

    assert [(r.detector, r.faces, r.found, r.spurious) for r in rows[:3]] == [("one", 1, 0, 1), ("one", 1, 1, 1), ("one", 1, 0, 1)]
    assert [(r.detector, r.faces, r.found, r.spurious) for r in rows[3:]] == [("none", 1, 0, 0)] * 3
    assert "16-31 px" in recall_table(rows)


def test_a_box_finds_one_face_only():
    """Two faces under one box are one hit."""
    hit, used = match(np.float32([[0, 0, 10, 10], [1, 0, 11, 10]]), np.float32([[0, 0, 10, 10]]))

    assert hit.tolist() == [True, False]
    assert used.tolist() == [True]


def test_wider_labels_are_read_and_missing_pictures_passed_over(tmp_path):
    """Labels of pictures that the user does not have are no error."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(encoded())
    with gzip.open(tmp_path / "labels.txt.gz", "wt") as out:
        out.write("# a.png 64 48\n1 2 11 12\n5 5 9 9 0 0\n# b.png 64 48\n1 1 2 2\n")
    (only,) = read_wider(tmp_path, tmp_path / "labels.txt.gz")

    assert only.boxes.tolist() == [[1, 2, 11, 12], [5, 5, 9, 9]]


def test_files_that_are_not_there_are_the_users_error(tmp_path):
    """A wrong path is named."""
    with pytest.raises(UsageError, match="gone"):
        list(read_tar(tmp_path / "gone.tar", tmp_path / "gone.tsv"))


def test_tables_align_numbers_to_the_right():
    """Columns of numbers end under each other."""
    assert table(["name", "n"], [["a", 5], ["bcd", 10]]) == "name   n\n----  --\na      5\nbcd   10"
