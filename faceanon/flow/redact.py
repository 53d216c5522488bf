"""Step 4, per segment: paint what was decided and encode it, or promise that its packets are copied; of one with faces, GOP by GOP.

A staged segment is keyed by the digest of its regions, so that a repair renders again exactly those segments that it changes.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faceanon.core.errors import AlreadyExists, SourceTruncated, SourceUnsupported, VerificationFailed
from faceanon.core.jsonable import from_json, to_json
from faceanon.core.picture import Picture
from faceanon.core.ports import FaceEngine
from faceanon.core.records import Painted, PaintRow, Piece, RegionTable, Segment, StagedSegment, TrackPaint, VideoPlan, VideoRegions
from faceanon.core.settings import INPAINTING, EncodeSettings
from faceanon.core.timeline import Span
from faceanon.flow import layout
from faceanon.flow.job import Context
from faceanon.flow.kept import Joined, Kept, Reader
from faceanon.flow.outcome import Row
from faceanon.flow.stopwatch import Stopwatch, cpu_spent_s, timed
from faceanon.media.encode import SegmentWriter, can_write
from faceanon.media.guarded import copied_digest, read_pictures
from faceanon.media.mixing import as_segment, choose_copies, divide, mixable
from faceanon.media.staging import append
from faceanon.render.engines import OBSCURING, make_engine
from faceanon.verify import painted

FACES = "faces"  # why a segment is encoded, in the ledger
PAINT_CHECK_EVERY = 8  # frames between proofs that painted faces differ from the source


def run(context: Context, unit: Row) -> Row:
    """unit: {"output_id", "segment_no"}. Adds frames, copied, cpu."""
    plan = context.plan(unit["output_id"])
    regions = context.regions(unit["output_id"])
    watch = Stopwatch()
    staged = stage(context, unit["output_id"], plan, regions, plan.segments[unit["segment_no"]], watch)
    return {"frames": staged.num_frames, "copied": staged.copied, "cpu": watch.rounded()}


def stage(context: Context, output_id: str, plan: VideoPlan, regions: VideoRegions, segment: Segment, watch: Stopwatch) -> StagedSegment:
    """The segment, staged; found again where an equal one was staged before."""
    own = regions.regions.between(segment.first_frame, segment.stop_frame)
    reason = why_encoded(plan, regions.regions, segment, context.settings.encode.copy_clean)
    digest = regions_digest(own, reason)
    record = layout.staged_record(output_id, segment.segment_no, digest)
    if context.work.exists(record):
        return from_json(StagedSegment, json.loads(context.work.read(record)))
    if reason:
        staged = _render(context, output_id, plan, regions, segment, own, reason, digest, watch)
    else:
        with watch.stage("copy"):
            sha256, size = copied_digest(context.segment_source(plan, segment), plan.facts, segment)
        staged = StagedSegment(plan.video_id, segment.segment_no, True, "", "", sha256, size, segment.num_frames, attempt=context.attempt)
    try:
        context.work.create(record, json.dumps(to_json(staged)).encode())
    except AlreadyExists:
        return from_json(StagedSegment, json.loads(context.work.read(record)))  # the first to finish is the one that counts
    return staged


def why_encoded(plan: VideoPlan, regions: RegionTable, segment: Segment, copy_clean: bool) -> str:
    """The reason why packets of this segment cannot be copied, in some of its GOPs at least; "" where all are."""
    own = regions.between(segment.first_frame, segment.stop_frame)
    if not copy_clean:
        return FACES if len(own) else "copying is off in the settings"
    if len(own):
        refused = mixable(plan.facts)
        in_vain = refused and any(piece.copied for piece in divide(segment, painted_frames(own, segment)))
        return f"{FACES}; nor can what shows none be copied beside them: {refused}" if in_vain else FACES
    clean = [s.segment_no for s in plan.segments if not len(regions.between(s.first_frame, s.stop_frame))]
    return choose_copies(plan.facts, plan.segments, clean)[segment.segment_no]


def painted_frames(own: RegionTable, segment: Segment) -> NDArray[np.bool_]:
    """(segment.num_frames,) in which something is painted."""
    found = np.zeros(segment.num_frames, np.bool_)
    found[own.frame - segment.first_frame] = True
    return found


def regions_digest(regions: RegionTable, reason: str) -> str:
    total = hashlib.sha256(reason.encode())
    for column in fields(regions):
        total.update(np.ascontiguousarray(getattr(regions, column.name)).tobytes())
    return total.hexdigest()


def _render(
    context: Context, output_id: str, plan: VideoPlan, regions: VideoRegions, segment: Segment, own: RegionTable, reason: str, digest: str, watch: Stopwatch
) -> StagedSegment:
    try:
        can_write(plan.facts)
    except SourceUnsupported as error:
        raise SourceUnsupported(error.reason, source=plan.item.uri) from error
    began_s = cpu_spent_s()
    engine = _engine(context, regions, own, watch)
    source = context.segment_source(plan, segment)
    mixes = context.settings.encode.copy_clean and not mixable(plan.facts)
    pieces = divide(segment, painted_frames(own, segment)) if mixes else (Piece(segment.span, segment.first_frame, segment.num_frames, False),)
    kept = context.kept.take((output_id, segment.segment_no), segment.stop_frame)
    path = context.scratch.file(".nut")
    done: list[Piece] = []
    paints: list[TrackPaint] = []
    decode_errors = 0
    for piece in pieces:
        span = as_segment(plan.video_id, segment.segment_no, piece)
        if piece.copied:
            with watch.stage("copy"):
                sha256, size = copied_digest(source, plan.facts, span)
            done.append(replace(piece, sha256=sha256, size=size))
            continue
        pictures = _pictures(kept, source, plan, span)
        part = context.scratch.file(".nut")
        _paint(pictures, engine, own, span, part, plan, context.settings.encode, watch)
        done.append(replace(piece, size=part.stat().st_size))
        paints += engine.summary()
        decode_errors += pictures.decode_errors
        append(part, path)
        context.discard(part)
    token = f"{socket.gethostname()}-{os.getpid()}"
    name = layout.staged_file(output_id, segment.segment_no, digest, token)
    sha256, size = file_digest(path), path.stat().st_size
    context.work.delete(name)  # left by an earlier attempt of this very process
    context.work.upload(path, name)
    context.discard(path)
    cpu_s = round(cpu_spent_s() - began_s, 3)
    mixed = tuple(done) if len(done) > 1 else ()
    uri = context.work.uri(name)
    return StagedSegment(
        plan.video_id, segment.segment_no, False, reason, uri, sha256, size, segment.num_frames, tuple(paints), decode_errors, cpu_s, context.attempt, mixed
    )


def _pictures(kept: Kept | None, source: Path, plan: VideoPlan, span: Segment) -> Reader:
    """The frames of `span`, those that are kept from memory."""
    rest = kept.until(span.first_frame, span.stop_frame) if kept else None
    if rest is None or rest.first.index == span.first_frame:
        return rest or read_pictures(source, plan.facts, span)
    head = replace(span, span=Span(span.span.start_pts, rest.first.pts), num_frames=rest.first.index - span.first_frame)
    return Joined(read_pictures(source, plan.facts, head), rest)


def _paint(pictures: Reader, engine: FaceEngine, own: RegionTable, span: Segment, path: Path, plan: VideoPlan, settings: EncodeSettings, watch: Stopwatch) -> None:
    """The frames of `span`, painted and encoded into `path`."""
    rows = own.between(span.first_frame, span.stop_frame)
    faces = KeptFaces(rows)
    frames, new_faces = 0, engine.name not in OBSCURING
    with watch.stage("encode"), SegmentWriter(path, plan.facts, settings) as writer, watch.stage("render"):
        for picture, paints in engine.paint(faces.watch(watch.each("decode", pictures)), rows):
            faces.check(picture, paints)
            with watch.stage("encode"):
                writer.write(picture, [paint.box for paint in paints if new_faces and paint.painted == Painted.FACE])
            frames += 1
    if frames != span.num_frames:
        raise SourceTruncated(f"segment {span.segment_no}: {frames} frames came out of {span.num_frames}", source=plan.item.uri)


def _engine(context: Context, regions: VideoRegions, own: RegionTable, watch: Stopwatch):
    settings = context.settings.render
    if not len(own):
        settings = replace(settings, engine="blur")  # nothing to paint: no model has to be loaded
    if settings.engine in OBSCURING:
        return make_engine(settings)
    seen = set(own.identity.tolist())
    shown = [i for i in regions.identities if i.identity_no in seen]
    if settings.engine in INPAINTING:
        models = context.models("mesh", "embedder", "segmenter", "inpainter")
        new = {"inpainter": timed(models.inpainter, "inpaint", watch, "paint"), "codes": {i.identity_no: i.code for i in shown if i.code is not None}}
    else:
        models = context.models("mesh", "embedder", "segmenter", "people", "attributes")
        with watch.stage("portraits"):
            new = {"portraits": {i.identity_no: models.people.portrait(i.persona) for i in shown if i.persona is not None}}
    return make_engine(
        settings, mesh=timed(models.mesh, "fit", watch, "mesh"), embedder=timed(models.embedder, "embed", watch, "check"), segmenter=models.segmenter, **new
    )


class KeptFaces:
    """A copy of some source faces, held until the frame comes out painted, to prove that they differ."""

    def __init__(self, regions: RegionTable) -> None:
        self._regions = regions
        self._kept: dict[int, painted.Kept] = {}

    def watch(self, pictures: Iterator[Picture]) -> Iterator[Picture]:
        for picture in pictures:
            if picture.index % PAINT_CHECK_EVERY == 0:
                rows = self._regions.at(picture.index)
                if len(rows):
                    self._kept[picture.index] = painted.Kept.of(picture, rows)
            yield picture

    def check(self, picture: Picture, paints: list[PaintRow]) -> None:
        """Raises VerificationFailed where a region was not painted or a face's pixels are still the source's."""
        rows = self._regions.at(picture.index)
        missing = set(rows.track.tolist()) - {paint.track for paint in paints}
        if missing:
            raise VerificationFailed(f"frame {picture.index}: {len(missing)} regions were not painted")
        kept = self._kept.pop(picture.index, None)
        if kept is not None:
            same = painted.unpainted(kept, picture)
            if same:
                raise VerificationFailed(f"frame {picture.index}: {len(same)} faces still show the source's pixels")


def file_digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
