"""Requested minus committed: what is left to do. Pure; both sides are small rows, taken one after the other.

`variant` says which result is meant (settings digest, keystore and scope name together); a video done under another variant is new.
A source is the same while its URI, size and version word are; a renewed file under an old name is new work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from faceanon.core.records import SourceItem


@dataclass(frozen=True, slots=True)
class Requested:
    """One item as it is now. size is -1 and version "" where the source cannot be read."""

    item: SourceItem
    size: int
    version: str
    variant: str


@dataclass(frozen=True, slots=True)
class Known:
    """What was decided about a name last, from commit and quarantine records. size is -1 and version "" where the source could not be read."""

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
    done: tuple[Requested, ...]
    quarantined: tuple[tuple[Requested, Known], ...]


def work_to_do(requested: Iterable[Requested], outcome: Callable[[str], Known | None], *, retry_quarantined: bool = False) -> Work:
    """What is new, what is published, and what stays quarantined until its source changes or a retry is asked for. `outcome(name)`: the newest decision."""
    new, done, quarantined = [], [], []
    for wanted in requested:
        known = outcome(wanted.item.name)
        if known is None or not _is_same(wanted, known):
            new.append(wanted)
        elif known.state == "published":
            done.append(wanted)
        elif retry_quarantined:
            new.append(wanted)
        else:
            quarantined.append((wanted, known))
    return Work(tuple(new), tuple(done), tuple(quarantined))


def _is_same(wanted: Requested, known: Known) -> bool:
    return (wanted.item.uri, wanted.size, wanted.version, wanted.variant) == (known.uri, known.size, known.version, known.variant)
