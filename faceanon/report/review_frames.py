"""Single frames of published outputs as JPEG, made when they are asked for and held in memory alone. Sources are never opened."""

from __future__ import annotations

import tempfile
import threading
from collections import OrderedDict
from itertools import islice
from pathlib import Path

import cv2

from faceanon.archive.store import LocalStore, S3Store
from faceanon.core.picture import Picture
from faceanon.core.records import PacketIndex, Segment, VideoFacts
from faceanon.core.settings import PlanSettings
from faceanon.core.timeline import Span
from faceanon.media.guarded import probe, read_pictures

WINDOW = 24  # frames that are decoded together: who looks at one steps to the next
WIDTH_PX = 1280
QUALITY = 85
_WINDOWS, _FILES = 12, 3  # that are kept

Opened = tuple[Path, VideoFacts, PacketIndex]


class Frames:
    """Use it in a `with`: outputs of an object store are copied to a folder of its own while it lasts. Safe to share between threads."""

    def __init__(self, out: LocalStore | S3Store, plan: PlanSettings) -> None:
        self._out, self._plan = out, plan
        self._lock = threading.Lock()
        self._folder = tempfile.TemporaryDirectory(prefix="faceanon-review-")
        self._opened: OrderedDict[str, Opened] = OrderedDict()
        self._windows: OrderedDict[tuple[str, int], list[bytes]] = OrderedDict()

    def __enter__(self) -> Frames:
        return self

    def __exit__(self, *error: object) -> None:
        self._folder.cleanup()

    def jpeg(self, name: str, frame: int) -> bytes:
        """Frame `frame` of the committed file `name` below OUT. Raises IndexError where it has none, SourceError, StoreError or FileNotFoundError."""
        with self._lock:
            start = frame - frame % WINDOW
            if (name, start) not in self._windows:
                self._windows[name, start] = self._decoded(name, start)
                _forget(self._windows, _WINDOWS)
            self._windows.move_to_end((name, start))
            return self._windows[name, start][frame - start]

    def _decoded(self, name: str, start: int) -> list[bytes]:
        path, facts, index = self._open(name)
        count = facts.num_frames_from_content
        stop = min(start + WINDOW, count)
        if start >= stop:
            raise IndexError(f"no such frame: got {start = }, {count = }")
        if not index.trustworthy:  # frames are numbered as they decode
            reader = read_pictures(path, facts, None, writable=False)
            pictures = [_jpeg(picture) for picture in islice(reader, start, stop)]
            reader.close()
            return pictures
        stop_pts = int(index.pts[stop]) if stop < count else facts.stop_pts
        own = Segment("", 0, Span(int(index.pts[start]), stop_pts), start, stop - start, False)
        return [_jpeg(picture) for picture in read_pictures(path, facts, own, writable=False)]

    def _open(self, name: str) -> Opened:
        if name not in self._opened:
            path = self._path(name)
            self._opened[name] = (path, *probe(path, self._plan))
            for old, _, _ in _forget(self._opened, _FILES):
                if old.is_relative_to(self._folder.name):
                    old.unlink(missing_ok=True)
        self._opened.move_to_end(name)
        return self._opened[name]

    def _path(self, name: str) -> Path:
        if isinstance(self._out, LocalStore):
            return Path(self._out.root) / name
        path = Path(self._folder.name) / Path(name).name
        if not path.exists():
            self._out.download(name, path)
        return path


def _forget(kept: OrderedDict, most: int) -> list:
    """What is too old to be kept, taken out."""
    return [kept.popitem(last=False)[1] for _ in range(len(kept) - most)]


def _jpeg(picture: Picture) -> bytes:
    return cv2.imencode(".jpg", picture.bgr(WIDTH_PX), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
