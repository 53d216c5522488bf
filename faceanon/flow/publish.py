"""Step 5, per video: stitch, compare with the source, let another detector look, repair, and commit once."""

from __future__ import annotations

from pathlib import Path

from faceanon.analyze.cover import add_repairs
from faceanon.archive.scratch import Scratch
from faceanon.core.errors import AlreadyExists, VerificationFailed
from faceanon.core.ports import Store
from faceanon.core.records import Leak, OutputFacts, StagedSegment, Verified, VideoPlan, VideoRegions
from faceanon.flow import analyze, layout, redact
from faceanon.flow.job import Context
from faceanon.flow.outcome import Row
from faceanon.flow.stopwatch import Stopwatch
from faceanon.ledger.commit import commit_published
from faceanon.ledger.records import publication
from faceanon.media.describe import describe, sample_pictures
from faceanon.media.stitch import stitch
from faceanon.verify.leak import find_leaks
from faceanon.verify.parity import compare
from faceanon.verify.verdict import judge


def run(context: Context, unit: Row) -> Row:
    """unit: {"output_id"}. Adds sha256, out_uri, repairs, faces, people, tracks, swapped, obscured, cpu."""
    output_id = unit["output_id"]
    plan = context.plan(output_id)
    watch = Stopwatch()
    with watch.stage("publish"):
        path, verified, regions, staged = _verified(context, output_id, plan, watch)
        name = layout.published_object(output_id, verified.output.sha256, Path(plan.item.name).suffix.lower() or path.suffix)
        _upload(context.out, path, name, verified.output)
        analysis = analyze.load(context, output_id, plan)
        uri = context.out.uri(name)
        record = publication(plan, verified, regions, analysis, staged, context.spec.run, context.settings, output_id=output_id, out_uri=uri)
        commit_published(context.out, record)
        context.out.link(name, layout.view(plan.item.name))
        context.scratch.discard(path)
        context.work.delete_tree(layout.video_folder(output_id))
    faces = sum(p.num_face for s in staged for p in s.paints)
    return {
        "sha256": verified.output.sha256,
        "out_uri": uri,
        "repairs": verified.verdict.repairs,
        "frames": verified.output.num_frames,
        "copied_segments": verified.output.copied_segments,
        "tracks": len(regions.tracks),
        "faces": len(regions.regions),
        "people": len(regions.identities),
        "painted": faces,
        "obscured": sum(p.num_obscured for s in staged for p in s.paints),
        "cpu": watch.rounded(),
    }


def _verified(context: Context, output_id: str, plan: VideoPlan, watch: Stopwatch) -> tuple[Path, Verified, VideoRegions, list[StagedSegment]]:
    """Stitched and looked at; with leaks repaired as often as the settings allow. Raises VerificationFailed."""
    settings = context.settings.verify
    regions = redact.load_regions(context, output_id)
    auditor = context.models("auditor").auditor
    source = context.source(plan.source)
    repairs = 0
    while True:
        staged = [redact.stage(context, output_id, plan, regions, segment, watch) for segment in plan.segments]
        path, output = _stitched(context, plan, source, staged)
        problems = compare(describe(source), describe(path), context.settings)
        with watch.stage("audit"):
            leaks, sampled = find_leaks(sample_pictures(path, settings.every_s), regions.regions, auditor, settings)
        if problems or not leaks or repairs == settings.max_repairs:
            return path, judge(plan, output, problems, leaks, sampled, auditor, repairs), regions, staged
        regions = _repaired(context, plan, regions, leaks)
        context.scratch.discard(path)
        repairs += 1


def _stitched(context: Context, plan: VideoPlan, source: Path, staged: list[StagedSegment]) -> tuple[Path, OutputFacts]:
    files: dict[int, Path] = {}
    for segment in staged:
        if not segment.copied:
            files[segment.segment_no] = _fetched(context.work, segment, context.scratch)
    path = context.scratch.file(Path(plan.item.name).suffix.lower() or ".mp4")
    output = stitch(source, plan.facts, plan.segments, files, path, context.settings.encode)
    for file in files.values():
        context.scratch.discard(file)
    return path, output


def _fetched(work: Store, segment: StagedSegment, scratch: Scratch) -> Path:
    path = scratch.file(".nut")
    work.download(segment.file_uri.removeprefix(work.uri("")).lstrip("/"), path)
    if redact.file_digest(path) != segment.sha256:
        raise VerificationFailed(f"staged segment {segment.segment_no} is not what was written")
    return path


def _repaired(context: Context, plan: VideoPlan, regions: VideoRegions, leaks: list[Leak]) -> VideoRegions:
    width, height = plan.facts.upright_size
    table = add_repairs(regions.regions, leaks, regions.tracks, context.settings, width=width, height=height, num_frames=plan.segments[-1].stop_frame)
    return VideoRegions(regions.video_id, regions.identities, regions.tracks, table)


def _upload(out: Store, path: Path, name: str, output: OutputFacts) -> None:
    """The name holds the digest: meeting the object means that an earlier attempt came as far."""
    try:
        out.upload(path, name)
    except AlreadyExists:
        if redact.hashlib.sha256(out.read(name)).hexdigest() != output.sha256:
            raise
