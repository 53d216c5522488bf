"""Pictures and steps that the tests of media share."""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Iterator
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np

from faceanon.core.picture import Picture
from faceanon.core.records import OutputFacts, PacketIndex, Segment, VideoFacts
from faceanon.core.settings import EncodeSettings, PlanSettings
from faceanon.media.decode import read_pictures
from faceanon.media.encode import SegmentWriter
from faceanon.media.mixing import choose_copies
from faceanon.media.probe import probe
from faceanon.media.segments import plan_segments
from faceanon.media.stitch import stitch

PLAN = PlanSettings(segment_seconds=0.5)
FAST = EncodeSettings(preset="ultrafast")


def scene(count: int, width: int = 96, height: int = 64) -> Iterator[np.ndarray]:
    """A textured ground that moves, with a red mark, so that every frame differs."""
    ground = cv2.resize(np.random.default_rng(0).integers(0, 255, (8, 12, 3), np.uint8), (width, height))
    for n in range(count):
        image = np.roll(ground, 2 * n, 1).copy()
        image[height // 8 : height // 4, (4 + n) % (width // 2) : (4 + n) % (width // 2) + width // 8] = (0, 0, 255)
        yield image


def tone(seconds: float, rate: int = 44100) -> tuple[np.ndarray, int]:
    """A sound."""
    return (np.sin(np.arange(int(seconds * rate)) * 0.05) * 0.3).astype(np.float32), rate


def planned(path: Path, plan: PlanSettings = PLAN) -> tuple[VideoFacts, PacketIndex, tuple[Segment, ...]]:
    facts, index = probe(path, plan)
    return facts, index, plan_segments("video", facts, index, plan)


def signature(pictures) -> list[tuple[int, int, bytes]]:
    """(index, pts, all samples) of every picture."""
    return [(p.index, p.pts, b"".join(plane.tobytes() for plane in p.planes)) for p in pictures]


def remake(path: Path, out: Path, plain: Collection[int], settings: EncodeSettings = FAST) -> tuple[OutputFacts, dict[int, str]]:
    """`path` through the whole chain; segments in `plain` are copied where that is possible. Also says why others were not."""
    facts, _, segments = planned(path)
    reasons = choose_copies(facts, segments, plain)
    staged = {s.segment_no: encoded(path, facts, s, out.with_suffix(f".{s.segment_no}"), settings) for s in segments if reasons[s.segment_no]}
    return stitch(path, facts, segments, staged, out, settings), reasons


def encoded(path: Path, facts: VideoFacts, segment: Segment, staged: Path, settings: EncodeSettings = FAST) -> Path:
    with SegmentWriter(staged, facts, settings) as writer:
        for picture in read_pictures(path, facts, segment):
            writer.write(painted(picture))
    return staged


def painted(picture: Picture) -> Picture:
    """With a mark in the left upper corner, as a viewer sees it."""
    picture.planes[0][: picture.height // 4, : picture.width // 4] = 128 << (picture.format.depth - 8)
    return picture


def strict_complaints(path: Path) -> str:
    """What a strict ffmpeg says of a file; "" is praise."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-xerror", "-i", str(path), "-fps_mode", "passthrough", "-enc_time_base", "demux", "-f", "null", "-"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    return run.stderr.strip() + (f" (exit {run.returncode})" if run.returncode else "")
