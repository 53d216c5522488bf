"""A small archive with uncertain places, the job on it with fakes, and the review server over it."""

from __future__ import annotations

import argparse
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from support.fake_archive import background, fake_models, frames, run_local

from faceanon.archive.store import open_store
from faceanon.commands import review
from faceanon.core.settings import Settings
from faceanon.media.clips import write_clip
from faceanon.media.decode import read_pictures
from faceanon.media.probe import probe
from faceanon.report.review_frames import Frames
from faceanon.report.review_server import ReviewServer

BLUR = Settings().with_values(render__engine="blur", plan__segment_seconds=0.8, detect__width_px=192)
MISSED = (130, 80, 170, 120)  # px, of a face without colour, which no fake detector sees
FIRST, STOP = 26, 34


def write_sources(folder: Path) -> Path:
    """mirror.mp4: a pale face, which scores low, and one that is missed; pale.mp4: a paler one; sure.mp4: one beyond doubt."""
    folder.mkdir()
    write_clip(folder / "mirror.mp4", [_pale(n, 130, 12, missed=FIRST <= n < STOP) for n in range(48)], gop=24)
    write_clip(folder / "pale.mp4", [_pale(n, 112, 12) for n in range(20)], gop=20)
    write_clip(folder / "sure.mp4", frames(lambda n: [(90, 70, 44, 0)], 12, seed=4), gop=12)
    return folder


def _pale(number: int, chroma: int, until: int, missed: bool = False) -> np.ndarray:
    image = background(1).copy()
    image[:10, 4 * number : 4 * number + 8] = 20  # tells frames apart
    if number < until:
        cv2.circle(image, (60 + number, 60), 22, (70, 70, 70 + chroma), -1, cv2.LINE_AA)
        for x in (52, 68):
            cv2.circle(image, (x + number, 54), 3, (20, 20, 20), -1, cv2.LINE_AA)
    if missed:
        x0, y0, x1, y1 = MISSED
        cv2.circle(image, ((x0 + x1) // 2, (y0 + y1) // 2), (x1 - x0) // 2, (225, 225, 225), -1, cv2.LINE_AA)
        for x in (x0 + 13, x0 + 27):
            cv2.circle(image, (x, y0 + 16), 4, (20, 20, 20), -1, cv2.LINE_AA)
    return image


def worked(home: Path) -> Path:
    """A folder with in/, out/ and key.json after a run."""
    write_sources(home / "in")
    summary = run_local([str(home / "in")], home / "out", home / "key.json", BLUR)
    assert summary["published"] == 3
    return home


def copy_of(home: Path, folder: Path) -> Path:
    """OUT alone, for a test that changes it."""
    shutil.copytree(home / "out", folder)
    return folder


@contextmanager
def served(out: Path, key_file: Path | None, reviewer: str = "ana") -> Iterator[ReviewServer]:
    """As `faceanon review` serves it, but with fakes for models."""
    words = {"out": str(out), "port": 0, "reviewer": reviewer, "limit": 50, "render": False, "key_file": key_file, "work": None, "settings": None}
    arguments, store = argparse.Namespace(**words), open_store(str(out))
    render = review._renderer(arguments, store, Settings(), fake_models) if key_file else None
    with Frames(store, BLUR.plan) as held, review.make_server(arguments, store, held, render) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
            if server.desk.thread is not None:
                server.desk.thread.join()


def luma(path: Path) -> list[np.ndarray]:
    return [picture.planes[0].astype(int) for picture in read_pictures(path, probe(path, BLUR.plan)[0], None)]
