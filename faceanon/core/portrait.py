"""A synthetic person, ready to be painted: what models.people makes and render warps onto a frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faceanon.core.picture import Image


@dataclass(frozen=True)
class Portrait:
    """One person in several expressions, all of one pose and light; variant 0 has the mouth closed."""

    images: tuple[Image, ...]  # V times (H, H, 3) uint8 BGR
    meshes: NDArray[np.float32]  # (V, 468, 3) px of its image
    openness: NDArray[np.float32]  # (V,) gap of the inner lips (mesh points 13 and 14) over the distance of the outer eye corners (33 and 263), rising
    embedding: NDArray[np.float32]  # (D,) of variant 0
    female: float  # 0..1 apparent
    age: float  # apparent years
    skin: tuple[float, float, float]  # mean CIE L*, a*, b* of the cheeks

    def __post_init__(self) -> None:
        if not len(self.images) == len(self.meshes) == len(self.openness):
            raise ValueError(f"a portrait with unequal variants: got {len(self.images) = }, {len(self.meshes) = }, {len(self.openness) = }")
