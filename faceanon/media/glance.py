"""A look at a container's header: how long and how large its video claims to be. Nothing is counted and no claim is checked; for estimates only."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from faceanon.core.errors import SourceUnreadable
from faceanon.core.settings import PlanSettings
from faceanon.media.source import main_video, opened


@dataclass(frozen=True)
class Glance:
    """What a header claims. width and height in coded px."""

    duration_s: float
    frames: int
    width: int
    height: int
    codec: str


def glance(path: Path, plan: PlanSettings) -> Glance:
    """Reads the header and, where that says too little, some packets behind it. Raises SourceError."""
    with opened(path, plan) as container:
        stream = main_video(container, path)
        duration_s = _duration_s(container, stream)
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        if duration_s <= 0:
            raise SourceUnreadable("its header does not say how long it is", source=str(path))
        context = stream.codec_context
        return Glance(duration_s, stream.frames or round(duration_s * rate), context.width, context.height, context.codec.canonical_name)


def _duration_s(container, stream) -> float:
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else 0.0
