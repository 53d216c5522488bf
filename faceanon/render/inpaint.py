"""The engines that paint a face into a hole: deepprivacy and cleanir.

deepprivacy never sees a pixel of the original face: a net is given what lies around it, where its features are, and a code that says whose face to paint;
that a picture is grey is seen around the hole, too. cleanir's code is the person's own, turned by the key, and it may look at the
original for what belongs to the place rather than to the person: the low frequencies of its light and skin, and shut lids.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from faceanon.core import facecrop
from faceanon.core.geometry import transform
from faceanon.core.picture import Image, Picture
from faceanon.core.ports import FaceEmbedder, FaceInpainter, FaceMesh, PersonSegmenter
from faceanon.core.records import Code
from faceanon.core.settings import RenderSettings
from faceanon.render import align, hole
from faceanon.render import topology as topo
from faceanon.render.fitting import FittingEngine, Meshes
from faceanon.render.lit import as_vivid_as, in_light_of
from faceanon.render.paint import TURNED_DEG, Patch, off_the_wall, person_in
from faceanon.render.rows import rows_at

SHUT = 0.75  # of an eye's opening in the mesh; what is left is the line of the lashes


class InpaintEngine(FittingEngine):
    """Codes are by identity_no; a region whose identity has none is obscured."""

    def __init__(
        self,
        settings: RenderSettings,
        mesh: FaceMesh,
        embedder: FaceEmbedder | None,
        segmenter: PersonSegmenter | None,
        inpainter: FaceInpainter,
        codes: Mapping[int, Code],
    ) -> None:
        self.name = settings.engine
        self.reads_original = self.reads_expression = settings.engine == "cleanir"
        self._segmenter, self._inpainter = segmenter, inpainter
        self._codes = {identity: np.array(code, np.float32) for identity, code in codes.items()}
        self._hole = inpainter.hole()
        # nets of published layouts cut their crops otherwise, and CLEANIR's looks at the face
        self._to_crop = getattr(inpainter, "to_crop", None) or partial(facecrop.to_crop, side_px=inpainter.side_px)
        self._unseen = np.zeros_like(self._hole) if self.reads_original and getattr(inpainter, "sees_face", False) else self._hole
        super().__init__(settings, mesh, embedder)

    def _has_face(self, identity: int) -> bool:
        return identity in self._codes

    def _make(self, picture: Picture, meshes: Meshes) -> dict[int, Patch | None]:
        side = self._inpainter.side_px
        matrices = {i: self._to_crop(mesh) for i, mesh in meshes.items()}
        places = {i: at for i, matrix in matrices.items() if (at := hole.place(picture, matrix, side)) is not None}
        made: dict[int, Patch | None] = dict.fromkeys(meshes)
        if not places:
            return made
        parts = {i: picture.crop(at.box) for i, at in places.items()}
        crops = np.stack([hole.cut(parts[i], at, self._unseen) for i, at in places.items()])
        laid = np.stack([transform(self._posed(meshes[i], i, picture.index), matrices[i]) for i in places])  # (N, 468, 2) px of the crops
        codes = np.stack([self._codes[int(self._regions.identity[i])] for i in places])
        painted = [as_vivid_as(new, crop, self._hole) for new, crop in zip(self._inpainter.inpaint(crops, laid, codes), crops, strict=True)]
        if self.reads_original:
            olds = [hole.cut(parts[i], at, np.zeros_like(self._hole)) for i, at in places.items()]
            painted = [in_light_of(new, old, points) for new, old, points in zip(painted, olds, laid, strict=True)]
        for i, new, points in zip(places, painted, laid, strict=True):
            made[i] = self._patch(picture, i, meshes[i], places[i], new, points)
        return made

    def _posed(self, mesh: NDArray[np.float32], i: int, frame: int) -> NDArray[np.float32]:
        """(468, 2) px of the picture. The mesh shows shut eyes half open; where the frame may be asked, its lids come down."""
        return with_lids(mesh[:, :2], self._demand(frame, i).closed) if self.reads_expression else mesh[:, :2]

    def _patch(self, picture: Picture, i: int, mesh: NDArray[np.float32], at: hole.Place, new: Image, points: NDArray[np.float32]) -> Patch:
        boxed = self._settings.mask == "box"
        alpha = hole.laid_alpha(np.ones_like(self._hole) if boxed else hole.shown_part(points, self._hole), at)
        patch = Patch(at.box[0], at.box[1], hole.laid(new, at), self._off_others(alpha, picture.index, i, at))
        if self._segmenter is None or boxed or align.yaw_deg(mesh) <= TURNED_DEG:
            return patch
        # the segmenter is shown the new face: what it says depends on no px of the old one
        person = person_in(patch.over(picture), at.box, self._segmenter, at.size)
        return Patch(patch.x0, patch.y0, patch.image, off_the_wall(patch.alpha, person, float(np.ptp(mesh[:, 0]))))

    def _off_others(self, alpha: NDArray[np.float32], frame: int, i: int, at: hole.Place) -> NDArray[np.float32]:
        """Beside its own hole a crop shows the source, so nothing of it may come over what covers another face."""
        others = [self._regions.cover[j] for j in rows_at(self._regions, frame) if j != i]
        if not others:
            return alpha
        alpha, own = alpha.copy(), hole.laid_alpha(self._hole, at)
        low, size = np.array(at.box[:2]), np.array(at.size)
        for cover in others:
            x0, y0 = np.clip(np.floor(cover[:2] - low), 0, size).astype(int)
            x1, y1 = np.clip(np.ceil(cover[2:] - low), 0, size).astype(int)
            alpha[y0:y1, x0:x1] = np.minimum(alpha[y0:y1, x0:x1], own[y0:y1, x0:x1])
        return alpha


def with_lids(flat: NDArray[np.float32], closed: float) -> NDArray[np.float32]:
    """flat (468, 2) with the upper lids brought down, by closed 0..1 of SHUT."""
    if closed <= 0:
        return flat
    lowered = flat.copy()
    for ring in (topo.RIGHT_EYE, topo.LEFT_EYE):
        lower, upper = list(ring[1:8]), list(ring[:8:-1])
        lowered[upper] -= SHUT * closed * (flat[upper] - flat[lower])
    return lowered
