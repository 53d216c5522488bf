"""Small files of every container and codec that is accepted, and ways to damage them; the same seed always gives the same file."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from faceanon.media.clips import write_clip

NUM_FILES = 2000
_TONE = ((np.sin(np.arange(8000) * 0.05) * 0.3).astype(np.float32), 44100)
KINDS: dict[str, tuple[str, dict]] = {
    "mp4 h264": (".mp4", {"audio": _TONE}),
    "mp4 hevc": (".mp4", {"codec": "hevc"}),
    "mp4 av1": (".mp4", {"codec": "av1"}),
    "mp4 mpeg4": (".mp4", {"codec": "mpeg4", "subtitles": ((0.0, 0.2, "text"),)}),
    "mp4 vp9": (".mp4", {"codec": "vp9"}),
    "mov prores": (".mov", {"codec": "prores_ks"}),
    "mov mjpeg": (".mov", {"codec": "mjpeg", "chapters": ((0.0, 0.2, "one"),)}),
    "mov h264": (".mov", {"rotation": 90, "metadata": {"title": "t"}}),
    "mkv h264": (".mkv", {"audio": _TONE}),
    "mkv hevc": (".mkv", {"codec": "hevc", "pix_fmt": "yuv420p10le"}),
    "mkv ffv1": (".mkv", {"codec": "ffv1"}),
    "mkv mpeg2": (".mkv", {"codec": "mpeg2video"}),
    "webm vp8": (".webm", {"codec": "vp8", "audio": _TONE}),
    "webm vp9": (".webm", {"codec": "vp9"}),
    "webm av1": (".webm", {"codec": "av1"}),
    "avi mjpeg": (".avi", {"codec": "mjpeg"}),
    "avi mpeg4": (".avi", {"codec": "mpeg4", "audio": _TONE}),
    "avi h264": (".avi", {"bframes": 0}),
    "avi huffyuv": (".avi", {"codec": "huffyuv", "pix_fmt": "yuv422p"}),
    "ts h264": (".ts", {"audio": _TONE}),
    "ts hevc": (".ts", {"codec": "hevc"}),
    "ts mpeg2": (".ts", {"codec": "mpeg2video"}),
    "gif": (".gif", {"codec": "gif", "rate": 10}),
    "flv h264": (".flv", {}),
    "flv flv1": (".flv", {"codec": "flv"}),
    "mpg mpeg1": (".mpg", {"codec": "mpeg1video"}),
    "mxf mpeg2": (".mxf", {"codec": "mpeg2video", "bframes": 0}),
    "ogg vp8": (".ogv", {"codec": "libvpx"}),
}


@dataclass(frozen=True)
class Damaged:
    """One file of the fuzz."""

    kind: str
    suffix: str
    data: bytes


class Fuzz:
    """Makes the whole files once, in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._whole: dict[str, bytes] = {}

    def file(self, seed: int) -> Damaged:
        """The damaged file of `seed`."""
        names = sorted(KINDS)
        kind = names[seed % len(names)]
        rng = random.Random(seed)
        data = bytearray(self.whole(kind))
        for _ in range(rng.choice((1, 1, 2, 4, 12))):
            rng.choice(_DAMAGES)(rng, data)
        return Damaged(kind, KINDS[kind][0], bytes(data))

    def whole(self, kind: str) -> bytes:
        """The undamaged file of a kind."""
        if kind not in self._whole:
            suffix, options = KINDS[kind]
            path = self._folder / f"{kind.replace(' ', '_')}{suffix}"
            self._whole[kind] = _ogg(path) if suffix == ".ogv" else write_clip(path, _scene(), gop=4, **options).read_bytes()
        return self._whole[kind]


def _scene():
    ground = np.random.default_rng(0).integers(0, 255, (6, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)  # 48 x 64
    return (np.roll(ground, 3 * n, 1) for n in range(9))


def _ogg(path: Path) -> bytes:
    """VP8 in Ogg, since FFmpeg builds rarely write Theora."""
    with av.open(str(path), "w", format="ogg") as out:
        out.flags |= av.container.Flags.bitexact.value
        stream = out.add_stream("libvpx", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.options = {"deadline": "realtime", "cpu-used": "8"}
        for image in _scene():
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24").reformat(format="yuv420p")))
        out.mux(stream.encode(None))
    return path.read_bytes()


_EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


def _place(rng: random.Random, data: bytearray) -> int:
    """Headers are hit as often as all the rest: in front, or at the end, where indexes stand."""
    size = max(1, len(data))
    return rng.choice((rng.randrange(size), rng.randrange(min(size, 512)), size - 1 - rng.randrange(min(size, 2048))))


def _flip(rng: random.Random, data: bytearray) -> None:
    if data:
        data[_place(rng, data)] ^= 1 << rng.randrange(8)


def _overwrite(rng: random.Random, data: bytearray) -> None:
    at = _place(rng, data)
    data[at : at + 8] = rng.randbytes(rng.randrange(1, 9))


def _edge(rng: random.Random, data: bytearray) -> None:
    """A number at its bounds, in either order of bytes."""
    at = _place(rng, data)
    data[at : at + 4] = struct.pack(rng.choice("<>") + "I", rng.choice(_EDGES))


def _edge64(rng: random.Random, data: bytearray) -> None:
    at = _place(rng, data)
    data[at : at + 8] = struct.pack(rng.choice("<>") + "q", rng.choice((0, -1, 1 << 62, -(1 << 62), (1 << 63) - 1, -(1 << 63), rng.randrange(1 << 40))))


def _drop(rng: random.Random, data: bytearray) -> None:
    at = _place(rng, data)
    del data[at : at + rng.choice((1, 4, 188, 500))]


def _repeat(rng: random.Random, data: bytearray) -> None:
    at = _place(rng, data)
    data[at:at] = data[at : at + rng.choice((4, 16, 188, 1000))]


def _move(rng: random.Random, data: bytearray) -> None:
    source, target, size = _place(rng, data), _place(rng, data), rng.choice((4, 32, 400))
    data[target : target + size] = data[source : source + size]


def _cut(rng: random.Random, data: bytearray) -> None:
    del data[_place(rng, data) + 1 :]


def _zero(rng: random.Random, data: bytearray) -> None:
    at, size = _place(rng, data), rng.choice((4, 64, 600))
    data[at : at + size] = bytes(len(data[at : at + size]))


_DAMAGES: tuple[Callable[[random.Random, bytearray], None], ...] = (_flip, _flip, _overwrite, _edge, _edge, _edge64, _drop, _repeat, _move, _cut, _zero)
