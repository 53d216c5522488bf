"""The one maker of Verified. What it is given decides; nothing can be published around it."""

from __future__ import annotations

from collections.abc import Sequence

from faceanon.core.errors import VerificationFailed
from faceanon.core.ids import digest
from faceanon.core.ports import FaceDetector
from faceanon.core.records import Leak, OutputFacts, Verdict, Verified, VideoPlan
from faceanon.core.timeline import clock

_SHOWN = 3  # leaks that a reason names


def judge(
    plan: VideoPlan, output: OutputFacts, problems: Sequence[str], leaks: Sequence[Leak], frames_sampled: int, auditor: FaceDetector, repairs: int
) -> Verified:
    """A Verified where nothing is wrong. Raises VerificationFailed with everything that is."""
    problems = (*problems, *_gaps(plan, output, frames_sampled))
    verdict = Verdict(auditor.name, model_digest(auditor), frames_sampled, tuple(leaks), tuple(problems), repairs)
    if verdict.decision == "fail":
        raise VerificationFailed("; ".join([*_leaks(plan, verdict), *problems]), source=plan.item.name)
    return Verified(plan, output, verdict)


def model_digest(auditor: FaceDetector) -> str:
    """The auditor's weights by one digest: their own where there is one file, a digest of digests where there are more."""
    return auditor.model_sha256[0] if len(auditor.model_sha256) == 1 else digest("models", *auditor.model_sha256)


def _gaps(plan: VideoPlan, output: OutputFacts, frames_sampled: int) -> list[str]:
    """What an empty list of problems could hide: a check that never ran, a part that never came."""
    gaps = []
    if not frames_sampled:
        gaps.append("the auditor looked at no frame")
    if output.copied_segments + output.encoded_segments != len(plan.segments):
        gaps.append(f"the output is made of {output.copied_segments + output.encoded_segments} segments, {len(plan.segments)} were planned")
    return gaps


def _leaks(plan: VideoPlan, verdict: Verdict) -> list[str]:
    if not verdict.leaks:
        return []
    frames = len({leak.frame for leak in verdict.leaks})
    shown = ", ".join(_leak(plan, leak) for leak in verdict.leaks[:_SHOWN]) + (", ..." if len(verdict.leaks) > _SHOWN else "")
    return [f"after {verdict.repairs} repairs {verdict.auditor} still sees a face outside the painted regions in {frames} of {verdict.frames_sampled} frames: {shown}"]


def _leak(plan: VideoPlan, leak: Leak) -> str:
    """A frame's place in time is for finding it by eye; with a variable rate it is near, not exact."""
    x0, y0, x1, y1 = (round(edge) for edge in leak.box)
    total = max(plan.facts.num_frames_from_content, 1)
    return f"frame {leak.frame} (about {clock(plan.facts.duration_s * leak.frame / total)}) at {x0},{y0}-{x1},{y1} with score {leak.score:.2f}"
