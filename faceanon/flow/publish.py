"""Step 5, per video: stitch, compare with the source, let another detector look, repair, and commit once."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faceanon.analyze.cover import REPAIR_HOLD_FRAMES, add_repairs
from faceanon.core.errors import AlreadyExists, StoreError, StoreUnavailable, VerificationFailed
from faceanon.core.records import Leak, OutputFacts, Segment, StagedSegment, Verified, VideoPlan, VideoRegions
from faceanon.flow import analyze, layout, redact
from faceanon.flow.job import Context
from faceanon.flow.outcome import Row
from faceanon.flow.stopwatch import Stopwatch
from faceanon.identity.credentials import credentials_from, own_credentials
from faceanon.identity.keystore import scope_name
from faceanon.ledger import boxes
from faceanon.ledger.commit import commit_published
from faceanon.ledger.records import publication
from faceanon.media.credentials import FORMATS, sign_credentials
from faceanon.media.describe import MOST_SKIPPED, MediaSummary
from faceanon.media.guarded import describe, sample_pictures, stitch
from faceanon.media.mixing import as_segment
from faceanon.media.staging import divided
from faceanon.models.catalog import model_rows
from faceanon.render.engines import OBSCURING
from faceanon.verify.leak import find_leaks
from faceanon.verify.parity import compare
from faceanon.verify.verdict import judge


def run(context: Context, unit: Row) -> Row:
    """unit: {"output_id"}. Adds sha256, out_uri, repairs, frames, bytes, faces, people, tracks, swapped, obscured, cpu."""
    output_id = unit["output_id"]
    plan = context.plan(output_id)
    watch = Stopwatch()
    with watch.stage("publish"):
        summary = describe(context.source(plan.source))
        path, verified, regions, staged = _verified(context, output_id, plan, summary, watch)
        name = layout.published_object(output_id, verified.output.sha256, Path(plan.item.name).suffix.lower() or path.suffix)
        _upload(context, path, name, verified.output)
        analysis = analyze.load(context, output_id, plan)
        scope = scope_name(context.settings, plan.item, plan.video_id)
        models = model_rows(context.settings)
        where = boxes.write(context.out, output_id, regions) if context.settings.ledger.boxes_days else None
        record = publication(
            context.proven(plan), verified, regions, analysis, staged, context.spec.run, context.settings,
            scope_name=scope, object=name, models=models, frame_pts=summary.frame_pts, boxes=where,
        )
        context.source(plan.source)  # once more: what was rendered is still what is there
        _commit(context, record)
        context.out.link(name, layout.view(plan.item.name))
    faces = sum(p.num_face for s in staged for p in s.paints)
    return {
        "sha256": verified.output.sha256,
        "out_uri": context.out.uri(name),
        "repairs": verified.verdict.repairs,
        "frames": verified.output.num_frames,
        "bytes": verified.output.size,
        "copied_segments": verified.output.copied_segments,
        "tracks": len(regions.tracks),
        "faces": len(regions.regions),
        "people": len(regions.identities),
        "painted": faces,
        "obscured": sum(p.num_obscured for s in staged for p in s.paints),
        "cpu": watch.rounded(),
    }


def _verified(
    context: Context, output_id: str, plan: VideoPlan, source_summary: MediaSummary, watch: Stopwatch
) -> tuple[Path, Verified, VideoRegions, list[StagedSegment]]:
    """Stitched and looked at; with leaks repaired as often as the settings allow. Raises VerificationFailed."""
    settings = context.settings.verify
    regions = context.regions(output_id)
    auditor = context.models("auditor").auditor
    source = context.source(plan.source)
    repairs = 0
    while True:
        staged = [redact.stage(context, output_id, plan, regions, segment, watch) for segment in plan.segments]
        path, output = _stitched(context, output_id, plan, source, staged)
        made = describe(path)
        problems = compare(source_summary, made, context.settings)
        with watch.stage("audit"):
            seen = watch.each("audit", sample_pictures(path, made.facts, settings.every_s / (repairs + 1)))
            leaks, sampled = find_leaks(seen, regions.regions, auditor, settings)
        if problems or not leaks or repairs == settings.max_repairs:
            return path, judge(plan, output, problems, leaks, sampled, auditor, repairs), regions, staged
        regions = _repaired(context, output_id, plan, regions, leaks, source_summary.frame_pts)
        context.discard(path)
        repairs += 1


def _stitched(context: Context, output_id: str, plan: VideoPlan, source: Path, staged: list[StagedSegment]) -> tuple[Path, OutputFacts]:
    segments, files = _laid_out(context, plan, staged)
    path = context.scratch.file(Path(plan.item.name).suffix.lower() or ".mp4")
    output = stitch(source, plan.facts, segments, files, path, context.settings.encode)
    for file in files.values():
        context.discard(file)
    copied = sum(segment.copied for segment in staged)
    output = replace(output, copied_segments=copied, encoded_segments=len(staged) - copied, copied_frames=sum(s.copied_frames for s in staged))
    if context.settings.c2pa.sign and output.container in FORMATS:
        return _signed(context, output_id, path, output, staged)
    return path, output


def _laid_out(context: Context, plan: VideoPlan, staged: list[StagedSegment]) -> tuple[tuple[Segment, ...], dict[int, Path]]:
    """What is joined, in order: segments, or their pieces, counted anew; and the files of those that are encoded."""
    segments: list[Segment] = []
    files: dict[int, Path] = {}
    for segment, made in zip(plan.segments, staged, strict=True):
        pieces = [as_segment(plan.video_id, len(segments) + n, piece) for n, piece in enumerate(made.pieces)] or [replace(segment, segment_no=len(segments))]
        encoded = [piece.segment_no for piece in pieces if not (made.copied or (made.pieces and piece.copyable))]
        if encoded:
            files.update(zip(encoded, _fetched(context, made), strict=True))
        segments += pieces
    return tuple(segments), files


def _signed(context: Context, output_id: str, path: Path, output: OutputFacts, staged: list[StagedSegment]) -> tuple[Path, OutputFacts]:
    """With content credentials: what is compared and audited next is what is published."""
    paints = [paint for segment in staged for paint in segment.paints]
    faces = sum(p.num_face for p in paints) if context.settings.render.engine not in OBSCURING else 0
    told, signed = context.settings.c2pa, context.scratch.file(path.suffix)
    chain = credentials_from(Path(told.certificate), Path(told.key)) if told.key else own_credentials(context.keystore.credentials_seed())
    words = {"output_id": output_id, "replaced": faces, "obscured": sum(p.num_face + p.num_obscured for p in paints) - faces}
    manifest = sign_credentials(path, signed, output.container, **words, certificates=chain.certificates, algorithm=chain.algorithm, sign=chain.sign)
    context.discard(path)
    return signed, replace(output, sha256=redact.file_digest(signed), size=signed.stat().st_size, c2pa_manifest_sha256=manifest)


def _fetched(context: Context, segment: StagedSegment) -> list[Path]:
    """The file of each encoded piece, in order."""
    path = context.scratch.file(".nut")
    context.work.download(segment.file_uri.removeprefix(context.work.root.rstrip("/") + "/"), path)
    if redact.file_digest(path) != segment.sha256:
        raise VerificationFailed(f"staged segment {segment.segment_no} is not what was written")
    sizes = [piece.size for piece in segment.pieces if not piece.copied]
    if len(sizes) < 2:
        return [path]
    parts = [context.scratch.file(".nut") for _ in sizes]
    divided(path, sizes, parts)
    context.discard(path)
    return parts


def _repaired(context: Context, output_id: str, plan: VideoPlan, regions: VideoRegions, leaks: list[Leak], frame_pts: NDArray[np.int64]) -> VideoRegions:
    """A face seen in one sample may be there until the samples beside it: it is covered up to them."""
    width, height = plan.facts.upright_size
    analysis = analyze.load(context, output_id, plan)
    table = add_repairs(
        regions.regions,
        leaks,
        cut_frame=analysis.cut_frame,
        num_frames=analysis.num_frames,
        settings=context.settings,
        width=width,
        height=height,
        hold_frames=max(REPAIR_HOLD_FRAMES, frames_between_samples(frame_pts, plan.facts.time_base, context.settings.verify.every_s) + MOST_SKIPPED),
    )
    return VideoRegions(regions.video_id, regions.identities, regions.tracks, table)


def _commit(context: Context, record: dict) -> None:
    """Raises VerificationFailed where this output was committed before with other bytes: that is this video's fault, not the archive's."""
    try:
        commit_published(context.out, record)
    except StoreUnavailable:
        raise
    except StoreError as error:
        raise VerificationFailed(error.reason) from error


def frames_between_samples(frame_pts: NDArray[np.int64], time_base: Fraction, every_s: float) -> int:
    """The most frames that lie between two sampled ones."""
    step = int(Fraction(every_s).limit_denominator(1_000_000) / time_base) + 1
    return int((np.searchsorted(frame_pts, frame_pts + step, side="right") - np.arange(len(frame_pts))).max(initial=1))


def _upload(context: Context, path: Path, name: str, output: OutputFacts) -> None:
    """The name holds the digest: meeting the object means that an earlier attempt came as far, which is looked at all the same."""
    try:
        context.out.upload(path, name)
    except AlreadyExists:
        there = context.scratch.file()
        context.out.download(name, there)
        if redact.file_digest(there) != output.sha256:
            raise
        context.discard(there)
