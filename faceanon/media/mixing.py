"""Which segments may be copied. Pure.

Copied and re-encoded packets can stand in one stream where every keyframe brings all that its decoder needs, or where parameter
sets can travel in the packets and the container's players accept it. Where nothing is encoded, any codec is copied.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from faceanon.core.records import Segment, VideoFacts
from faceanon.core.settings import EncodeSettings
from faceanon.media.encoders import plan_encoder
from faceanon.media.planes import layout, painted_format
from faceanon.media.segments import ENDS_UNCLEAN

_SELF_CONTAINED = ("vp8", "vp9", "mjpeg")
_IN_BAND_CONTAINERS = ("mp4", "mov", "matroska", "mpegts")


def mixable(facts: VideoFacts) -> str:
    """"" where copied source packets may stand beside re-encoded ones, else the reason why not."""
    where = f"{facts.codec} in {facts.container}"
    if facts.codec == "gif":
        return "gif: frames build on one another and share palettes"
    in_band = facts.codec in ("h264", "hevc") or (facts.codec == "mpeg2video" and facts.field_order == "progressive")
    if facts.codec not in _SELF_CONTAINED and not in_band:
        return f"{where}: one header holds for the whole stream"
    if in_band and facts.container not in (_IN_BAND_CONTAINERS if facts.codec != "mpeg2video" else ("mpegts",)):
        return f"{where}: the container has no place for a second set of parameters"
    if facts.codec == "h264" and "444" in facts.pix_fmt:
        return f"{where}: how 4:4:4 decodes depends on the encoder that the first packet names"
    written = plan_encoder(facts, EncodeSettings()).pix_fmt
    same = layout(facts.pix_fmt) is not None and written in (facts.pix_fmt, painted_format(facts.pix_fmt))
    return "" if same else f"{where}: re-encoded segments are {written}, not {facts.pix_fmt}"


def choose_copies(facts: VideoFacts, segments: Sequence[Segment], wanted: Collection[int]) -> dict[int, str]:
    """For every segment_no: "" to copy it, or why it is encoded. `wanted` names the segments that nothing is painted in.

    A whole video without painting is copied whatever its codec and however its segments meet, if its own start is clean.
    """
    if len(wanted) == len(segments) and starts_clean(segments):
        return {segment.segment_no: "" for segment in segments}
    reason = mixable(facts)
    return {s.segment_no: (reason or s.not_copyable_because) if s.segment_no in wanted else "it is painted" for s in segments}


def starts_clean(segments: Sequence[Segment]) -> bool:
    """True where the video's first frame depends on nothing that is hidden or missing."""
    return segments[0].copyable or segments[0].not_copyable_because == ENDS_UNCLEAN
