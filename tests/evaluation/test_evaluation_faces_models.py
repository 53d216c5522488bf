"""`faceanon evaluate faces` on synthetic people: all engines on the same faces, as a table, JSON, a plot and a sheet."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from faceanon.cli import main
from faceanon.commands.photos import opener, read_manifest, two_of_each
from faceanon.core.picture import Picture
from faceanon.core.records import Persona
from faceanon.core.settings import ModelSettings

SIDE = 250


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    """Two synthetic people with the mouth closed and open, and their manifest."""
    from faceanon.models.embedders import DlibEmbedder
    from faceanon.models.fakes import FakeAttributes
    from faceanon.models.mesh import TfliteMesh
    from faceanon.models.people import SyntheticPeople

    folder, models = tmp_path_factory.mktemp("album"), ModelSettings()
    people = SyntheticPeople(models, TfliteMesh(models), DlibEmbedder(models), FakeAttributes())
    lines = ["file\tperson"]
    for base in (0, 5):
        images = people.portrait(Persona(base, base + 1, 0.3)).images
        for name, image in (("shut", images[0]), ("open", images[2])):
            cv2.imwrite(str(folder / f"{base}-{name}.png"), cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA))
            lines.append(f"{base}-{name}.png\tperson {base}")
    (folder / "faces.tsv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.models
def test_engines_are_judged_side_by_side_on_the_same_faces(album, tmp_path, capsys):
    """Hiding finds nobody and shows nothing, cleanir shows a face that is found; both stand in one table, in JSON and in the plot."""
    files = {kind: tmp_path / f"{kind}.png" for kind in ("sheet", "plot")}
    asked = ["evaluate", "faces", "--faces", str(album / "faces.tsv"), "--engine", "cleanir,cleanir:vae,pixelate", "--twice", "1", "--json", str(tmp_path / "all.json")]

    assert main([*asked, *(word for kind, path in files.items() for word in (f"--{kind}", str(path)))]) == 0

    table = capsys.readouterr().out
    report = json.loads((tmp_path / "all.json").read_text())
    found = {word: {(row["question"], row["judge"]): row for row in rows} for word, rows in report["engines"].items()}
    shown, hidden = found["cleanir"], found["pixelate"]
    assert report["people"] == 2
    assert [(judge["name"], judge["usual"]) for judge in report["judges"]] == [("dlib", 0.6), ("faceres", None)]
    assert "| question | judge | cleanir | cleanir:vae | pixelate |" in table
    assert "circular" in table
    assert shown["re-detected", ""]["value"] == 1 > hidden["re-detected", ""]["value"]
    assert shown["original to new, under 0.60", "dlib"]["value"] == 0
    assert {judge for _, judge in shown} == {"dlib", "faceres", ""}
    for rows in found.values():
        assert rows["px changed outside the engine's own box, largest", ""]["value"] == 0
        assert rows["ms a face, CPU, one thread, mesh included, median", ""]["value"] > 0
    assert all(cv2.imread(str(path)).std() > 5 for path in files.values())


def test_manifests_name_people_or_pairs(tmp_path):
    """A person's first two photos by name are taken; a table of pairs names each photo once; other columns are refused with those that are needed."""
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("same\tid_a\tfile_a\tid_b\tfile_b\n1\tAnn\t2.jpg\tAnn\t1.jpg\n0\tAnn\t1.jpg\tBob\t1.jpg\n1\tAnn\t3.jpg\tBob\t2.jpg\n")
    (tmp_path / "bad.csv").write_text("name,who\na,b\n")

    photos = read_manifest(pairs)

    assert len(photos) == 5
    assert [[p.file for p in pair] for pair in two_of_each(photos, None)] == [["Ann/1.jpg", "Ann/2.jpg"], ["Bob/1.jpg", "Bob/2.jpg"]]
    assert len(two_of_each(photos, 1)) == 1
    assert main(["evaluate", "faces", "--faces", str(tmp_path / "bad.csv")]) == 2


def test_photos_come_from_a_folder_or_a_tar(album, tmp_path):
    """The same photo either way; one that is nowhere is None."""
    import tarfile

    photo = read_manifest(album / "faces.tsv")[0]
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(album / photo.file, arcname=f"deep/{photo.file}")
    (tmp_path / "elsewhere").mkdir()

    assert np.array_equal(opener(album)(photo), cv2.imread(str(album / photo.file)))
    assert opener(tmp_path / "elsewhere")(photo) is None
    assert np.array_equal(opener(tmp_path)(type(photo)("who", f"deep/{photo.file}")), cv2.imread(str(album / photo.file)))


def test_a_photo_becomes_a_frame_and_back():
    """What is not painted looks the same, within the rounding of colours."""
    image = cv2.resize(np.random.default_rng(2).integers(0, 255, (9, 11, 3), np.uint8), (61, 47))
    assert np.abs(Picture.of(image).bgr().astype(int) - image).max() <= 3


@pytest.mark.models
def test_by_angle_people_are_first_themselves_and_then_not(album, capsys):
    """The real photos and each angle are rows; a person's own code is nearer to them than its opposite."""
    assert main(["evaluate", "angles", "--faces", str(album / "faces.tsv"), "--angles", "0,170", "--format", "json"]) == 0

    report = json.loads(capsys.readouterr().out)
    assert [row["row"] for row in report["rows"]] == ["real photos", "0 degrees", "170 degrees"]
    assert report["rows"][0]["other photo"]["dlib 0.600"] == 1
    assert report["rows"][2]["same photo"]["dlib 0.600"] == 0
