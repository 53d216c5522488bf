"""Small videos made from pictures, for tests and for the sample archive.

`write_clip` takes pictures and gives back the path of a finished file; the container follows from the path's ending. The same
arguments give the same bytes: one encoder thread, no dates, no random ids.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from faceanon.core.picture import Image

Sound = tuple[NDArray[np.float32], int]  # (n,) float32 -1..1, samples a second

os.environ.setdefault("SVT_LOG", "1")  # as in encoders: errors only
_ENCODERS = {"h264": "libx264", "hevc": "libx265", "vp8": "libvpx", "vp9": "libvpx-vp9", "av1": "libsvtav1"}
_PIX_FMTS = {"mjpeg": "yuvj420p", "gif": "rgb8", "prores_ks": "yuv422p10le", "ffv1": "yuv420p"}
_BITEXACT: Any = av.container.Flags.bitexact.value
_AUDIO = {".webm": "libopus", ".avi": "libmp3lame"}
_SUBTITLES = {".mp4": "mov_text", ".mov": "mov_text", ".mkv": "subrip", ".webm": "webvtt"}
_ASS_HEADER = (
    b"[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\nFormat: Name, Fontname, Fontsize\nStyle: Default,Arial,16\n\n"
    b"[Events]\nFormat: Layer, Start, End, Style, Text\n"
)


@dataclass(frozen=True)
class ClipVideo:
    """How the pictures are coded."""

    rate: Fraction
    codec: str
    pix_fmt: str | None
    gop: int
    bframes: int
    time_base: Fraction
    rotation: int
    sar: Fraction
    interlaced: bool
    open_gop: bool
    options: Mapping[str, str]


def write_clip(
    path: Path,
    images: Iterable[Image],
    *,
    rate: Fraction | int = 25,
    codec: str = "h264",
    pix_fmt: str | None = None,
    gop: int = 12,
    bframes: int = 2,
    audio: Sound | None = None,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    rotation: int = 0,
    sar: Fraction | int = 1,
    metadata: Mapping[str, str] | None = None,
    subtitles: Sequence[tuple[float, float, str]] = (),
    chapters: Sequence[tuple[float, float, str]] = (),
    extra_audio: Sequence[tuple[Sound, str]] = (),
    interlaced: bool = False,
    open_gop: bool = False,
    start_delay_s: float = 0,
    cover: bytes | None = None,
    options: Mapping[str, str] | None = None,
) -> Path:
    """`images` as a video at `path`.

    pts: one for each picture, in units of `time_base` (1/rate without it). rotation: clockwise turn that shows the pictures upright;
    the pictures are given as they are coded. subtitles and chapters: (start_s, stop_s, text). extra_audio: (sound, language).
    cover: a PNG, attached as a picture. options: further options of the encoder.
    """
    tick = Fraction(time_base) if time_base else 1 / Fraction(rate)
    video = ClipVideo(Fraction(rate), codec, pix_fmt, gop, bframes, tick, rotation, Fraction(sar), interlaced, open_gop, options or {})
    delay = round(Fraction(start_delay_s).limit_denominator(1000) / tick)
    times = (pts[n] if pts is not None else round(n / Fraction(rate) / tick) for n in range(len(pts) if pts is not None else 1 << 31))
    pictures = iter(images)
    first = next(pictures)
    with av.open(str(path), "w", container_options=_container_options(path, metadata)) as container:
        container.flags |= _BITEXACT
        container.metadata.update(metadata or {})
        stream = _video_stream(container, video, first.shape[1], first.shape[0])
        sounds = [_Sound(container, path, *track) for track in [*([(audio, "und")] if audio else []), *extra_audio]]
        texts = _Texts(container, path, subtitles) if subtitles else None
        picture_stream = _cover_stream(container) if cover else None
        if chapters:
            container.set_chapters([_chapter(n, *entry) for n, entry in enumerate(chapters)])
        container.start_encoding()
        if texts:
            texts.write(container)
        if picture_stream is not None and cover:
            _mux_whole(container, picture_stream, cover)
        decoding = _DecodeTimes(video)
        for frame in _frames(first, pictures, video, stream.pix_fmt, times, delay):
            for sound in sounds:
                sound.write_until(container, float((frame.pts or 0) * tick))
            container.mux(decoding.corrected(stream.encode(frame), frame.pts))
        for sound in sounds:
            sound.write_until(container, float("inf"))
        container.mux(decoding.corrected(stream.encode(None), None))
    return path


class _DecodeTimes:
    """dts for HEVC by the order of display; x265 leaves them undefined in clips shorter than its delay."""

    def __init__(self, video: ClipVideo) -> None:
        self._delay = (2 if video.bframes else 0) if video.codec == "hevc" else None
        self._step = max(1, round(1 / video.rate / video.time_base))
        self._shown: list[int] = []
        self._count = 0

    def corrected(self, packets: list[av.Packet], pts: int | None) -> list[av.Packet]:
        """The packets; `pts` is of the frame that went in."""
        if pts is not None:
            self._shown.append(pts)
        if self._delay is None:
            return packets
        for packet in packets:
            place = self._count - self._delay
            packet.dts = self._shown[place] if place >= 0 else self._shown[0] + place * self._step
            self._count += 1
        return packets


def _container_options(path: Path, metadata: Mapping[str, str] | None) -> dict[str, str]:
    return {"movflags": "use_metadata_tags"} if metadata and path.suffix.lower() in (".mp4", ".mov") else {}


def _video_stream(container, video: ClipVideo, width: int, height: int):
    stream = container.add_stream(_ENCODERS.get(video.codec, video.codec), rate=video.rate)
    context = stream.codec_context
    context.width, context.height = width, height
    context.pix_fmt = video.pix_fmt or _PIX_FMTS.get(video.codec, "yuv420p")
    context.time_base = stream.time_base = video.time_base
    context.gop_size, context.thread_count = video.gop, 1
    context.sample_aspect_ratio = video.sar
    context.flags |= av.codec.context.Flags.bitexact
    if video.codec not in ("gif", "mjpeg", "ffv1", "prores_ks"):
        context.colorspace = context.color_primaries = context.color_trc = 1 if _is_hd(width, height) else 6
    if video.interlaced:
        context.flags |= av.codec.context.Flags.interlaced_dct | av.codec.context.Flags.interlaced_me
    if video.codec in ("h264", "hevc", "mpeg2video", "mpeg4"):
        context.max_b_frames = video.bframes
    context.options = {**_encoder_options(video), **video.options}
    if video.rotation:
        stream.set_display_rotation(-video.rotation)  # FFmpeg counts counter-clockwise
    return stream


def _encoder_options(video: ClipVideo) -> dict[str, str]:
    if video.codec == "h264":
        extra = ":open-gop=1" if video.open_gop else ""
        return {"preset": "ultrafast", "crf": "18", "x264-params": f"keyint={video.gop}:min-keyint={video.gop}:scenecut=0:bframes={video.bframes}:b-adapt=0{extra}"}
    if video.codec == "hevc":
        params = f"keyint={video.gop}:min-keyint={video.gop}:scenecut=0:bframes={video.bframes}:open-gop={int(video.open_gop)}:pools=1:frame-threads=1:log-level=none"
        return {"preset": "ultrafast", "crf": "18", "x265-params": params}
    if video.codec in ("vp8", "vp9"):
        return {"deadline": "realtime", "cpu-used": "8", "crf": "16", "b": "2M", "auto-alt-ref": "0"}
    if video.codec == "av1":
        return {"preset": "12", "crf": "24", "svtav1-params": f"keyint={video.gop}:lp=1"}
    if video.codec in ("mpeg4", "mpeg2video", "mjpeg"):
        return {"qscale": "3", "flags": "+qscale", "global_quality": str(3 * 118)}
    return {}


def _is_hd(width: int, height: int) -> bool:
    return width >= 1280 or height > 576


def _frames(first: Image, rest: Iterator[Image], video: ClipVideo, pix_fmt: str, times: Iterator[int], delay: int) -> Iterator[av.VideoFrame]:
    colours = av.video.reformatter.Colorspace.ITU709 if _is_hd(first.shape[1], first.shape[0]) else av.video.reformatter.Colorspace.ITU601
    for image in (image for part in ([first], rest) for image in part):
        moment = next(times, None)
        if moment is None:
            return
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24").reformat(format=pix_fmt, dst_colorspace=colours)
        frame.pts, frame.time_base = moment + delay, video.time_base
        yield frame


def _cover_stream(container):
    stream = container.add_mux_stream("png", width=16, height=16, time_base=Fraction(1, 90000))
    stream.disposition = av.stream.Disposition.attached_pic
    return stream


def _mux_whole(container, stream, payload: bytes) -> None:
    packet = av.Packet(payload)
    packet.stream, packet.pts, packet.dts, packet.time_base, packet.is_keyframe = stream, 0, 0, Fraction(1, 90000), True
    container.mux(packet)


def _chapter(number: int, start_s: float, stop_s: float, title: str) -> Any:
    return {"id": number + 1, "start": round(start_s * 1000), "end": round(stop_s * 1000), "time_base": Fraction(1, 1000), "metadata": {"title": title}}


class _Sound:
    """One audio track, written as far as the video has come so that the file is interleaved."""

    def __init__(self, container, path: Path, sound: Sound, language: str) -> None:
        samples, rate = sound
        codec = _AUDIO.get(path.suffix.lower(), "aac")
        self._rate = 48000 if codec == "libopus" else rate
        self._format = "flt" if codec == "libopus" else "fltp"
        self.stream = container.add_stream(codec, rate=self._rate, layout="mono")
        self.stream.codec_context.format = self._format
        self.stream.metadata["language"] = language
        self.stream.codec_context.flags |= av.codec.context.Flags.bitexact
        if self._rate != rate:
            samples = np.interp(np.arange(len(samples) * self._rate // rate) * (rate / self._rate), np.arange(len(samples)), samples).astype(np.float32)
        self._samples, self._done = samples, 0
        self._no_negative, self._shift = path.suffix.lower() == ".avi", 0

    def write_until(self, container, moment_s: float) -> None:
        size = self.stream.codec_context.frame_size or 1024
        while self._done < len(self._samples) and self._done < moment_s * self._rate:
            part = self._samples[self._done : self._done + size]
            frame = av.AudioFrame.from_ndarray(part[None, :].astype(np.float32), format=self._format, layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = self._rate, self._done, Fraction(1, self._rate)
            self._mux(container, frame)
            self._done += len(part)
        if moment_s == float("inf"):
            self._mux(container, None)

    def _mux(self, container, frame: av.AudioFrame | None) -> None:
        for packet in self.stream.encode(frame):
            if self._no_negative:  # AVI has no time before 0; a shift of all streams would leave a gap in the video
                self._shift = max(self._shift, -(packet.pts or 0))
                packet.pts = packet.dts = (packet.pts or 0) + self._shift
            container.mux(packet)


class _Texts:
    """A subtitle track; text needs no encoder but a length word in mp4."""

    def __init__(self, container, path: Path, entries: Sequence[tuple[float, float, str]]) -> None:
        codec = _SUBTITLES[path.suffix.lower()]
        self._prefixed = codec == "mov_text"
        if self._prefixed:
            self.stream = container.add_stream(codec)
            self.stream.codec_context.subtitle_header = _ASS_HEADER
            self.stream.codec_context.time_base = Fraction(1, 1000)
        else:
            self.stream = container.add_mux_stream(codec)
        self.stream.time_base = Fraction(1, 1000)
        self.stream.metadata["language"] = "eng"
        self._entries = entries

    def write(self, container) -> None:
        for start_s, stop_s, text in self._entries:
            data = text.encode()
            packet = av.Packet(len(data).to_bytes(2, "big") + data if self._prefixed else data)
            packet.stream, packet.time_base, packet.is_keyframe = self.stream, Fraction(1, 1000), True
            packet.pts = packet.dts = round(start_s * 1000)
            packet.duration = round((stop_s - start_s) * 1000)
            container.mux(packet)
