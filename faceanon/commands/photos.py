"""Photos of named people: read from a manifest, and one face of each as the job would see it in a frame."""

from __future__ import annotations

import csv
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from faceanon.analyze.detect import look_at_image
from faceanon.core import geometry
from faceanon.core.errors import UsageError
from faceanon.core.picture import Image
from faceanon.core.ports import FaceDetector
from faceanon.core.records import Method, Origin, RegionTable
from faceanon.core.settings import Settings


@dataclass(frozen=True)
class Photo:
    """One labelled picture."""

    person: str
    file: str  # as the manifest names it


@dataclass(frozen=True, eq=False)  # holds arrays
class Face:
    """The face of a photo: the one nearest to its middle."""

    image: Image
    box: NDArray[np.float32]  # (4,) px
    points: NDArray[np.float32]  # (5, 2) px


def read_manifest(path: Path) -> list[Photo]:
    """A tsv or csv with the columns file and person, or one of pairs (id_a, file_a, id_b, file_b); each photo once. Raises UsageError."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot be read: {error}", source=str(path)) from error
    rows = list(csv.DictReader(lines, delimiter="\t" if lines and "\t" in lines[0] else ","))
    columns = set(rows[0]) if rows else set()
    if {"file", "person"} <= columns:
        photos = [Photo(row["person"], row["file"]) for row in rows]
    elif {"id_a", "file_a", "id_b", "file_b"} <= columns:
        photos = [Photo(row[f"id_{side}"], f"{row[f'id_{side}']}/{row[f'file_{side}']}") for row in rows for side in "ab"]
    else:
        raise UsageError(f"needs the columns file and person, or id_a, file_a, id_b and file_b: got {sorted(columns)}", source=str(path))
    return list(dict.fromkeys(photos))


def two_of_each(photos: list[Photo], limit: int | None) -> list[tuple[Photo, Photo]]:
    """The first two photos, by name, of everybody who has two, in order of the people's names; evenly spread where there are more than `limit`."""
    by_person: dict[str, list[Photo]] = {}
    for photo in photos:
        by_person.setdefault(photo.person, []).append(photo)
    pairs = [tuple(sorted(own, key=lambda p: p.file)[:2]) for _, own in sorted(by_person.items()) if len(own) > 1]
    if limit and limit < len(pairs):
        pairs = [pairs[k] for k in np.linspace(0, len(pairs) - 1, limit).round().astype(int)]
    return pairs  # type: ignore[return-value]


def bystanders(photos: list[Photo]) -> list[Photo]:
    """The only photo of everybody who has one, in order of the people's names: they can only stand in a gallery."""
    counts: dict[str, list[Photo]] = {}
    for photo in photos:
        counts.setdefault(photo.person, []).append(photo)
    return [own[0] for _, own in sorted(counts.items()) if len(own) == 1]


def opener(root: Path) -> Callable[[Photo], Image | None]:
    """Reads photos below a folder, or out of a tar or the tars of a folder, where their last two parts are their names; None for one that is nowhere or no picture."""
    members: dict[str, tuple[tarfile.TarFile, tarfile.TarInfo]] = {}
    for path in [root] if root.suffix == ".tar" else sorted(root.glob("*.tar")):
        archive = tarfile.open(path)  # noqa: SIM115 (read from for as long as there are photos to read)
        members |= {_tail(entry.name): (archive, entry) for entry in archive if entry.isfile()}

    def data_of(photo: Photo) -> bytes:
        path = root / photo.file
        if path.is_file():
            return path.read_bytes()
        archive, entry = members.get(_tail(photo.file), (None, None))
        file = archive.extractfile(entry) if archive and entry else None
        return file.read() if file else b""

    def read(photo: Photo) -> Image | None:
        data = data_of(photo)
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
        return None if image is None else np.asarray(image, np.uint8)

    return read


def _tail(name: str) -> str:
    return "/".join(name.split("/")[-2:])


def face_of(image: Image, detector: FaceDetector, settings: Settings) -> Face | None:
    """The sure face nearest to the middle; None where there is none."""
    boxes, points, scores = look_at_image(image, detector, settings.detect)
    sure = np.flatnonzero(scores >= settings.detect.sure)
    if not len(sure):
        return None
    middle = np.array([image.shape[1], image.shape[0]], np.float32) / 2
    best = sure[np.argmin(np.linalg.norm(geometry.centres(boxes[sure]) - middle, axis=1))]
    return Face(image, boxes[best], points[best])


def region_of(face: Face, settings: Settings) -> RegionTable:
    """What the job would ask of an engine: this face, in its one frame, of identity 0."""
    height, width = face.image.shape[:2]
    box = face.box[None]
    return RegionTable(
        frame=np.zeros(1, np.int32),
        track=np.zeros(1, np.int32),
        identity=np.zeros(1, np.int32),
        face=box,
        cover=geometry.clip(geometry.grow(box, settings.track.pad), width, height),
        points=face.points[None],
        method=np.array([Method.ENGINE], np.uint8),
        origin=np.array([Origin.DETECTED], np.uint8),
    )
