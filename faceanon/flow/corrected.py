"""Videos that reviewers have corrected and that nobody has rendered since: what a job needs to do just that, as the run before did it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import groupby

from faceanon.core.errors import StoreError, StoreUnavailable
from faceanon.core.ports import Store
from faceanon.core.records import SourceItem
from faceanon.core.settings import ASIDE, Settings, from_table
from faceanon.ledger.commit import log_of, read_record
from faceanon.ledger.corrections import known_ids, name_of


@dataclass(frozen=True)
class Again:
    """One job: videos whose outputs were made with the same settings and keys. settings_json: those settings, as a run notes them."""

    items: tuple[SourceItem, ...]
    settings_json: str
    keystore_id: str

    def settings(self, here: Settings) -> Settings:
        """The settings of the outputs, but for what `here` says of this machine and its stores. Raises SettingsError."""
        made = from_table(json.loads(self.settings_json))
        return replace(made, **{f.name: getattr(here, f.name) for f in fields(Settings) if f.name in ASIDE})


def waiting(out: Store) -> tuple[Again, ...]:
    """By settings and keys, names sorted. A video that has another source by now waits no longer: its corrections were about other bytes."""
    found: dict[str, dict] = {}
    for video, ids in known_ids(out).items():
        record = _newest(out, _name(out, video, ids))
        if record is not None and record["video_id"] == video and not set(ids) <= set(record.get("corrections", ())):
            found[record["name"]] = record
    ordered = sorted(found.values(), key=lambda r: (r["run"]["settings_json"], r["keystore_id"], r["name"]))
    jobs = groupby(ordered, key=lambda r: (r["run"]["settings_json"], r["keystore_id"]))
    return tuple(Again(tuple(_item(record) for record in some), settings, keys) for (settings, keys), some in jobs)


def _name(out: Store, video: str, ids: Sequence[str]) -> str:
    """"" where no correction of the video can be read: verifying names them, and a job refuses the video."""
    for correction in ids:
        try:
            return name_of(out, video, correction)
        except StoreUnavailable:
            raise
        except StoreError:
            continue
    return ""


def _newest(out: Store, name: str) -> dict | None:
    """What the name shows."""
    for path in reversed([path for path in out.list(log_of(name)) if path.endswith(".json")]):
        record = read_record(out, path)
        if record["kind"] == "published":
            return record
    return None


def _item(record: dict) -> SourceItem:
    return SourceItem(
        record["source"]["uri"], record["name"], record["collection"], tuple(record["tags"]), record.get("legal_basis") or "", record.get("ingested_at") or ""
    )
