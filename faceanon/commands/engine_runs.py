"""One video through the job, in this process, by an engine that a word names."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from faceanon.archive.plan import Requested
from faceanon.archive.store import open_store, version_of
from faceanon.commands.progress import Quiet
from faceanon.core.errors import SettingsError, SourceError
from faceanon.core.records import SourceItem
from faceanon.core.settings import RenderSettings, Settings
from faceanon.flow import driver
from faceanon.flow.job import Context, JobSpec, new_run
from faceanon.flow.local import LocalExecutor
from faceanon.flow.request import Work
from faceanon.identity.keystore import Keystore, scope_name
from faceanon.models.catalog import Models, check_licences, load_models

ENGINES: tuple[str, ...] = RenderSettings.__dataclass_fields__["engine"].metadata["choices"]


def with_engine(settings: Settings, word: str) -> Settings:
    """Settings for "swap", for a variant of an engine as in "cleanir:vae", or with weights of one's own as in "cleanir:vae=FILE".

    Raises SettingsError, LicenceRefused, WeightsUnavailable.
    """
    name, _, weights = word.partition("=")
    engine, _, variant = name.partition(":")
    if engine not in ENGINES:
        raise SettingsError(f"no such engine: got {engine!r}, there are {', '.join(ENGINES)}")
    changed = settings.with_values(render__engine=engine, render__variant=variant or None, render__weights=weights or None)
    check_licences(changed)
    return changed


def label_of(word: str) -> str:
    """The engine as a picture names it: with its variant, and the name of weights of one's own."""
    name, _, weights = word.partition("=")
    return f"{name} ({Path(weights).stem})" if weights else name


def anonymized(source: Path, out: Path, settings: Settings, keystore: Keystore) -> Path:
    """The published video; all that the job leaves lies below `out`. Raises SourceError with the reason where it goes to quarantine."""
    store = open_store(str(out))
    item = SourceItem(str(source.resolve()), source.name)
    scopes = (scope_name(settings, item, ""),)
    keystore.ensure_scopes(scopes)
    spec = JobSpec(store.root, store.uri(".work"), str(keystore.path or ""), scopes, keystore.fingerprint(scopes), settings, new_run(settings, keystore.keystore_id))
    with Context(spec, loaded_once) as context:
        summary = driver.run(context, LocalExecutor(context), Work(new=(Requested(item, *version_of(item.uri), ""),)), Quiet())
    if summary["quarantined"]:
        raise SourceError(f"{settings.render.engine}: {summary['quarantined'][0]['reason']}", source=str(source))
    return out / "videos" / source.name


@lru_cache(maxsize=8)
def loaded_once(settings: Settings, *, need: frozenset[str]) -> Models:
    """Models are loaded once for many videos."""
    return load_models(settings, need=need)
