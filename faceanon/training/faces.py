"""Faces to train on, in shards: a face with what is around it, its mesh, and what the embedder makes of it.

A shard is one .npz of a few dozen faces. Pictures are the crop of core.facecrop with MARGIN_PX more on every side, so that training can shift and turn them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faceanon.core import facecrop
from faceanon.core.errors import UsageError
from faceanon.core.geometry import transform
from faceanon.core.picture import Image
from faceanon.core.ports import FaceEmbedder
from faceanon.models.crops import shrink_warp

MARGIN_PX = 16
SIDE_PX = facecrop.SIDE_PX + 2 * MARGIN_PX
PATTERN = "faces_*.npz"


@dataclass(frozen=True)
class Faces:
    """N faces, row by row."""

    images: NDArray[np.uint8]  # (N, SIDE_PX, SIDE_PX, 3) BGR
    meshes: NDArray[np.float32]  # (N, 468, 3) px of the images
    codes: NDArray[np.float32]  # (N, 128) the embedder's
    people: NDArray[np.int64]  # (N,) who is seen around the face
    composite: NDArray[np.bool_]  # (N,) whether the face is somebody else's, warped onto it

    def __len__(self) -> int:
        return len(self.images)

    def rows(self, wanted: NDArray) -> Faces:
        return Faces(*(getattr(self, f.name)[wanted] for f in fields(self)))


def joined(parts: Sequence[Faces]) -> Faces:
    return Faces(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Faces)))


def view(image: Image, mesh: NDArray[np.float32]) -> tuple[Image, NDArray[np.float32]]:
    """A face of a larger picture as Faces keep it, with its mesh (468, 3)."""
    matrix = facecrop.to_crop(mesh)
    matrix[:, 2] += MARGIN_PX
    scale = np.float32(np.hypot(matrix[0, 0], matrix[1, 0]))
    moved = np.concatenate([transform(mesh[:, :2], matrix), mesh[:, 2:3] * scale], axis=1)
    return shrink_warp(image, matrix, SIDE_PX), moved.astype(np.float32)


def embed(embedder: FaceEmbedder, image: Image, mesh: NDArray[np.float32]) -> NDArray[np.float32]:
    """(128,) of the face that a mesh lies on."""
    return embedder.embed(image, facecrop.points_of(mesh), facecrop.box_of(mesh))


def write(path: Path, faces: Faces) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    with aside.open("wb") as file:
        np.savez(file, **{f.name: getattr(faces, f.name) for f in fields(faces)})
    os.replace(aside, path)


def read(path: Path) -> Faces:
    with np.load(path) as stored:
        return Faces(*(stored[f.name] for f in fields(Faces)))


def read_all(folder: Path) -> Faces:
    """Every shard of a folder, in the order of their names. Raises UsageError where there is none."""
    paths = sorted(folder.glob(PATTERN))
    if not paths:
        raise UsageError(f"no {PATTERN} in {folder}; `faceanon train dataset --output {folder}` makes them")
    return joined([read(path) for path in paths])


def people_of(faces: Faces) -> NDArray[np.float32]:
    """(P, 128) the mean code of everybody in portraits that are no composites."""
    real = faces.rows(~faces.composite)
    return np.stack([real.codes[real.people == person].mean(0) for person in np.unique(real.people)])
