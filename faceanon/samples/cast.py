"""The actors of the sample archive, made when first asked for; their pictures are kept in the cache, so that a second archive is quick."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np

from faceanon.core.ids import digest
from faceanon.core.settings import ModelSettings
from faceanon.models import registry, weights
from faceanon.samples.actors import Actor, make_actor
from faceanon.samples.people import Studio, View, directions


def code_digest(*modules: str) -> str:
    """Digest of this package's code, or of the modules named: what it makes is kept only as long as it would be made again."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return digest("code", *(part for path in files if not modules or path.stem in modules for part in (path.name, path.read_bytes())))


class Cast:
    """Gives actors by name. Holds the studio only once a picture is missing from the cache."""

    def __init__(self, models: ModelSettings) -> None:
        self._models = models
        self._studio: Studio | None = None
        self._actors: dict[tuple[str, bool], Actor] = {}

    def actor(self, name: str, *, turns: bool) -> Actor:
        """The actor called `name`; with `turns`, one that has pictures from both sides."""
        if (name, turns) not in self._actors:
            wanted = ("front", "open", *(("left", "right") if turns else ()))
            self._actors[name, turns] = make_actor(name, {view: self._view(name, view) for view in wanted})
        return self._actors[name, turns]

    def _view(self, name: str, view: str) -> View:
        path = weights.cache_dir() / "samples" / _digest(name, view)
        if not path.exists():
            self._studio = self._studio or Studio(self._models)
            _keep(path, self._studio.views(name, (view,))[view])
        with np.load(path) as stored:
            return View(stored["image"], stored["mesh"])


def _digest(name: str, view: str) -> str:
    nets = [registry.weight(w).sha256 for w in ("mobilestylegan_mapping_bin", "mobilestylegan_synthesis_bin", "face_mesh", "selfie_segmentation")]
    return digest("sample view", code_digest("people"), name, view, *(directions()[d].tobytes() for d in sorted(directions())), *nets)


def _keep(path: Path, view: View) -> None:
    """Whole or not at all, also where two processes make the same view."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        np.savez_compressed(file, image=view.image, mesh=view.mesh)
    os.replace(aside, path)
