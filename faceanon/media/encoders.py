"""Which encoder writes a source's codec again, and how it is set. Pure: facts and settings in, an EncoderPlan out.

Families: each codec by itself where there is an encoder. Nearest where there is none: MS-MPEG-4 and H.263 become MPEG-4, 10-bit VP9
and 4:2:2 AV1 become what their encoder takes. GIF is staged without loss (FFV1) and gets its palettes when it is stitched.
MPEG-2 and H.264 stay interlaced; other encoders code both fields as one frame. Light levels of HDR stay in the container only.
Encoders count frames (pts 0, 1, 2 at the average rate), whatever the source's time base; the writer maps counts back to exact pts.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction

import av

from faceanon.core.errors import SourceUnsupported
from faceanon.core.records import VideoFacts
from faceanon.core.settings import EncodeSettings
from faceanon.media.planes import painted_format

CONTAINERS = {"mp4": "mp4", "mov": "mov", "matroska": "matroska", "webm": "webm", "avi": "avi", "mpegts": "mpegts", "gif": "gif", "flv": "flv"}
_ENCODERS = {
    "h264": "libx264",
    "hevc": "libx265",
    "vp8": "libvpx",
    "vp9": "libvpx-vp9",
    "av1": "libsvtav1",
    "mpeg4": "mpeg4",
    "msmpeg4v1": "mpeg4",
    "msmpeg4v2": "mpeg4",
    "msmpeg4v3": "mpeg4",
    "h263": "mpeg4",
    "flv1": "flv",
    "mjpeg": "mjpeg",
    "mpeg1video": "mpeg1video",
    "mpeg2video": "mpeg2video",
    "prores": "prores_ks",
    "ffv1": "ffv1",
    "gif": "ffv1",
}
_WRITES = {"libx264": "h264", "libx265": "hevc", "libvpx": "vp8", "libvpx-vp9": "vp9", "libsvtav1": "av1", "flv": "flv1", "prores_ks": "prores"}
_MPEG_RATES = [Fraction(24000, 1001), Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(30), Fraction(50), Fraction(60000, 1001), Fraction(60)]
_EVEN_CHROMA = {"libx264", "libx265"}
os.environ.setdefault("SVT_LOG", "1")  # errors only; SVT-AV1 writes to the terminal past FFmpeg's own log, and reads this once a process
_GOP_S = 5
_LEAST_BITS_PER_PX = 0.05
_LARGE_PX = 4096 * 1200
# x264's quickest presets look at no frame ahead, which doubles their files; with five, and a slightly smaller step, they keep veryfast's SSIM in files of about
# its size. Three frames of four refer to nothing and nothing refers to them: an audit need not decode those.
_QUICK_PRESETS = ("ultrafast", "superfast")
_QUICK_PARAMS = ":mbtree=1:rc-lookahead=5:b-adapt=0:b-pyramid=none"
_QUICK_FINER, _QUICK_FINER_HEVC = 1.5, 2.5
SPS_ID = 1  # most sources use 0; with another number both sets can be announced side by side


def muxer(facts: VideoFacts) -> str:
    """FFmpeg's name for the source's container. Raises SourceUnsupported for those that are only read."""
    if facts.container not in CONTAINERS:
        raise SourceUnsupported(f"the container {facts.container} cannot be written")
    return CONTAINERS[facts.container]


@dataclass(frozen=True)
class EncoderPlan:
    """All that is set on an encoder."""

    encoder: str
    codec: str  # that it writes
    pix_fmt: str
    rate: Fraction
    gop: int
    options: dict[str, str]
    quantizer: int  # 1..31 for encoders of the MPEG family, else 0
    top_field_first: bool | None  # None: progressive
    global_header: bool
    spends_by_region: bool  # whether it can be told where bits are wanted


def plan_encoder(facts: VideoFacts, settings: EncodeSettings) -> EncoderPlan:
    """Raises SourceUnsupported, with the reason, where the video cannot be written again."""
    muxer(facts)
    name = _ENCODERS.get(facts.codec)
    if name is None:
        raise SourceUnsupported(f"there is no encoder for its codec, {facts.codec}")
    pix_fmt = _pix_fmt(name, facts)
    if name in _EVEN_CHROMA and _is_odd(facts, pix_fmt):
        raise SourceUnsupported(f"{name} cannot write {facts.width} x {facts.height} px in {pix_fmt}")
    rate = _rate(name, facts)
    interlaced = facts.field_order != "progressive" and name in ("mpeg2video", "libx264")
    return EncoderPlan(
        encoder=name,
        codec=_WRITES.get(name, name),
        pix_fmt=pix_fmt,
        rate=rate,
        gop=max(1, round(rate * _GOP_S)),
        options=_options(name, facts, settings),
        quantizer=_quantizer(name, settings.quality),
        top_field_first=facts.field_order[1] == "t" if interlaced else None,
        global_header=name == "libsvtav1" or facts.codec == "ffv1",
        # ultrafast has no adaptive quantization, as x265's quick presets; and FFmpeg does not hand regions of interlaced frames on
        spends_by_region=name == "libx264" and settings.preset != "ultrafast" and not interlaced,
    )


def _pix_fmt(encoder: str, facts: VideoFacts) -> str:
    """The source's own, or the one that loses least."""
    wanted = painted_format(facts.pix_fmt)
    offered = [f.name for f in av.Codec(encoder, "w").video_formats or []]
    if wanted in offered or not offered:
        return wanted
    if encoder == "mjpeg" and wanted.replace("yuv", "yuvj") in offered:
        return wanted.replace("yuv", "yuvj")
    best = av.codec.codec.find_best_pix_fmt_of_list(offered, wanted)[0]
    return best.name if best else offered[0]


def _is_odd(facts: VideoFacts, pix_fmt: str) -> bool:
    odd_width, odd_height = facts.width % 2, facts.height % 2
    return bool((odd_width and ("420" in pix_fmt or "422" in pix_fmt)) or (odd_height and "420" in pix_fmt))


def _rate(encoder: str, facts: VideoFacts) -> Fraction:
    rate = facts.average_rate or Fraction(25)
    rate = min(max(rate, Fraction(1)), Fraction(240)).limit_denominator(1001)
    if encoder in ("mpeg1video", "mpeg2video"):
        return min(_MPEG_RATES, key=lambda r: abs(r - rate))
    return rate if rate.numerator <= 65535 else Fraction(round(rate * 100), 100)


def _quantizer(encoder: str, quality: int) -> int:
    if encoder == "mjpeg":
        return min(31, max(1, round(quality / 7)))
    return min(31, max(1, round(quality / 8))) if encoder in ("mpeg4", "mpeg1video", "mpeg2video", "flv") else 0


def _options(encoder: str, facts: VideoFacts, settings: EncodeSettings) -> dict[str, str]:
    """x264's quality scale mapped by what looks alike; the numbers are the encoders' own rules of thumb."""
    quality, threads = settings.quality, settings.threads
    no_b_frames = facts.container in ("avi", "flv")  # AVI keeps no presentation times
    if encoder == "libx264":
        # x264's faster sums for the macroblock tree differ from one processor to the next, and with AVX-512 and two threads read memory that nobody has written
        params = f"sps-id={SPS_ID}:open-gop=0:cpu-independent=1:{_ceiling(facts)}" + (":bframes=0" if no_b_frames else "")
        if settings.preset in _QUICK_PRESETS:
            return {"preset": settings.preset, "crf": f"{max(0.0, quality - _QUICK_FINER):g}", "x264-params": params + _QUICK_PARAMS}
        return {"preset": settings.preset, "crf": str(quality), "x264-params": params + _short_look(facts)}
    if encoder == "libx265":
        params = f"open-gop=0:info=0:repeat-headers=1:pools={threads}:frame-threads=1:log-level=none:{_ceiling(facts)}" + (":bframes=0" if no_b_frames else "")
        finer = _QUICK_FINER_HEVC if settings.preset in _QUICK_PRESETS else 0.0
        return {"preset": settings.preset, "crf": f"{min(51.0, quality + 4 - finer):g}", "x265-params": params}
    if encoder == "libvpx-vp9":
        return {"deadline": "realtime", "cpu-used": "5", "crf": str(min(63, round(quality * 1.4))), "b": "0", "row-mt": "0"}
    if encoder == "libvpx":  # without alternate reference frames each packet is one shown frame; a speed below 0 is fixed, one above follows the clock
        return {"deadline": "realtime", "cpu-used": "-4", "crf": str(min(63, max(4, round(quality * 0.8)))), "b": "100M", "auto-alt-ref": "0"}
    if encoder == "libsvtav1":
        return {"preset": "9", "crf": str(min(63, quality + 10)), "svtav1-params": f"lp={threads}"}
    if encoder == "ffv1":
        return {"level": "1"} if facts.codec == "gif" else {"level": "3", "slices": "4"}  # level 1 needs no header aside
    return {"bf": "0"} if encoder in ("mpeg4", "mpeg1video", "mpeg2video", "flv") else {}


def _short_look(facts: VideoFacts) -> str:
    """Each frame that x264 looks ahead costs 20 MB and more at 4K."""
    return ":rc-lookahead=5" if facts.width * facts.height > _LARGE_PX else ""


def _ceiling(facts: VideoFacts) -> str:
    """A bit rate that quality may not exceed: twice the source's. A source of few bits has no detail that more could keep, and files would grow 3.5 times."""
    floor = facts.width * facts.height * float(facts.average_rate or 25) * _LEAST_BITS_PER_PX
    most_kbit = max(64, round(max(2 * (facts.bit_rate or 0), floor) / 1000)) if facts.bit_rate else 0
    return f"vbv-maxrate={most_kbit}:vbv-bufsize={2 * most_kbit}" if most_kbit else "vbv-maxrate=0"
