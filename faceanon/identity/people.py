"""Records of the linker: a Cluster is one person found now, a KnownPerson one who was published before. Biometric, both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from faceanon.core.records import Code, Persona


@dataclass(frozen=True, eq=False)  # holds an array; the record itself is meant
class KnownPerson:
    """A person of a scope's gallery. Neither id, label, persona nor a code ever changes; the mean moves as sightings are added."""

    cluster_id: str
    label: str
    persona: Persona | None
    embedding: NDArray[np.float32] | None  # (D,) weighted mean; None for someone never seen well enough
    weight: float  # of the mean: the sum of its tracks' qualities
    spread: float  # mean squared distance of its tracks to the mean
    count: int  # tracks
    members: frozenset[str] = frozenset()  # cluster ids of its tracks: these stay this person's, whatever is found later
    codes: Mapping[str, Code] = field(default_factory=dict, repr=False)  # by kind, see flow.link: what each engine that paints from numbers was told


@dataclass(frozen=True, eq=False)  # holds an array; the record itself is meant
class Cluster:
    """One person among the linked tracks. Where `known` is set, cluster_id is the known person's."""

    cluster_id: str
    tracks: tuple[tuple[str, int], ...]  # (video_id, track_no), earliest first
    embedding: NDArray[np.float32] | None  # (D,) weighted mean of these tracks
    weight: float
    spread: float
    female: float  # weighted medians; NaN where no track knows
    age: float
    skin: tuple[float, float, float]
    members: frozenset[str]
    known: KnownPerson | None = None
