"""Sample sheets: what the net paints, a row a person."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from faceanon.core import facecrop
from faceanon.core.picture import Image
from faceanon.models.inpaint_net import Generator
from faceanon.training import batches
from faceanon.training.faces import Faces

ROWS = 10
_ZOOM_PX = 128


@torch.no_grad()
def write(path: Path, net: Generator, faces: Faces, side_px: int, conditioning: str) -> None:
    """Each row: a face, what the net sees, its own code, then the codes of three others; the first face as it is, then five more like it."""
    random = np.random.default_rng(0)
    rows = random.choice(len(faces), ROWS, replace=len(faces) < ROWS)
    batch = batches.draw(faces, rows, random, side_px, conditioning, steady=True)
    hole = torch.from_numpy(facecrop.hole(side_px))[None, None]
    blanked = torch.where(hole > 0, batch.planes.sum(1, keepdim=True).clamp(max=1) - 0.5 if batch.planes.shape[1] else 0.0, batch.pictures)
    columns = [batch.pictures, blanked]
    for turn in range(4):
        codes = batch.codes.roll(turn, 0)
        raw = net(batch.pictures, hole, batch.planes, batch.maps, codes)
        columns.append(torch.where(hole > 0, raw, batch.pictures))
    cv2.imwrite(str(path), of_columns(columns))


def of_columns(columns: Sequence[Tensor]) -> Image:
    """Columns of pictures (N, 3, S, S) BGR -1..1 side by side, as one."""
    return np.hstack([np.vstack([_picture(one) for one in column]) for column in columns])


def _picture(tensor: Tensor) -> Image:
    image = ((tensor.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    return image if image.shape[0] == _ZOOM_PX else cv2.resize(image, (_ZOOM_PX, _ZOOM_PX), interpolation=cv2.INTER_CUBIC)
