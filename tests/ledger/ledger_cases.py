"""Small made-up videos, as the steps before the ledger would hand them over."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from faceanon.core.ids import video_id
from faceanon.core.records import (
    ColourTags,
    Detections,
    FaceSamples,
    Identity,
    Method,
    Origin,
    OutputFacts,
    Quarantined,
    RegionTable,
    Segment,
    SourceItem,
    SourceVersion,
    StagedSegment,
    StreamFacts,
    Track,
    TrackPaint,
    Verdict,
    Verified,
    VideoAnalysis,
    VideoFacts,
    VideoPlan,
    VideoRegions,
)
from faceanon.core.settings import Settings
from faceanon.core.timeline import Span
from faceanon.ledger.records import RunInfo, publication, quarantine

FRAMES = 60
RUN = RunInfo("01RUN", "2026-03-01T10:00:00+00:00", "0.1.0", Settings().digest(), "{}", "x86_64-cpu", "ks-1", "video", "someone", "2.60")


def facts() -> VideoFacts:
    streams = (StreamFacts(0, "video", "h264", Fraction(1, 25)), StreamFacts(1, "audio", "aac", Fraction(1, 48000)))
    return VideoFacts(
        "mp4", "h264", "High", 640, 360, "yuv420p", 8, 0, Fraction(1), ColourTags(), "progressive",
        Fraction(1, 25), Fraction(25), 400_000, 0, streams, FRAMES, FRAMES, 0, FRAMES, 5000,
    )  # fmt: skip


def plan(name: str = "a.mp4", content: str = "1") -> VideoPlan:
    sha256 = content * 64
    video = video_id(name, sha256)
    segments = (Segment(video, 0, Span(0, 30), 0, 30, True), Segment(video, 1, Span(30, 60), 30, 30, True))
    return VideoPlan(video, SourceItem(f"/src/{name}", name, "holiday", ("x",)), SourceVersion(f"/src/{name}", 5000, "123", sha256), facts(), segments)


def track(number: int, first: int, length: int, trusted: bool = True) -> Track:
    box = np.tile(np.array([100, 80, 160, 150], np.float32), (length, 1))
    origin = np.where(np.arange(length) % 4 == 0, Origin.DETECTED, Origin.FOLLOWED).astype(np.uint8)
    score = np.where(origin == Origin.DETECTED, 0.9, 0).astype(np.float32)
    frames = np.arange(first, first + length, dtype=np.int32)
    return Track(number, 0, frames, box, np.full((length, 5, 2), np.nan, np.float32), score, origin, np.zeros(0, np.int32), trusted)


def region_rows(track_: Track, identity: int = 0, method: int = Method.ENGINE) -> RegionTable:
    n = len(track_.frame)
    whole = np.full(n, 1, np.int32)
    cover = track_.box + np.array([-10, -10, 10, 10], np.float32)
    return RegionTable(track_.frame, whole * track_.track_no, whole * identity, track_.box, cover, track_.points, np.full(n, method, np.uint8), track_.origin)


def regions(video: str) -> VideoRegions:
    tracks = (track(0, 2, 20), track(1, 40, 4, trusted=False))
    repair = region_rows(track(7, 50, 3), -1, Method.REPAIR)
    table = RegionTable.concatenate([region_rows(tracks[0]), region_rows(tracks[1], -1, Method.OBSCURE), repair])
    return VideoRegions(video, (Identity(0, "p-4f2a", "c" * 64, None, (0,)),), tracks, table)


def staged(video: str) -> tuple[StagedSegment, ...]:
    paints = (TrackPaint(0, 18, 2, 1.12345678, False), TrackPaint(1, 0, 4, float("nan"), False))
    return (
        StagedSegment(video, 1, True, "", "", "b" * 64, 200, 30),
        StagedSegment(video, 0, False, "faces", "file:///scratch/0.mp4", "a" * 64, 300, 30, paints, cpu_seconds=1.5, attempt=1),
    )


def verified(plan_: VideoPlan, sha256: str = "9" * 64) -> Verified:
    output = OutputFacts(sha256, 4800, "h264", "mp4", FRAMES, "copied", "none", ("location",), ("data:gpmd",), 1, 1)
    return Verified(plan_, output, Verdict("centerface", "d" * 64, 5, (), (), 0))


def analysis(video: str) -> VideoAnalysis:
    return VideoAnalysis(video, FRAMES, Detections.empty(), FaceSamples.empty(), np.array([30], np.int32), np.array([0.75], np.float32))


def published(name: str = "a.mp4", content: str = "1", settings: Settings | None = None, run: RunInfo = RUN, sha256: str = "") -> dict:
    settings = settings or Settings()
    run = replace(run, settings_digest=settings.digest())
    plan_ = plan(name, content)
    checked = verified(plan_, sha256 or (settings.digest()[:32] + content * 32))
    models = [{"model_id": "d" * 64, "name": "centerface", "licence": "MIT", "task": "detection"}]
    video = plan_.video_id
    return publication(plan_, checked, regions(video), analysis(video), staged(video), run, settings, models=models, frame_pts=np.arange(FRAMES))


def refused(name: str = "bad.mp4", reason: str = "not a video", run: RunInfo = RUN, source: SourceVersion | None = None, video: str = "") -> dict:
    return quarantine(Quarantined(SourceItem(f"/src/{name}", name), video, "probe", reason, source), run)
