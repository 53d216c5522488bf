"""Weights that a user names (render.weights): which net they are for, and the digest that pins them."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from faceanon.core.errors import LicenceRefused, WeightsUnavailable
from faceanon.core.settings import INPAINTING, Settings

CLEANIR_FILES = ("encoder.h5", "decoder.h5")
OURS = ".safetensors"
LICENCE = "of whoever made them"


def pinned(settings: Settings) -> Settings:
    """The settings with the digest of the weights that they name, and with their whole path. Raises WeightsUnavailable."""
    if not settings.render.weights or settings.render.engine not in INPAINTING:
        return settings
    path = Path(settings.render.weights).expanduser().absolute()
    return replace(settings, render=replace(settings.render, weights=str(path), weights_sha256=settings.render.weights_sha256 or digest_of(path)))


def digest_of(path: Path) -> str:
    """64 hex digits over the content of the file, or of the folder's two files."""
    total = hashlib.sha256()
    for file in _files(path):
        total.update(file.read_bytes())
    return total.hexdigest()


def checked(settings: Settings) -> Path:
    """Where the weights lie, being those that the settings pin. Raises WeightsUnavailable, LicenceRefused."""
    check_licence(settings)
    path, wanted = Path(settings.render.weights), settings.render.weights_sha256
    found = digest_of(path)
    if wanted and found != wanted:
        raise WeightsUnavailable(f"{path} holds other weights on this node than when the run started: got {found[:16]}, not {wanted[:16]}")
    return path


def check_licence(settings: Settings) -> None:
    """Raises LicenceRefused for the published layouts: those weights were trained on sets for non-commercial use."""
    if settings.models.licences == "commercial" and not settings.render.weights.endswith(OURS):
        raise LicenceRefused(f"published weights such as {settings.render.weights} may not be used commercially, by the terms of the pictures they were trained on")


def _files(path: Path) -> list[Path]:
    files = [path / name for name in CLEANIR_FILES] if path.is_dir() else [path]
    for file in files:
        if not file.is_file():
            raise WeightsUnavailable(f"no weights at {file}")
    return files
