"""Step 2, per segment: pixels in, faces and cuts out, sealed into the work store."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from faceanon.analyze.segment import LOOKAHEAD, analyze_segment
from faceanon.analyze.track import join
from faceanon.core.errors import AlreadyExists
from faceanon.core.records import VideoAnalysis, VideoPlan
from faceanon.flow import layout
from faceanon.flow.job import Context
from faceanon.flow.outcome import Row
from faceanon.flow.stopwatch import Stopwatch, timed
from faceanon.identity.sealed import pack_analysis, unpack_analysis
from faceanon.media.decode import read_pictures

MODELS = ("detector", "mesh", "embedder", "attributes")


def run(context: Context, unit: Row) -> Row:
    """unit: {"output_id", "segment_no"}. Adds frames, detected_frames, cpu."""
    name = layout.analysis(unit["output_id"], unit["segment_no"])
    if context.work.exists(name):
        return {"frames": 0, "cpu": {}, "resumed": True}
    plan = context.plan(unit["output_id"])
    segment = plan.segments[unit["segment_no"]]
    watch = Stopwatch()
    models = context.models(*MODELS)
    pictures = read_pictures(context.source(plan.source), plan.facts, segment, lookahead=LOOKAHEAD)
    with watch.stage("analyze"):
        analysis = analyze_segment(
            watch.each("decode", pictures),
            segment,
            detector=timed(models.detector, "detect", watch, "detect"),
            mesh=timed(models.mesh, "fit", watch, "detect"),
            embedder=timed(models.embedder, "embed", watch, "embed"),
            reader=timed(models.attributes, "read", watch, "embed"),
            settings=context.settings,
        )
    sealed = context.keystore.seal(pack_analysis(analysis), name)
    with suppress(AlreadyExists):  # another worker was as far with the same segment, and the same input gives the same bytes
        context.work.create(name, sealed)
    return {"frames": segment.num_frames, "detected_frames": analysis.num_frames_detected, "cpu": watch.rounded()}


def load(context: Context, output_id: str, plan: VideoPlan) -> VideoAnalysis:
    """A video's segments joined."""
    parts = []
    for segment in plan.segments:
        name = layout.analysis(output_id, segment.segment_no)
        parts.append(unpack_analysis(context.keystore.open_sealed(context.work.read(name), name)))
    total = sum(part.num_frames_decoded for part in parts)
    return replace(join(parts, total), video_id=plan.video_id)
