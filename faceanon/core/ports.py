"""What the steps ask for. Adapters in media, models, archive and render fulfil these; tests use the fakes in models.fakes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from faceanon.core.picture import Image, Picture
from faceanon.core.records import PaintRow, Persona, RegionTable, TrackPaint


class FaceDetector(Protocol):
    """Finds faces in one upright picture."""

    name: str
    model_sha256: tuple[str, ...]

    def detect(self, image: Image) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """boxes (N, 4) xyxy px, points (N, 5, 2) px (NaN where the detector has none), scores (N,) 0..1, best first."""
        ...


class FaceMesh(Protocol):
    """Fits the 468-point mesh."""

    def fit(self, image: Image, points: NDArray[np.float32], box: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
        """mesh (468, 3) px of `image` (z in the same scale) and a score 0..1, for the face with 5 points and a box; NaN points: the box is used."""
        ...


class FaceEmbedder(Protocol):
    """Tells people apart."""

    name: str
    dimensions: int
    same_person_distance: float  # Euclidean; below it two faces are judged the same person

    def embed(self, image: Image, points: NDArray[np.float32], box: NDArray[np.float32]) -> NDArray[np.float32]:
        """(D,) float32 for the face at 5 points (or, where they are NaN, at the box)."""
        ...


class FaceAttributes(Protocol):
    """Apparent sex, age and skin, to choose a fitting synthetic person."""

    def read(self, image: Image, points: NDArray[np.float32], box: NDArray[np.float32]) -> tuple[float, float, tuple[float, float, float]]:
        """female 0..1, age in years, skin as CIE (L*, a*, b*); NaN where unknown."""
        ...


class FaceInpainter(Protocol):
    """Paints faces that it has never seen into holes."""

    name: str
    side_px: int

    def hole(self) -> NDArray[np.float32]:
        """(S, S) float32: 1 where a crop is painted anew."""
        ...

    def inpaint(self, crops: NDArray[np.uint8], meshes: NDArray[np.float32], codes: NDArray[np.float32]) -> NDArray[np.uint8]:
        """(N, S, S, 3) uint8 BGR with a new face each.

        crops (N, S, S, 3) uint8 BGR, cut by core.facecrop.to_crop; what they show inside the hole is never read. meshes (N, 468, 2) px of
        the crops: pose and expression. codes (N, 128): whose face, as a dlib embedding.
        """
        ...


class PersonSegmenter(Protocol):
    """Separates people from what stands before or behind them."""

    def mask(self, image: Image) -> NDArray[np.float32]:
        """(H, W) float32 0..1, 1 = person."""
        ...


class People(Protocol):
    """Synthetic people, painted from a Persona; the same Persona always gives the same pixels on one device class."""

    def portrait(self, persona: Persona) -> object:
        """A faceanon.models.people.Portrait: pictures with mesh, embedding and attributes."""
        ...


class FaceEngine(Protocol):
    """Paints one segment. Pictures are changed in place and come out in order, perhaps some frames later than they went in."""

    name: str

    def paint(self, pictures: Iterable[Picture], regions: RegionTable) -> Iterator[tuple[Picture, list[PaintRow]]]:
        """Every region of `regions` ends up painted, at least obscured, in its frame."""
        ...

    def summary(self) -> tuple[TrackPaint, ...]:
        """One entry per track of the segment that was painted last; valid after `paint` is exhausted."""
        ...


class Store(Protocol):
    """Bytes at rest under one root URI. Names are posix paths relative to the root."""

    root: str

    def uri(self, name: str) -> str: ...

    def read(self, name: str) -> bytes:
        """Raises FileNotFoundError."""
        ...

    def exists(self, name: str) -> bool: ...

    def create(self, name: str, data: bytes) -> None:
        """Put if absent, whole or not at all. Raises AlreadyExists."""
        ...

    def replace(self, name: str, data: bytes) -> None:
        """Put, whole or not at all; for views that can be made again, never for records."""
        ...

    def upload(self, path: Path, name: str) -> None:
        """A local file to `name`, whole or not at all; the size is checked after. Raises AlreadyExists."""
        ...

    def download(self, name: str, path: Path) -> None: ...

    def link(self, name: str, view: str) -> None:
        """Make `view` show the object `name` (hard link where possible, copy elsewhere), replacing what is there."""
        ...

    def shows(self, name: str, view: str) -> bool:
        """Whether `view` is there and shows the object `name`."""
        ...

    def list(self, prefix: str) -> list[str]:
        """Names below prefix, sorted."""
        ...

    def delete(self, name: str) -> None:
        """Missing is fine."""
        ...

    def delete_tree(self, prefix: str) -> None: ...
