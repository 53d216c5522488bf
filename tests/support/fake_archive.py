"""Clips of fake people (coloured disks, see faceanon.models.fakes) and a job on them, for tests of the flow without weights."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np

from faceanon.archive.sources import resolve
from faceanon.archive.store import open_store
from faceanon.core.settings import Settings, auditor_of
from faceanon.flow import driver
from faceanon.flow.job import Context, JobSpec, new_run, open_keystore
from faceanon.flow.local import LocalExecutor
from faceanon.flow.request import work_to_do
from faceanon.identity.keystore import scope_name
from faceanon.ledger.known import known
from faceanon.media.clips import write_clip
from faceanon.models import fakes

SIZE = (192, 144)  # width, height px


class Silent:
    def phase(self, name, total):
        pass

    def advance(self, row):
        pass

    def note(self, text):
        pass


def background(seed: int) -> np.ndarray:
    """Grey texture: nothing of it is a fake face."""
    rng = np.random.default_rng(seed)
    rough = rng.integers(60, 200, (SIZE[1] // 8, SIZE[0] // 8), np.uint8)
    grey = np.kron(rough, np.ones((8, 8), np.uint8))
    return np.repeat(grey[:, :, None], 3, axis=2)


def frames(script, count: int, seed: int = 1):
    """`script(frame)` gives a list of (x, y, size, hue); frames as (H, W, 3) uint8 BGR."""
    for number in range(count):
        image = background(seed).copy()
        for x, y, size, hue in script(number):
            fakes.draw_face(image, x, y, size, hue)
        yield image


def write_archive(folder: Path) -> Path:
    """cam/walk.mp4: one person walks through, faces in the middle GOPs only. cam/two.mkv: two people and a cut. empty.mp4: nobody."""

    def walk(n):
        return [(20 + 4 * (n - 40), 70, 44, 0)] if 40 <= n < 80 else []

    def two(n):
        return [(50 + n / 2, 70, 40, 0), (140, 70 - n / 4, 40, 120)] if n < 40 else [(90, 70, 56, 120)]

    (folder / "cam").mkdir(parents=True, exist_ok=True)
    write_clip(folder / "cam/walk.mp4", frames(walk, 120), gop=15, audio=(np.sin(np.arange(48000 * 4) / 20).astype(np.float32) / 4, 48000))
    shots = [*frames(two, 40, seed=2), *list(frames(two, 80, seed=9))[40:]]
    write_clip(folder / "cam/two.mkv", shots, gop=20)
    write_clip(folder / "empty.mp4", frames(lambda n: [], 50, seed=3), gop=25)
    return folder


def fake_models(settings: Settings, *, need):
    """What catalog.load_models gives, made of fakes."""
    people = fakes.FakePeople()
    people.bank = SimpleNamespace(
        female=np.linspace(0, 1, 40, dtype=np.float32),
        age=np.full(40, 35, np.float32),
        skin=np.full((40, 3), 50, np.float32),
        embedding=np.zeros((40, fakes.FakeEmbedder.dimensions), np.float32),
    )
    people.embedding = lambda persona: people.portrait(persona).embedding
    return SimpleNamespace(
        detector=fakes.FakeDetector("yunet"),
        auditor=fakes.FakeDetector(auditor_of(settings), threshold=0.6),
        mesh=fakes.FakeMesh(),
        embedder=fakes.FakeEmbedder(),
        attributes=fakes.FakeAttributes(),
        segmenter=fakes.FakeSegmenter(),
        people=people,
        shot_net=None,
    )


def spec_of(out: Path | str, settings: Settings, key_file: Path, sources: list[str]):
    """A JobSpec and what is to be done."""
    store = open_store(str(out))
    resolved = resolve(sources, settings, exclude=(store.root,))
    keystore = open_keystore(str(key_file), create=True)
    scopes = tuple(sorted({scope_name(settings, item, "") for item in resolved.items}))
    keystore.ensure_scopes(scopes)
    spec = JobSpec(store.root, store.uri(".work"), str(key_file), scopes, keystore.fingerprint(scopes), settings, new_run(settings, keystore.keystore_id))
    return spec, work_to_do(resolved, known(store), settings, keystore.keystore_id, retry_quarantined=False)


def run_local(sources: list[str], out: Path | str, key_file: Path, settings: Settings, loader=fake_models) -> dict:
    """The job on `sources`, with fakes, in this process; its summary."""
    spec, work = spec_of(out, settings, key_file, sources)
    with Context(spec, loader) as context:
        return driver.run(context, LocalExecutor(context), work, Silent())
