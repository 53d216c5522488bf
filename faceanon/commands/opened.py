"""What commands about an OUT begin with: the settings of its job, and the place itself."""

from __future__ import annotations

from pathlib import Path

from faceanon.archive.store import LocalStore, S3Store, allow, open_store
from faceanon.core.errors import UsageError
from faceanon.core.settings import Settings, load


def settings_of(path: Path | None) -> Settings:
    """Of a file, or the defaults; the stores that they allow may be named from now on. Raises SettingsError."""
    settings = load(path) if path else Settings()
    allow(settings.store)
    return settings


def open_out(uri: str) -> LocalStore | S3Store:
    """Where a job wrote. Raises UsageError where no ledger is."""
    out = open_store(uri)
    if not out.holds("ledger"):
        raise UsageError("holds no ledger: it is not where a job wrote", source=uri)
    return out
