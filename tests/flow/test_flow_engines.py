"""deepprivacy and cleanir as jobs, on fake people and a fake net: published, painted, keyed, remembered; codes nowhere but under seal."""

from __future__ import annotations

import argparse
import hashlib
import json
from types import SimpleNamespace

import numpy as np
import pytest
from support.fake_archive import fake_models, frames, run_local, write_archive

from faceanon.cli import main
from faceanon.commands import anonymize
from faceanon.core.settings import Settings
from faceanon.flow.job import Context, JobSpec, new_run, open_keystore
from faceanon.identity import gallery
from faceanon.ledger.query import query
from faceanon.media.clips import write_clip
from faceanon.models import fakes
from faceanon.render import inpaint

BASE = Settings().with_values(plan__segment_seconds=0.8, detect__width_px=192)
HUES = np.radians(np.arange(15, 360, 30))


def models(settings, *, need):
    """The fakes, with a bank of people of twelve hues and a net that paints the hue of a code."""
    hues = np.tile(HUES, 2)  # a man and a woman of each
    looks = np.zeros((len(hues), fakes.FakeEmbedder.dimensions), np.float32)
    looks[:, 0], looks[:, 1] = 1.3 * np.cos(hues), 1.3 * np.sin(hues)
    bank = SimpleNamespace(female=np.repeat([0.1, 0.9], len(HUES)), age=np.full(len(hues), 40), skin=np.zeros((len(hues), 3)), embedding=looks)
    return SimpleNamespace(**vars(fake_models(settings, need=need)), bank=bank, inpainter=fakes.FakeInpainter())


def context(home, settings):
    keystore = open_keystore(str(home / "key.json"), create=True)
    spec = JobSpec(str(home / "out"), str(home / "out/.work"), str(home / "key.json"), (), keystore.fingerprint(), settings, new_run(settings, keystore.keystore_id))
    return Context(spec, models)


@pytest.mark.parametrize("engine", ["deepprivacy", "cleanir"])
def test_a_job_paints_a_new_face_and_shows_no_code(engine, tmp_path, monkeypatch):
    """Everything is published; tracks name the engine and lie far from their originals; no number of a code is in ledger, summary or work, unsealed."""
    monkeypatch.setattr(inpaint, "in_light_of", lambda new, old, mesh: new)  # a fake person is a colour, and cleanir keeps the place's colours
    settings = BASE.with_values(render__engine=engine, identity__scope="archive")
    archive = write_archive(tmp_path / "in")

    summary = run_local([str(archive)], tmp_path / "out", tmp_path / "key.json", settings, loader=models)

    assert (summary["published"], summary["quarantined"]) == (3, [])
    tracks = query(str(tmp_path / "out"), "SELECT method, distance_to_original AS distance FROM tracks").to_pylist()
    assert tracks
    assert {t["method"] for t in tracks} == {engine}
    assert min(t["distance"] for t in tracks) > 0.6
    with context(tmp_path, settings) as job:
        people = gallery.load(job.work, job.keystore, "archive").people
    codes = [code for person in people for code in person.codes.values()]
    assert len(codes) == 2
    spelled = [str(value).encode() for code in codes for value in code if value] + [np.float32(code).tobytes() for code in codes]
    written = b"\n".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()) + json.dumps(summary).encode()
    assert not any(number in written for number in spelled)


def test_a_person_keeps_the_code_in_a_later_run_and_each_engine_has_its_own(tmp_path):
    """The same person in a second video gets the first one's code, though the mean of their looks has moved; the other engine adds one and changes none."""
    for name, hue in (("a.mp4", 0), ("b.mp4", 4)):
        write_clip(tmp_path / name, frames(lambda n, hue=hue: [(80 + n, 70, 44, hue)], 30), gop=15)
    settings = BASE.with_values(render__engine="cleanir", identity__scope="archive")

    def run(name, settings):
        run_local([str(tmp_path / name)], tmp_path / "out", tmp_path / "key.json", settings, loader=models)
        with context(tmp_path, settings) as job:
            (person,) = gallery.load(job.work, job.keystore, "archive").people
        return person

    first, second = run("a.mp4", settings), run("b.mp4", settings)
    third = run("b.mp4", settings.with_values(render__engine="deepprivacy"))

    assert not np.array_equal(first.embedding, second.embedding)
    assert second.codes == first.codes
    assert set(third.codes) == {"cleanir 120", "deepprivacy"}
    assert third.codes["cleanir 120"] == first.codes["cleanir 120"]


def test_weights_are_named_on_the_command_line_and_pinned(tmp_path, capsys):
    """--engine, --variant, --mask and --weights become settings with the weights' digest, so that other weights are other outputs; missing ones are said at once."""
    paths = [tmp_path / name for name in ("one.safetensors", "two.safetensors")]
    for path in paths:
        path.write_bytes(path.name.encode())
    parser = argparse.ArgumentParser()
    anonymize.add_arguments(parser)
    words = ["a.mp4", "--output", "out", "--engine", "deepprivacy", "--variant", "keypoints", "--mask", "box", "--weights"]

    one, two = (anonymize._settings(parser.parse_args([*words, str(path)])) for path in paths)
    code = main(["anonymize", str(tmp_path), "--output", str(tmp_path / "out"), "--engine", "cleanir", "--weights", str(tmp_path / "none")])

    assert (one.render.engine, one.render.variant, one.render.mask) == ("deepprivacy", "keypoints", "box")
    assert one.render.weights_sha256 == hashlib.sha256(b"one.safetensors").hexdigest()
    assert one.digest() != two.digest()
    assert code == 1
    assert "no weights at" in capsys.readouterr().err
