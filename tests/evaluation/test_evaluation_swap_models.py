"""`faceanon evaluate swap` on synthetic people: what it takes for a new face."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from faceanon.cli import main
from faceanon.core.records import Persona
from faceanon.core.settings import ModelSettings
from faceanon.media.clips import write_clip
from faceanon.models.embedders import DlibEmbedder
from faceanon.models.fakes import FakeAttributes
from faceanon.models.mesh import TfliteMesh
from faceanon.models.people import SyntheticPeople

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """A folder with two people's clips, 8 frames each, the mouth opening and closing."""
    folder, models = tmp_path_factory.mktemp("people"), ModelSettings()
    mesh = TfliteMesh(models)
    generator = SyntheticPeople(models, mesh, DlibEmbedder(models), FakeAttributes())
    for name, base in (("one", 0), ("other", 5)):
        images = [cv2.resize(image, (256, 256), interpolation=cv2.INTER_AREA) for image in generator.portrait(Persona(base, base + 1, 0.3)).images]
        write_clip(folder / f"{name}.mp4", [images[n] for n in (0, 1, 2, 3, 3, 2, 1, 0)])
    return folder


@pytest.mark.parametrize(("shown", "share"), [("other", 1.0), ("one", 0.0), ("hidden", 0.0)])
def test_only_another_face_is_a_new_face(people, tmp_path, capsys, shown, share):
    """Another person in the place of the face counts, far away; the source's own face, encoded again, does not, nor does a face in its own colours."""
    (tmp_path / "videos").mkdir()
    if shown == "hidden":
        write_clip(tmp_path / "videos/one.mp4", [np.full((256, 256, 3), 120, np.uint8)] * 8)
    else:
        (tmp_path / "videos/one.mp4").write_bytes((people / f"{shown}.mp4").read_bytes())

    code = main(["evaluate", "swap", str(people / "one.mp4"), str(tmp_path), "--format", "json"])

    found = json.loads(capsys.readouterr().out)["clips"][-1]
    assert code == 0
    assert (found["tracklets"], found["frames"], found["frontal_swapped_share"]) == (1, 8, share)
    assert found["far"] == share


def test_a_source_without_an_output_is_said(people, tmp_path, capsys):
    """Exit 2 with the folder's name where nothing was published of what is asked about."""
    assert main(["evaluate", "swap", str(people / "one.mp4"), str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err
