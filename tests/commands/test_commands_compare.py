"""`faceanon compare`: panels of one video by several engines, at its own times and with its sound."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest

from faceanon.cli import main
from faceanon.commands import panels
from faceanon.commands.engine_runs import label_of
from faceanon.core.settings import PlanSettings
from faceanon.media.clips import write_clip
from faceanon.media.guarded import probe, read_pictures

TIMES = [0, 40, 120, 160, 400, 440]  # ms: a variable rate
SOUND = (np.sin(np.arange(22050) * 0.05).astype(np.float32) * 0.3, 44100)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A folder with a clip without faces, and one frame of it as a JPEG."""
    folder = tmp_path_factory.mktemp("scene")
    ground = cv2.resize(np.random.default_rng(3).integers(0, 255, (6, 8, 3), np.uint8), (128, 96))
    images = [np.roll(ground, 3 * n, 1) for n in range(len(TIMES))]
    write_clip(folder / "clip.mp4", images, pts=TIMES, time_base=Fraction(1, 1000), audio=SOUND)
    cv2.imwrite(str(folder / "one.jpg"), images[0])
    return folder


def compared(source, out, engines, *more):
    return main(["compare", str(source), "--engines", engines, "--output", str(out), "--key-file", str(out.parent / "keys.json"), *more])


@pytest.mark.models
def test_a_film_has_a_panel_for_each_engine_at_the_source_s_times_and_its_sound(scene, tmp_path):
    """Two panels of the source's size under their names; the same frames, later by the same steps; the sound is there."""
    assert compared(scene / "clip.mp4", tmp_path / "side.mp4", "original,blur", "--columns", "2") == 0

    (before, index), (after, made) = (probe(path, PlanSettings()) for path in (scene / "clip.mp4", tmp_path / "side.mp4"))
    assert after.upright_size == (2 * 128 + panels.GAP_PX, 96 + panels.LABEL_PX)
    assert np.allclose((made.pts - made.pts[0]) * float(after.time_base), (index.pts - index.pts[0]) * float(before.time_base), atol=1e-3)
    assert [s.codec for s in after.streams if s.kind == "audio"] == ["aac"]
    for source, film in zip(read_pictures(scene / "clip.mp4", before, None), read_pictures(tmp_path / "side.mp4", after, None), strict=True):
        panel = film.bgr()[panels.LABEL_PX :, :128]
        assert np.abs(panel.astype(int) - source.bgr()).mean() < 6


@pytest.mark.models
@pytest.mark.parametrize(("name", "moments"), [("clip.mp4", 3), ("one.jpg", 1)])
def test_a_sheet_has_a_column_for_each_engine_and_a_row_for_each_moment(scene, tmp_path, name, moments):
    """Of a video as many rows as were asked for, of an image one."""
    assert compared(scene / name, tmp_path / "sheet.png", "original,pixelate,fill", "--moments", "3") == 0

    height, width = cv2.imread(str(tmp_path / "sheet.png")).shape[:2]
    assert width == 3 * (128 + panels.GAP_PX) - panels.GAP_PX
    assert height == moments * (96 + panels.LABEL_PX + panels.GAP_PX) - panels.GAP_PX


@pytest.mark.parametrize(
    ("out", "engines", "said"), [("film.avi", "blur", ".mp4"), ("film.mp4", "smear", "smear"), ("film.mp4", ",", "name an engine"), ("film.mp4", "blur:vae", "variant")]
)
def test_what_cannot_be_made_is_said_before_work_starts(scene, tmp_path, capsys, out, engines, said):
    """Exit 2, and no key is made."""
    assert compared(scene / "clip.mp4", tmp_path / out, engines) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_weights_of_one_s_own_are_named_without_their_folder():
    """Two sets of weights of one engine are told apart in a picture."""
    assert [label_of(word) for word in ("swap", "cleanir:vae", "cleanir:vae=/some/where/day2.safetensors")] == ["swap", "cleanir:vae", "cleanir:vae (day2)"]


@pytest.mark.parametrize(("count", "size", "columns"), [(2, (640, 360), 2), (4, (640, 360), 2), (4, (360, 640), 4), (1, (640, 360), 1)])
def test_panels_are_laid_out_like_a_screen(count, size, columns):
    """Wide videos stand two by two, upright ones in a row."""
    assert panels.columns_for(count, *size) == columns
