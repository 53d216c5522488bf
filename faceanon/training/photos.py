"""A training set from pictures: a folder of them, one face each, or folders of one person each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from faceanon.core.errors import UsageError
from faceanon.core.picture import Image
from faceanon.core.ports import FaceDetector, FaceEmbedder, FaceMesh
from faceanon.core.settings import ModelSettings
from faceanon.training import faces, synthetic
from faceanon.training.faces import Faces

SUFFIXES = (".jpg", ".jpeg", ".png")
IN_SHARD = 64
_WORTH = 0.5  # score of a mesh below which a picture is left out
_ENLARGED_PX = 256  # smaller pictures are enlarged before faces are looked for


def paths_of(source: Path) -> list[Path]:
    """Pictures below a folder, or those that a manifest names, a line each, relative to it. Raises UsageError where there is none."""
    if source.is_dir():
        found = sorted(p for p in source.rglob("*") if p.suffix.lower() in SUFFIXES)
    elif source.is_file():
        found = [source.parent / line.split("\t")[0] for line in source.read_text().splitlines() if Path(line.split("\t")[0]).suffix.lower() in SUFFIXES]
    else:
        found = []
    if not found:
        raise UsageError(f"no pictures ({', '.join(SUFFIXES)}) in {source}")
    return found


def convert(source: Path, folder: Path, models: ModelSettings, on_progress: Callable[[int, int], None]) -> int:
    """Shards in `folder` of the largest face in each picture, and composites among them. Pictures in one folder of their own are one person's."""
    from faceanon.models.detectors import make_detector
    from faceanon.models.embedders import DlibEmbedder
    from faceanon.models.mesh import TfliteMesh

    paths = paths_of(source)
    people = _people(paths)
    nets = make_detector("yunet", threshold=0.6, models=models), TfliteMesh(models), DlibEmbedder(models)
    shards = range(-(-len(paths) // IN_SHARD))
    for number in shards:
        path = folder / f"faces_p{number:05d}.npz"
        part = slice(number * IN_SHARD, (number + 1) * IN_SHARD)
        if not path.exists():
            found = list(_found(paths[part], people[part], *nets))
            if found:
                faces.write(path, _with_composites(faces.joined(found), nets[2], np.random.default_rng((synthetic.FIRST_SEED, number))))
        on_progress(number + 1, len(shards))
    return len(shards)


def _people(paths: list[Path]) -> NDArray[np.int64]:
    """A number a picture: its folder's, where folders hold few pictures each, or its own. Negative, apart from seeds."""
    folders = sorted({p.parent for p in paths})
    numbers = {folder: -1 - n for n, folder in enumerate(folders)}
    return np.array([numbers[p.parent] if len(folders) > 1 else -1 - n for n, p in enumerate(paths)], np.int64)


def _found(paths: list[Path], people: NDArray[np.int64], detector: FaceDetector, mesh: FaceMesh, embedder: FaceEmbedder) -> Iterator[Faces]:
    for path, person in zip(paths, people, strict=True):
        image = cv2.imread(str(path))
        seen = None if image is None else look(image, detector, mesh)
        if seen is not None:
            picture, points = seen
            yield Faces(picture[None], points[None], faces.embed(embedder, picture, points)[None], np.array([person]), np.array([False]))


def look(image: Image, detector: FaceDetector, mesh: FaceMesh) -> tuple[Image, NDArray[np.float32]] | None:
    """The largest face of a picture as Faces keep it, with its mesh (468, 3); None where none is found."""
    zoom = max(1.0, _ENLARGED_PX / min(image.shape[:2]))
    large = image if zoom == 1.0 else cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
    boxes, points, _ = detector.detect(large)
    if not len(boxes):
        return None
    largest = int(np.argmax(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)))
    fitted, score = mesh.fit(large, points[largest], boxes[largest])
    return faces.view(large, fitted) if score >= _WORTH else None


def _with_composites(portraits: Faces, embedder: FaceEmbedder, random: np.random.Generator) -> Faces:
    if len(np.unique(portraits.people)) < 2:
        return portraits
    images, meshes = (np.stack(part) for part in zip(*synthetic.composites(portraits, random), strict=True))
    codes = np.stack([faces.embed(embedder, image, mesh) for image, mesh in zip(images, meshes, strict=True)])
    return faces.joined([portraits, Faces(images, meshes, codes, portraits.people, np.ones(len(images), bool))])
