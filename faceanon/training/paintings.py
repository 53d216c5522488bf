"""What a generator in training paints, and what the embedder makes of it: faces for the student alone, which judges that generator."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from faceanon.core import facecrop
from faceanon.core.ports import FaceEmbedder
from faceanon.models.inpaint_net import Generator
from faceanon.training import batches, faces
from faceanon.training.faces import MARGIN_PX, PATTERN, Faces

A_LOOK, KEPT_LOOKS = 256, 12  # paintings at a time, and how many times back the student still sees them
_AT_ONCE = 16


def add(
    folder: Path, step: int, net: Generator, known: Faces, people: NDArray[np.float32], embedder: FaceEmbedder,
    random: np.random.Generator, side_px: int, conditioning: str,
) -> float:  # fmt: skip
    """A shard of A_LOOK faces of strangers, painted into contexts of `known`; `people` as in faces.people_of. Gives the mean cosine of what was asked and got."""
    parts, asked = [], []
    for _ in range(A_LOOK // _AT_ONCE):
        rows = random.integers(len(known), size=_AT_ONCE)
        asked.append(batches.strangers(people, _AT_ONCE, random))
        images = _painted(net, known, rows, asked[-1], random, side_px, conditioning)
        codes = np.stack([faces.embed(embedder, image, mesh) for image, mesh in zip(images, known.meshes[rows], strict=True)])
        parts.append(Faces(images, known.meshes[rows], codes, known.people[rows], np.ones(_AT_ONCE, bool)))
    got = faces.joined(parts)
    faces.write(folder / f"faces_{step:06d}.npz", got)
    return float(functional.cosine_similarity(*(net.normal(torch.from_numpy(codes)) for codes in (np.concatenate(asked), got.codes))).mean())


@torch.no_grad()
def _painted(
    net: Generator, known: Faces, rows: NDArray[np.int64], codes: NDArray[np.float32], random: np.random.Generator, side_px: int, conditioning: str
) -> NDArray[np.uint8]:
    """(N, faces.SIDE_PX, faces.SIDE_PX, 3): the faces at `rows` with other faces in their holes."""
    batch = batches.draw(known, rows, random, side_px, conditioning, steady=True)
    inside = torch.from_numpy(facecrop.hole(side_px))[None, None]
    raw = net(batch.pictures, inside, batch.planes, batch.maps, torch.from_numpy(codes)).float()
    new = ((torch.where(inside > 0, raw, batch.pictures).clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    images = known.images[rows].copy()
    inner = slice(MARGIN_PX, -MARGIN_PX)
    for image, crop in zip(images, new, strict=True):
        image[inner, inner] = cv2.resize(crop, (facecrop.SIDE_PX,) * 2, interpolation=cv2.INTER_CUBIC)
    return images


def latest(folder: Path, step: int) -> Faces:
    """The last KEPT_LOOKS shards up to that step."""
    last = f"faces_{step:06d}.npz"
    return faces.joined([faces.read(path) for path in sorted(folder.glob(PATTERN)) if path.name <= last][-KEPT_LOOKS:])
