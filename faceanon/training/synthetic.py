"""The training set of synthetic people: portraits of the generator in all poses and with all mouths, and as many composites.

A composite is a portrait whose face is somebody else's, warped onto it and lit by it. Its code is the embedding of what is then seen. Composites break
what portraits teach: that a forehead, an ear and a hair line tell whose face belongs between them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from faceanon.core.geometry import similarity, transform
from faceanon.core.picture import Image
from faceanon.core.ports import FaceEmbedder, FaceMesh
from faceanon.core.settings import ModelSettings
from faceanon.models import people, styles
from faceanon.models.stylegan import StyleGan
from faceanon.models.styles import PITCH, POSE, YAW, Bank
from faceanon.render import topology as topo
from faceanon.render.blend import relight
from faceanon.render.warp import dense_map
from faceanon.training import faces
from faceanon.training.faces import Faces

FIRST_SEED = 2_000_000  # apart from the bank's people and the sample archive's
IN_SHARD, VIEWS = 32, 2  # people and portraits of each
TRUNCATION = 0.65, 0.85
_YAW, _PITCH, _SMILE = 0.45, 0.16, (0.035, 0.045)  # spread; mean and spread: units of the bank's controls
_WIDEST = 0.36  # mouth opening over eye distance
_CANDIDATES = 12  # of whom the one with the most similar pose and mouth is warped
_BETA = 0.6  # share of the way from the portrait's shape to the other person's


class Maker:
    """Draws shards. Raises LicenceRefused where the portrait generator is not allowed."""

    def __init__(self, gan: StyleGan, mesh: FaceMesh, embedder: FaceEmbedder, bank: Bank) -> None:
        self._gan, self._mesh, self._embedder, self._bank = gan, mesh, embedder, bank

    def shard(self, number: int) -> Faces:
        """IN_SHARD people, VIEWS portraits each, then one composite on each portrait; the same for the same number on one device class."""
        random = np.random.default_rng((FIRST_SEED, number))
        seeds = FIRST_SEED + number * IN_SHARD + np.arange(IN_SHARD)
        portraits = [self._portrait(int(seed), random) for seed in seeds for _ in range(VIEWS)]
        real = self._told(portraits, np.repeat(seeds, VIEWS), False)
        return faces.joined([real, self._told(composites(real, random), real.people, True)])

    def _portrait(self, seed: int, random: np.random.Generator) -> tuple[Image, NDArray[np.float32]]:
        offset = random.uniform(*TRUNCATION) * (self._gan.map(styles.noise(seed)[None])[0] - self._bank.mean)
        yaw, pitch = random.normal(0, [_YAW, _PITCH])
        opening = max(0.0, random.uniform(-_WIDEST, _WIDEST))  # half of all mouths are shut
        levels = posed(self._bank, offset.astype(np.float32), float(np.clip(yaw, -1.1, 1.1)), pitch + float(self._bank.rest[PITCH]))
        image = self._gan.synthesize(styles.speaking(self._bank, levels, opening, random.normal(*_SMILE)))
        return faces.view(image, people.fit(self._mesh, image))

    def _told(self, drawn: list[tuple[Image, NDArray[np.float32]]], whose: NDArray[np.int64], composite: bool) -> Faces:
        codes = [faces.embed(self._embedder, image, mesh) for image, mesh in drawn]
        images, meshes = (np.stack(part) for part in zip(*drawn, strict=True))
        return Faces(images, meshes, np.stack(codes), whose, np.full(len(drawn), composite))


def posed(bank: Bank, offset: NDArray[np.float32], yaw: float, pitch: float) -> NDArray[np.float32]:
    """Offsets (LEVELS, STYLE) of a person whose head is turned so, in units of the bank's controls."""
    rows = bank.controls[[YAW, PITCH]]
    missing = np.array([yaw, pitch]) - rows @ offset - bank.rest[[YAW, PITCH]]
    levels = np.repeat(offset[None], styles.LEVELS, axis=0)
    levels[POSE] += rows.T @ np.linalg.solve(rows @ rows.T, missing)
    return levels.astype(np.float32)


def composites(portraits: Faces, random: np.random.Generator) -> list[tuple[Image, NDArray[np.float32]]]:
    """Each portrait with the face of another person of the same shard, and its mesh."""
    traits = np.stack([_traits(mesh) for mesh in portraits.meshes])
    triangles = topo.triangulate(topo.with_open_mouth(portraits.meshes[:, :, :2].mean(0)))
    out = []
    for row in range(len(portraits)):
        others = np.flatnonzero(portraits.people != portraits.people[row])
        some = random.choice(others, min(_CANDIDATES, len(others)), replace=False)
        other = int(some[np.argmin(np.abs(traits[some] - traits[row]).sum(1))])
        out.append(composite(portraits.images[row], portraits.meshes[row], portraits.images[other], portraits.meshes[other], triangles))
    return out


def _traits(mesh: NDArray[np.float32]) -> NDArray[np.float32]:
    """(3,) yaw, pitch and opening of the mouth, over the eye distance."""
    eyes = topo.eye_distance(mesh[:, :2])
    return np.array([(mesh[234, 2] - mesh[454, 2]) / eyes, (mesh[10, 2] - mesh[152, 2]) / eyes, 2 * topo.openness(mesh[:, :2])], np.float32)


def composite(image: Image, mesh: NDArray[np.float32], other: Image, its_mesh: NDArray[np.float32], triangles: NDArray[np.int32]) -> tuple[Image, NDArray[np.float32]]:
    """The face of `other` on `image`, with the mesh that it then has."""
    flat = its_mesh[:, :2]
    laid = transform(flat, similarity(flat[list(topo.OVAL)], mesh[list(topo.OVAL), :2]))
    wide = float(np.linalg.norm(mesh[234, :2] - mesh[454, :2]))
    depth = np.linalg.norm(mesh[:, None, :2] - mesh[None, list(topo.OVAL), :2], axis=2).min(1)  # (468,) px from the outline
    moved = mesh.copy()
    moved[:, :2] += _BETA * np.clip(depth / (0.2 * wide), 0, 1)[:, None] * (laid - mesh[:, :2])
    map_x, map_y, _ = dense_map(moved[:, :2], flat, triangles, image.shape[:2], moved[:, 2])
    new = cv2.remap(other, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    inside = np.zeros(image.shape[:2], np.uint8)
    cv2.fillPoly(inside, [np.rint(moved[list(topo.OVAL), :2] * 16).astype(np.int32)], 1, shift=4)
    alpha = np.clip(cv2.distanceTransform(inside, cv2.DIST_L2, 5) / (0.09 * wide) - 0.1, 0, 1).astype(np.float32)
    nothing = np.zeros_like(alpha)
    lit, _ = relight(new, image, alpha, wide, nothing, nothing + 1)
    mixed = image + alpha[..., None] * (lit.astype(np.float32) - image)
    return np.rint(mixed).astype(np.uint8), moved


def make(folder: Path, portraits: int, models: ModelSettings, on_progress: Callable[[int, int], None]) -> int:
    """Shards in `folder` until there are that many portraits; those that are there are not made again. Gives the number of shards."""
    from faceanon.models.embedders import DlibEmbedder
    from faceanon.models.mesh import TfliteMesh

    total = -(-portraits // (IN_SHARD * VIEWS))
    missing = [n for n in range(total) if not shard_path(folder, n).exists()]
    if missing:
        maker = Maker(people.generator(models), TfliteMesh(models), DlibEmbedder(models), styles.load())
        for done, number in enumerate(missing, 1):
            faces.write(shard_path(folder, number), maker.shard(number))
            on_progress(total - len(missing) + done, total)
    return total


def shard_path(folder: Path, number: int) -> Path:
    return folder / f"faces_{number:05d}.npz"
