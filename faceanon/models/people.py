"""Synthetic people in flesh: a Persona becomes a Portrait of four expressions, the same bytes each time on one device class.

A portrait looks into the camera under one light; its variants go from a closed mouth over two spoken ones to an open smile. The generator
answers a wanted opening of the mouth only roughly, so each variant is measured with the mesh and, if it is off, drawn once more.
Nothing of a real person enters: a Persona is two rows of the bank and a share.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from faceanon.core.facecrop import box_of, points_of
from faceanon.core.picture import Image
from faceanon.core.portrait import Portrait
from faceanon.core.ports import FaceAttributes, FaceEmbedder, FaceMesh
from faceanon.core.records import Persona
from faceanon.core.settings import ModelSettings
from faceanon.models import registry, styles, weights
from faceanon.models.stylegan import StyleGan
from faceanon.models.styles import Bank

SIDE_PX = 512
# (opening of the mouth, smile) in the controls' units: closed, slightly open, open, smiling and open
VARIANTS = ((-0.02, 0.02), (0.08, 0.03), (0.18, 0.04), (0.28, 0.09))
SHORT = (0.0, 0.04, 0.045, 0.06)  # by which mouths open less than asked, mean of 14 people; their own spread is half of it
TOLERANCE = 0.04  # of openness, beyond which a variant is drawn once more
KEPT_PORTRAITS = 16  # 3 MB each
KEPT_EMBEDDINGS = 4096
_WEIGHTS = tuple(f"mobilestylegan_{net}_{part}" for net in ("mapping", "synthesis") for part in ("xml", "bin"))
# where the generator puts right eye, left eye, nose and the corners of the mouth in every picture: its training pictures were aligned by them
_POINTS = np.array([[0.385, 0.47], [0.615, 0.47], [0.5, 0.59], [0.415, 0.70], [0.585, 0.70]], np.float32) * SIDE_PX
_BOX = np.array([0.25, 0.31, 0.75, 0.94], np.float32) * SIDE_PX

Drawn = tuple[Image, NDArray[np.float32]]  # a portrait and its mesh (468, 3) px


class SyntheticPeople:
    """Fulfils core.ports.People. Raises LicenceRefused where settings.models.licences does not allow the generator."""

    def __init__(self, models: ModelSettings, mesh: FaceMesh, embedder: FaceEmbedder, reader: FaceAttributes) -> None:
        self._gan = generator(models)
        self._mesh, self._embedder, self._reader = mesh, embedder, reader
        self.bank: Bank = styles.load()
        self._portrait = lru_cache(maxsize=KEPT_PORTRAITS)(self._paint)
        self._embedding = lru_cache(maxsize=KEPT_EMBEDDINGS)(self._look)
        self._first = lru_cache(maxsize=KEPT_PORTRAITS)(self._neutral)

    def portrait(self, persona: Persona) -> Portrait:
        """All variants; about one and a half seconds for somebody new. Its arrays are shared: read only."""
        return self._portrait(persona.base, persona.partner, persona.mix)

    def embedding(self, persona: Persona) -> NDArray[np.float32]:
        """(D,) of variant 0, without the cost of the others."""
        return self._embedding(persona.base, persona.partner, persona.mix)

    def _paint(self, base: int, partner: int, mix: float) -> Portrait:
        levels = self._levels(base, partner, mix)
        drawn = [self._first(base, partner, mix), *(self._variant(levels, number) for number in range(1, len(VARIANTS)))]
        drawn[1:] = sorted(drawn[1:], key=lambda one: openness(one[1]))
        image, mesh = drawn[0]
        female, age, skin = self._reader.read(image, points_of(mesh), box_of(mesh))
        meshes = np.stack([mesh for _, mesh in drawn])  # (V, 468, 3) float32 px
        gaps = np.array([openness(mesh) for mesh in meshes], np.float32)
        return Portrait(tuple(image for image, _ in drawn), meshes, gaps, self._embedding(base, partner, mix), female, age, skin)

    def _look(self, base: int, partner: int, mix: float) -> NDArray[np.float32]:
        image, mesh = self._first(base, partner, mix)
        return self._embedder.embed(image, points_of(mesh), box_of(mesh))

    def _neutral(self, base: int, partner: int, mix: float) -> Drawn:
        return self._variant(self._levels(base, partner, mix), 0)

    def _levels(self, base: int, partner: int, mix: float) -> NDArray[np.float32]:
        own, other = (self._offset(int(self.bank.seed[row])) for row in (base, partner))
        return styles.frontal(self.bank, styles.mixed(own, other, mix))

    def _offset(self, seed: int) -> NDArray[np.float32]:
        return styles.TRUNCATION * (self._gan.map(styles.noise(seed)[None])[0] - self.bank.mean)

    def _variant(self, levels: NDArray[np.float32], number: int) -> Drawn:
        """Drawn again with the error taken off where the mouth is too far from what is wanted."""
        (wanted, smile), short = VARIANTS[number], SHORT[number]
        first = self._draw(levels, wanted + short, smile)
        error = openness(first[1]) - max(wanted, 0.0)
        if abs(error) <= TOLERANCE:
            return first
        second = self._draw(levels, wanted + short - error, smile)
        return min(first, second, key=lambda one: abs(openness(one[1]) - max(wanted, 0.0)))

    def _draw(self, levels: NDArray[np.float32], wanted: float, smile: float) -> Drawn:
        return self._seen(styles.speaking(self.bank, levels, wanted, smile))

    def _seen(self, style: NDArray[np.float32]) -> Drawn:
        image = self._gan.synthesize(style)
        return image, fit(self._mesh, image)


def generator(models: ModelSettings) -> StyleGan:
    """The portrait generator, if its licence is allowed."""
    for name in _WEIGHTS:
        registry.require(name, models.licences)
    return StyleGan(*(weights.path_of(name) for name in _WEIGHTS), threads=models.threads)


def fit(mesh: FaceMesh, image: Image) -> NDArray[np.float32]:
    """The mesh (468, 3) px of a portrait: once where all portraits have their face, then where this one has it."""
    rough, _ = mesh.fit(image, _POINTS, _BOX)
    fine, _ = mesh.fit(image, points_of(rough), box_of(rough))
    return fine.astype(np.float32)


def openness(mesh: NDArray[np.float32]) -> float:
    """Gap of the inner lips over the distance of the outer eye corners."""
    return float(np.linalg.norm(mesh[13, :2] - mesh[14, :2]) / np.linalg.norm(mesh[33, :2] - mesh[263, :2]))


def lid_opening(mesh: NDArray[np.float32]) -> float:
    """Mean gap between the middles of the lids over the distance of the outer eye corners."""
    gaps = np.linalg.norm(mesh[[159, 386], :2] - mesh[[145, 374], :2], axis=1)
    return float(gaps.mean() / np.linalg.norm(mesh[33, :2] - mesh[263, :2]))
