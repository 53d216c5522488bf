"""Step 1, per source: read it once for its digest and its packets, or a large object's index alone, and lay down the plan of its segments."""

from __future__ import annotations

import json
import logging

from faceanon.archive.fetch import begin_part, fetch_source
from faceanon.core.errors import SourceTruncated, SourceUnreadable, StoreError, StoreUnavailable, VerificationFailed
from faceanon.core.ids import output_id, video_id
from faceanon.core.jsonable import from_json, to_json
from faceanon.core.records import Correction, PacketIndex, SourceItem, SourceVersion, VideoFacts, VideoPlan
from faceanon.flow import layout, parts
from faceanon.flow.job import Context
from faceanon.flow.outcome import Row
from faceanon.identity.keystore import scope_name
from faceanon.ledger.corrections import corrections_of
from faceanon.media.guarded import level, probe
from faceanon.media.segments import plan_segments

log = logging.getLogger("faceanon")

Looked = tuple[SourceVersion, VideoFacts, PacketIndex]


def run(context: Context, unit: Row) -> Row:
    """unit: {"item": SourceItem as JSON}. Adds output_id, video_id, scope_name, segments, longest_s (of a segment), frames, duration_s, confined, corrections (ids)."""
    item = from_json(SourceItem, unit["item"])
    source, facts, index = _of_parts(context, item) or _of_whole(context, item)
    video = video_id(item.name, source.content)
    scope = scope_name(context.settings, item, video)
    corrections = _corrections(context, video)
    ids = [correction.correction_id for correction in corrections]
    output = output_id(video, context.settings.digest(), context.keystore.keystore_id, scope, ids)
    plan = VideoPlan(video, item, source, facts, plan_segments(video, facts, index, context.settings.plan), corrections)
    context.work.replace(layout.plan(output), json.dumps(to_json(plan)).encode())
    return {
        "output_id": output,
        "video_id": video,
        "scope_name": scope,
        "segments": len(plan.segments),
        "longest_s": max((_seconds(segment.num_frames, plan) for segment in plan.segments), default=0.0),
        "frames": sum(s.num_frames for s in plan.segments),
        "duration_s": facts.duration_s,
        "source": to_json(source),
        "corrections": ids,
        "confined": level(),
    }


def _corrections(context: Context, video: str) -> tuple[Correction, ...]:
    """Raises VerificationFailed for one that was altered: what it asked for is not known, and without it a face may be seen."""
    try:
        return corrections_of(context.out, video)
    except StoreUnavailable:
        raise
    except StoreError as error:
        raise VerificationFailed(str(error)) from error


def _of_parts(context: Context, item: SourceItem) -> Looked | None:
    """A large object, of which only the index and some keyframes are read; None where it must be read whole, to be judged too."""
    part = begin_part(item.uri, context.scratch, context.settings.store.whole_mb * 1e6)
    if part is None:
        return None
    try:
        fingerprint = parts.opened(part, context.settings.plan)
        found = parts.probed(part, context.settings.plan) if fingerprint else None
        return (part.as_version(fingerprint), *found) if found else None
    except (SourceTruncated, SourceUnreadable) as error:
        log.info("%s: read whole: %s", item.uri, error.reason)
        return None
    finally:
        context.discard(part.path)


def _of_whole(context: Context, item: SourceItem) -> Looked:
    path, source = fetch_source(item.uri, context.scratch)
    try:
        return (source, *probe(path, context.settings.plan))
    finally:
        context.discard(path)


def _seconds(frames: int, plan: VideoPlan) -> float:
    """About how long so many frames are shown."""
    return round(frames / max(1, sum(s.num_frames for s in plan.segments)) * plan.facts.duration_s, 3)
