"""Step 2, per segment: pixels in, faces and cuts out, sealed into the work store."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from faceanon.analyze.joining import join
from faceanon.analyze.segment import LOOKAHEAD, analyze_segment
from faceanon.analyze.views import ViewKeeper
from faceanon.core.picture import Image
from faceanon.core.ports import FaceDetector
from faceanon.core.records import VideoAnalysis, VideoPlan
from faceanon.flow import layout
from faceanon.flow.job import Context
from faceanon.flow.outcome import Row
from faceanon.flow.stopwatch import Stopwatch, timed
from faceanon.flow.tryon import tries_on
from faceanon.identity.sealed import load_analysis, save_analysis, save_views
from faceanon.media.guarded import read_pictures
from faceanon.render.engines import OBSCURING

MODELS = ("detector", "mesh", "embedder", "shot_net")


def run(context: Context, unit: Row) -> Row:
    """unit: {"output_id", "segment_no"}. Adds frames, detected_frames, cpu."""
    name, views = (place(unit["output_id"], unit["segment_no"]) for place in (layout.analysis, layout.views))
    tries = tries_on(context.settings.render)
    if context.work.exists(name) and (not tries or context.work.exists(views)):
        return {"frames": 0, "cpu": {}, "resumed": True}
    plan = context.plan(unit["output_id"])
    segment = plan.segments[unit["segment_no"]]
    watch = Stopwatch()
    seeks_likeness = context.settings.render.engine not in OBSCURING  # sex, age and skin choose a new face, and serve nothing else
    models = context.models(*MODELS, *(("attributes",) if seeks_likeness else ()))
    reader = read_pictures(context.segment_source(plan, segment, LOOKAHEAD), plan.facts, segment, lookahead=LOOKAHEAD, writable=False)
    detector = _Counting(models.detector)
    pictures = context.kept.watch((unit["output_id"], segment.segment_no), reader, segment, lambda: not detector.found) if len(plan.segments) == 1 else reader
    keeper = ViewKeeper(context.settings.render.min_face_px) if tries else None
    with watch.stage("analyze"):
        analysis = analyze_segment(
            watch.each("decode", pictures),
            segment,
            detector=timed(detector, "detect", watch, "detect"),
            mesh=timed(models.mesh, "fit", watch, "detect"),
            embedder=timed(models.embedder, "embed", watch, "embed"),
            reader=timed(models.attributes, "read", watch, "embed"),
            settings=context.settings,
            shot_net=models.shot_net,
            keeper=keeper,
        )
    if keeper is not None:
        save_views(context.work, context.keystore, views, keeper.views())
    save_analysis(context.work, context.keystore, name, analysis)
    return {"frames": segment.num_frames, "detected_frames": analysis.num_frames_detected, "cpu": watch.rounded()}


class _Counting:
    """A detector that remembers whether it has found anything."""

    def __init__(self, inner: FaceDetector) -> None:
        self.name, self.model_sha256 = inner.name, inner.model_sha256
        self.found = 0
        self._inner = inner

    def detect(self, image: Image) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        faces = self._inner.detect(image)
        self.found += len(faces[2])
        return faces


def load(context: Context, output_id: str, plan: VideoPlan) -> VideoAnalysis:
    """A video's segments joined."""
    parts = [load_analysis(context.work, context.keystore, layout.analysis(output_id, segment.segment_no)) for segment in plan.segments]
    return join(parts, sum(part.num_frames_decoded for part in parts))
