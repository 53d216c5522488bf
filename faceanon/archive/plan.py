"""Requested minus committed: what is left to do. Pure; both sides are small rows.

`variant` says which result is meant (settings digest, keystore and scope name together); a video done under another variant is new.
A source is the same while its URI, size and version word are; a renewed file under an old name is new work.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from faceanon.core.records import SourceItem


@dataclass(frozen=True)
class Requested:
    """One item as it is now. size is -1 and version "" where the source cannot be read."""

    item: SourceItem
    size: int
    version: str
    variant: str


@dataclass(frozen=True)
class Known:
    """One earlier outcome, from commit and quarantine records. size is -1 and version "" where the source could not be read."""

    name: str
    uri: str
    size: int
    version: str
    variant: str
    state: Literal["published", "quarantined"]
    video_id: str = ""
    output_id: str = ""
    stage: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Work:
    """Every requested item once: in = new + done + quarantined."""

    new: tuple[Requested, ...]
    done: tuple[tuple[Requested, Known], ...]
    quarantined: tuple[tuple[Requested, Known], ...]


def work_to_do(requested: Iterable[Requested], known: Iterable[Known], *, retry_quarantined: bool = False) -> Work:
    """What is new, what is published, and what stays quarantined until its source changes or a retry is asked for."""
    outcomes: dict[tuple, Known] = {}
    for row in known:
        key = (row.name, row.uri, row.size, row.version, row.variant)
        if row.state == "published" or key not in outcomes:  # a commit outweighs any failure, whichever came first
            outcomes[key] = row
    new, done, quarantined = [], [], []
    for wanted in requested:
        outcome = outcomes.get((wanted.item.name, wanted.item.uri, wanted.size, wanted.version, wanted.variant))
        if outcome is not None and outcome.state == "published":
            done.append((wanted, outcome))
        elif outcome is not None and not retry_quarantined:
            quarantined.append((wanted, outcome))
        else:
            new.append(wanted)
    return Work(tuple(new), tuple(done), tuple(quarantined))
