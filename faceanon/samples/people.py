"""Synthetic people for the sample archive: a fixed seed gives a portrait in four views, each with a mesh and cut out of its background.

Seeds start at 900,000, apart from the persona bank's, so that nobody in the archive is also a replacement face.
They were chosen by eye: adults, seen from the front, no glasses, no hat, hair that ends inside the picture.

`directions.npz` holds the generator's mean style and the change of style for one degree of yaw, one hundredth of mouth gap and one hundredth of mouth
width (both over the distance of the outer eye corners): ridge regression (lambda 10) of these mesh measures on the styles of seeds 900000 to 900239;
leave-one-out R^2 0.92, 0.54 and 0.60.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import cv2
import numpy as np
from numpy.typing import NDArray

from faceanon.core.errors import WeightsUnavailable
from faceanon.core.picture import Image
from faceanon.core.settings import ModelSettings
from faceanon.models import registry, weights
from faceanon.models.detectors import make_detector
from faceanon.models.mesh import TfliteMesh
from faceanon.models.stylegan import LEVELS, STYLE, StyleGan

SIDE_PX = 512  # of a view
TRUNCATION = 0.7
SIDE_YAW_DEG = 38.0
SEEDS = {
    "ada": 900028, "ben": 900018, "carl": 900053, "dan": 900105, "eve": 900116, "finn": 900016,
    "gus": 900083, "hugo": 900035, "ines": 900024, "june": 900054, "kim": 900093, "lea": 900008,
}  # fmt: skip
CLOTHES = {  # BGR
    "ada": (98, 94, 90), "ben": (86, 62, 48), "carl": (56, 50, 48), "dan": (80, 74, 66), "eve": (74, 30, 116), "finn": (176, 170, 162),
    "gus": (92, 88, 178), "hugo": (128, 98, 74), "ines": (70, 96, 108), "june": (128, 142, 126), "kim": (120, 112, 118), "lea": (132, 88, 64),
}  # fmt: skip
# view -> (yaw in degrees, mouth gap and mouth width in hundredths of the eye distance)
VIEWS = {"front": (0.0, 0.5, None), "open": (0.0, 17.0, 60.0), "left": (-SIDE_YAW_DEG, 0.5, None), "right": (SIDE_YAW_DEG, 0.5, None)}

_GENERATOR = tuple(f"mobilestylegan_{net}_{part}" for net in ("mapping", "synthesis") for part in ("xml", "bin"))
_COARSE = slice(0, 3)  # levels that turn a head and leave skin, hair and clothes alone
_MIDDLE = slice(1, 5)  # levels that move a mouth


@dataclass(frozen=True)
class View:
    """One picture of one person."""

    image: NDArray[np.uint8]  # (512, 512, 4) BGR and alpha
    mesh: NDArray[np.float32]  # (468, 3) px of image


class Studio:
    """Takes the pictures; holds the generator, the mesh and the person mask while a person is made."""

    def __init__(self, models: ModelSettings) -> None:
        for name in (*_GENERATOR, "selfie_segmentation"):
            registry.require(name, models.licences)
        self._generator = StyleGan(*(weights.path_of(name) for name in _GENERATOR), threads=models.threads)
        self._person = cv2.dnn.readNetFromTFLite(str(weights.path_of("selfie_segmentation")))
        self._mesh = TfliteMesh(models)
        self._detector = make_detector("yunet", threshold=0.5, models=models)

    def views(self, name: str, wanted: tuple[str, ...]) -> dict[str, View]:
        """The wanted views of the person called `name`."""
        base = self._style(SEEDS[name])
        measured = _measures(self.mesh(self._picture(base)))
        return {view: self._view(_edited(base, measured, *VIEWS[view])) for view in wanted}

    def mesh(self, image: Image) -> NDArray[np.float32]:
        """(468, 3) px of the one large face in (512, 512, 3)."""
        boxes, points, _ = self._detector.detect(cv2.resize(image, (256, 256), interpolation=cv2.INTER_AREA))
        if not len(boxes):
            raise WeightsUnavailable("the portrait generator or the face detector gives other pictures than it should: no face in a portrait")
        zoom = SIDE_PX / 256
        return self._mesh.fit(image, points[0] * zoom, boxes[0] * zoom)[0]

    def _style(self, seed: int) -> NDArray[np.float32]:
        noise = np.random.default_rng(seed).standard_normal((1, STYLE)).astype(np.float32)
        mean = directions()["mean"]
        return mean + TRUNCATION * (self._generator.map(noise)[0] - mean)

    def _picture(self, style: NDArray[np.float32]) -> Image:
        return self._generator.synthesize(style)

    def _view(self, style: NDArray[np.float32]) -> View:
        image = self._picture(style)
        mesh = self.mesh(image)
        return View(cut_out(image, self._mask(image), mesh[1, :2]), mesh)

    def _mask(self, image: Image) -> NDArray[np.float32]:
        self._person.setInput(cv2.dnn.blobFromImage(image, 1 / 255, (256, 256), swapRB=True))
        return cv2.resize(self._person.forward().reshape(256, 256), (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_LINEAR)


@lru_cache(maxsize=1)
def directions() -> dict[str, NDArray[np.float32]]:
    """mean, yaw, gap and smile, each (512,) float32."""
    with resources.files(__package__).joinpath("directions.npz").open("rb") as file, np.load(file) as stored:
        return {name: stored[name] for name in stored.files}


def yaw_of(mesh: NDArray[np.float32]) -> float:
    """Degrees by which the head is turned; positive shows more of its right side (on the picture's left)."""
    across = mesh[454] - mesh[234]
    return float(np.degrees(np.arctan2(across[2], across[0])))


def _measures(mesh: NDArray[np.float32]) -> tuple[float, float, float]:
    def gap(a: int, b: int) -> float:
        return float(np.linalg.norm(mesh[a, :2] - mesh[b, :2]))

    eyes = gap(33, 263)
    return yaw_of(mesh), 100 * gap(13, 14) / eyes, 100 * gap(61, 291) / eyes


def _edited(base: NDArray[np.float32], measured: tuple[float, float, float], yaw: float, gap: float, smile: float | None) -> NDArray[np.float32]:
    """(8, 512): the style, changed so that the face has this yaw, mouth gap and mouth width."""
    style = np.repeat(base[None], LEVELS, axis=0)
    change = directions()
    style[_COARSE] += (yaw - measured[0]) * change["yaw"]
    style[_MIDDLE] += (gap - measured[1]) * change["gap"] + (0.0 if smile is None else smile - measured[2]) * change["smile"]
    return style


def cut_out(image: Image, mask: NDArray[np.float32], inside: NDArray[np.float32]) -> NDArray[np.uint8]:
    """BGR and alpha of the person around the point `inside`: the mask's edges drawn to those of the picture, no colour of the old background in the rim."""
    alpha = np.clip((_guided(image, mask, radius=9, floor=2e-4) - 0.3) / 0.55, 0, 1)
    alpha *= _piece_at(alpha, inside) * _soft_border()
    if alpha[0].max() > 0.5:  # hair cut off by the picture's edge gets a round top
        crown = 8 + 0.002 * (np.arange(SIDE_PX) - inside[0]) ** 2
        alpha *= np.clip((np.arange(SIDE_PX)[:, None] - crown[None]) / 7, 0, 1).astype(np.float32)
    sure = (cv2.erode(alpha, np.ones((5, 5))) > 0.97).astype(np.float32)
    weight = cv2.GaussianBlur(sure, (0, 0), 6)[..., None] + 1e-6
    spread = cv2.GaussianBlur(image.astype(np.float32) * sure[..., None], (0, 0), 6) / weight
    keep = cv2.GaussianBlur(sure, (0, 0), 1.2)[..., None]
    clean = np.where(weight > 2e-3, image * keep + spread * (1 - keep), image)
    return np.dstack([np.clip(clean, 0, 255), alpha * 255]).round().astype(np.uint8)


def _piece_at(alpha: NDArray[np.float32], inside: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 on the connected piece of the mask that holds the point: the generator sometimes adds a second person."""
    pieces = cv2.connectedComponents((alpha > 0.5).astype(np.uint8))[1]
    x, y = np.clip(inside, 0, SIDE_PX - 1).astype(int)
    return cv2.dilate((pieces == pieces[y, x]).astype(np.float32), np.ones((9, 9)))


@lru_cache(maxsize=1)
def _soft_border() -> NDArray[np.float32]:
    """Fades to the sides and the bottom, where a portrait is cut off and a drawn body goes on."""
    ramp = np.clip(np.arange(SIDE_PX) / 28, 0, 1)
    sides = np.minimum(ramp, ramp[::-1])
    return (sides[None] * ramp[::-1][:, None]).astype(np.float32)


def _guided(image: Image, mask: NDArray[np.float32], *, radius: int, floor: float) -> NDArray[np.float32]:
    """Guided filter with the grey picture as guide. He, Sun and Tang, 2013."""
    guide = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float32) / 255

    def mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return cv2.boxFilter(values, -1, (2 * radius + 1, 2 * radius + 1))

    mean_g, mean_m = mean(guide), mean(mask)
    slope = (mean(guide * mask) - mean_g * mean_m) / (mean(guide * guide) - mean_g**2 + floor)
    return mean(slope) * guide + mean(mean_m - slope * mean_g)
