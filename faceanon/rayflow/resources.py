"""How many actors a phase gets, and what each holds. Pure functions of the cluster's resources and the settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from faceanon.core.settings import RunSettings

ON_GPU = frozenset({"analyze", "redact", "publish"})
ACTORS_PER_GPU = 4  # decoding and encoding keep a CPU busy while the GPU waits


@dataclass(frozen=True)
class Pool:
    """actors: how many; cpus and gpus: what Ray reserves for each."""

    actors: int
    cpus: float
    gpus: float


def pool_for(phase: str, units: int, settings: RunSettings, cluster: Mapping[str, float]) -> Pool:
    """One actor a CPU, never more than there are units; on a GPU cluster the pixel phases share the GPUs."""
    cpus, gpus = int(cluster.get("CPU", 1)), cluster.get("GPU", 0.0)
    wanted = settings.workers or cpus
    if phase in ON_GPU and gpus and settings.device != "cpu":
        actors = min(units, settings.workers or int(gpus * ACTORS_PER_GPU), max(1, cpus))
        return Pool(max(1, actors), 1.0, min(1.0, gpus / max(1, actors)))
    actors = max(1, min(units, wanted))
    return Pool(actors, min(1.0, cpus / actors), 0.0)
