"""All models of a run, loaded by what is needed; licences are checked here, before anything is fetched or loaded.

`load_models` is what a worker calls once. Which weights a run uses follows from its settings alone (`weights_of`), so a licence is
refused when the command starts (`check_licences`) and the ledger can name every weight (`model_rows`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from faceanon.core.ports import FaceAttributes, FaceDetector, FaceEmbedder, FaceInpainter, FaceMesh, People, PersonSegmenter
from faceanon.core.settings import INPAINTING, Settings, auditor_of
from faceanon.models import device, given, registry
from faceanon.models.detectors import WEIGHTS_OF, make_detector

if TYPE_CHECKING:
    from faceanon.models.styles import Bank

ShotNet = Callable[[list[NDArray[np.uint8]]], NDArray[np.float32]]

NEEDS = ("detector", "auditor", "mesh", "embedder", "attributes", "segmenter", "people", "bank", "inpainter", "shot_net")
_PORTRAITS = ("mobilestylegan_mapping_xml", "mobilestylegan_mapping_bin", "mobilestylegan_synthesis_xml", "mobilestylegan_synthesis_bin")
_EMBEDDER = ("dlib_face", "dlib_points5")
# by variant: the weights that come with the package
INPAINTERS = {"best": "inpaint_sketch", "keypoints": "inpaint_keypoints", "paper": "deepprivacy_paper", "vae": "cleanir_vae"}


@dataclass(frozen=True)
class Models:
    """What was asked for; None where it was not, or where the settings have no use for it: people serve swap, an inpainter deepprivacy and cleanir, a segmenter all."""

    detector: FaceDetector | None = None
    auditor: FaceDetector | None = None
    mesh: FaceMesh | None = None
    embedder: FaceEmbedder | None = None
    attributes: FaceAttributes | None = None
    segmenter: PersonSegmenter | None = None
    people: People | None = None
    bank: Bank | None = None  # numbers of synthetic people, without the generator that draws them
    inpainter: FaceInpainter | None = None
    shot_net: ShotNet | None = None  # comes with `detector` where settings.shots.detector is transnet


def load_models(settings: Settings, *, need: frozenset[str]) -> Models:
    """The models named in `need`. Raises LicenceRefused, WeightsUnavailable, UsageError (no such device)."""
    if not need <= set(NEEDS):
        raise ValueError(f"no such models: got {sorted(need - set(NEEDS))}, there are {NEEDS}")
    check_licences(settings)
    cv2.setNumThreads(1)  # one process is one worker; OpenCV would take every core for each
    where = device.choose(settings.run.device)
    swaps, inpaints = settings.render.engine == "swap", settings.render.engine in INPAINTING
    if "people" in need and swaps:  # they are looked at with these
        need = need | {"mesh", "embedder", "attributes"}
    mesh = _mesh(settings) if "mesh" in need else None
    embedder = _embedder(settings) if "embedder" in need else None
    attributes = _attributes(settings, where) if "attributes" in need else None
    people = _people(settings, mesh, embedder, attributes) if mesh and embedder and attributes and "people" in need and swaps else None
    return Models(
        detector=make_detector(settings.detect.detector, threshold=settings.detect.threshold, models=settings.models, device=where) if "detector" in need else None,
        auditor=make_detector(auditor_of(settings), threshold=settings.verify.threshold, models=settings.models, device=where) if "auditor" in need else None,
        mesh=mesh,
        embedder=embedder,
        attributes=attributes,
        segmenter=_segmenter(settings) if "segmenter" in need and (swaps or inpaints) else None,
        people=people,
        bank=_bank() if "bank" in need else None,
        inpainter=_inpainter(settings) if "inpainter" in need and inpaints else None,
        shot_net=_shot_net(settings, where) if need & {"detector", "shot_net"} and settings.shots.detector == "transnet" else None,
    )


def weights_of(settings: Settings) -> tuple[str, ...]:
    """Names of all weights that a run with these settings may load, in the registry's order."""
    used = {"face_mesh", "age", "gender", *_EMBEDDER}
    for detector in (*settings.detect.detector.split("+"), auditor_of(settings)):
        used.update(WEIGHTS_OF.get(detector, ()))
    if settings.render.engine == "swap":
        used.update(_PORTRAITS, ("selfie_segmentation",))
    if settings.render.engine in INPAINTING:
        used.update({"selfie_segmentation"} if settings.render.weights else {"selfie_segmentation", INPAINTERS[settings.render.variant]})
    if settings.shots.detector == "transnet":
        used.add("transnetv2")
    return tuple(name for name in registry.NAMES if name in used)


def check_licences(settings: Settings) -> None:
    """Raises LicenceRefused if settings.models.licences does not allow a weight that the run needs."""
    for name in weights_of(settings):
        registry.require(name, settings.models.licences)
    if settings.render.weights:
        given.check_licence(settings)


def model_rows(settings: Settings) -> list[dict[str, object]]:
    """One row per weight for the ledger's table of models; model_id is the digest."""
    rows = [_row(registry.weight(name)) for name in weights_of(settings)]
    if settings.render.weights:
        sha256 = settings.render.weights_sha256 or given.digest_of(Path(settings.render.weights))
        words = {"version": "", "format": Path(settings.render.weights).suffix.lstrip("."), "licence": given.LICENCE, "source": "render.weights"}
        rows.append({"model_id": sha256, "name": f"{settings.render.engine} weights", "task": "inpainter", **words})
    return rows


def _row(weight: registry.Weight) -> dict[str, object]:
    return {
        "model_id": weight.sha256,
        "name": weight.name,
        "version": weight.carrier[1],
        "format": weight.file_name.rsplit(".", 1)[-1],
        "licence": weight.licence,
        "source": f"{weight.carrier[0]}:{weight.carrier[1]}:{weight.member}",
        "task": weight.task,
    }


# Each import below costs up to a second, so it waits until the model is wanted.


def _mesh(settings: Settings) -> FaceMesh:
    from faceanon.models.mesh import TfliteMesh

    return TfliteMesh(settings.models)


def _embedder(settings: Settings) -> FaceEmbedder:
    from faceanon.models.embedders import DlibEmbedder

    return DlibEmbedder(settings.models)


def _attributes(settings: Settings, where: str) -> FaceAttributes:
    from faceanon.models.attributes import FaceReader

    return FaceReader(settings.models, where)


def _segmenter(settings: Settings) -> PersonSegmenter:
    from faceanon.models.segmenter import SelfieSegmenter

    return SelfieSegmenter(settings.models)


def _people(settings: Settings, mesh: FaceMesh, embedder: FaceEmbedder, attributes: FaceAttributes) -> People:
    from faceanon.models.people import SyntheticPeople

    return SyntheticPeople(settings.models, mesh, embedder, attributes)


def _bank() -> Bank:
    from faceanon.models import styles

    return styles.load()


def _inpainter(settings: Settings) -> FaceInpainter:
    """Our own net, or one of the two that were published: by the variant, or by the layout of weights that are given."""
    path = given.checked(settings) if settings.render.weights else None
    variant = settings.render.variant
    if variant in ("best", "keypoints") and (path is None or path.suffix == given.OURS):
        from faceanon.models.inpainter import Inpainter

        return Inpainter(settings.models, "keypoints" if variant == "keypoints" else "sketch", path)
    if settings.render.engine == "cleanir":
        from faceanon.models.cleanir_published import PublishedCleanir

        return PublishedCleanir(path, settings.render.angle_degrees, settings.models)
    from faceanon.models.deepprivacy_published import PublishedDeepPrivacy

    return PublishedDeepPrivacy(path, settings.models)


def _shot_net(settings: Settings, where: str) -> ShotNet:
    from faceanon.models.shot_net import TransNet

    return TransNet(settings.models, where)
