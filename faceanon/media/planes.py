"""Between FFmpeg's frames and numpy planes: which pixel formats are kept as they are, and how planes are copied in and out.

Kept: planar YUV of 8, 10 and 12 bits (little-endian) at 4:2:0, 4:2:2, 4:4:4, 4:4:0 and 4:1:1, grey, and NV12 with its chroma taken
apart. All else (RGB, palettes, alpha, other depths) becomes 8-bit 4:4:4 with BT.601 coefficients and limited range first.
"""

from __future__ import annotations

import av
import numpy as np
from numpy.typing import NDArray

from faceanon.core.picture import PlaneFormat, PxBox
from faceanon.core.records import VideoFacts

_CHROMA = {"420": (2, 2), "422": (2, 1), "444": (1, 1), "440": (1, 2), "411": (4, 1), "410": (4, 4)}
_DEPTHS = {"": 8, "10le": 10, "12le": 12}
FALLBACK = "yuv444p"
_ITU601 = av.video.reformatter.Colorspace.ITU601
# FFmpeg's matrix numbers; others than these are rare enough to be treated by size, as players do.
_MATRICES = {1: "bt709", 4: "bt601", 5: "bt601", 6: "bt601", 9: "bt2020", 10: "bt2020"}


def layout(pix_fmt: str) -> tuple[tuple[int, int] | None, int] | None:
    """(chroma steps in coded orientation, bits) of a format that is kept, else None."""
    if pix_fmt in ("gray", "gray10le", "gray12le"):
        return None, _DEPTHS[pix_fmt[4:]]
    if pix_fmt == "nv12":
        return (2, 2), 8
    name = pix_fmt.replace("yuvj", "yuv")
    kind, _, depth = name.removeprefix("yuv").partition("p")
    if name.startswith("yuv") and kind in _CHROMA and depth in _DEPTHS and "p" in name:
        return _CHROMA[kind], _DEPTHS[depth]
    return None


def painted_format(pix_fmt: str) -> str:
    """The planar format that pictures of a source in `pix_fmt` have when they are painted and encoded."""
    if layout(pix_fmt) is None:
        return FALLBACK
    return "yuv420p" if pix_fmt == "nv12" else pix_fmt


def plane_format(facts: VideoFacts) -> PlaneFormat:
    """How the planes of every Picture of this video are to be read, upright."""
    known = layout(facts.pix_fmt)
    if known is None:
        return PlaneFormat(8, (1, 1), False, "bt601")
    chroma, depth = known
    if chroma and facts.rotation in (90, 270):
        chroma = (chroma[1], chroma[0])
    full = facts.colour.colour_range == 2 or facts.pix_fmt.startswith("yuvj")
    large = facts.width >= 1280 or facts.height > 576
    return PlaneFormat(depth, chroma, full, _MATRICES.get(facts.colour.matrix, "bt709" if large else "bt601"))


def from_frame(frame: av.VideoFrame, facts: VideoFacts, *, writable: bool = True) -> tuple[NDArray, ...]:
    """The frame's planes as upright views: of copies, since the decoder predicts later frames from its own memory, or of that memory, read-only."""
    size = (facts.width, facts.height)
    if frame.format.name != facts.pix_fmt or (frame.width, frame.height) != size or layout(facts.pix_fmt) is None:  # some streams change on their way
        frame = frame.reformat(*size, painted_format(facts.pix_fmt), dst_colorspace=_ITU601 if layout(facts.pix_fmt) is None else None)
    rotation = facts.rotation
    depth = (layout(frame.format.name) or (None, 8))[1]
    if frame.format.name == "nv12":
        pairs = _view(frame.planes[1], frame.planes[1].width * 2, np.uint8)
        coded = [_view(frame.planes[0], frame.width, np.uint8).copy(), pairs[:, 0::2].copy(), pairs[:, 1::2].copy()]
    else:
        views = [_view(plane, plane.width, np.uint8 if depth == 8 else np.uint16) for plane in frame.planes]
        coded = [view.copy() if writable else _locked(view) for view in views]
    return tuple(np.rot90(plane, -rotation // 90) if rotation else plane for plane in coded)


def _locked(view: NDArray) -> NDArray:
    view.flags.writeable = False
    return view


def to_frame(planes: tuple[NDArray, ...], pix_fmt: str, rotation: int) -> av.VideoFrame:
    """A new frame in coded orientation from upright planes."""
    coded = [np.rot90(plane, rotation // 90) if rotation else plane for plane in planes]
    frame = av.VideoFrame(coded[0].shape[1], coded[0].shape[0], pix_fmt)
    for plane, values in zip(frame.planes, coded, strict=True):
        _view(plane, plane.width, values.dtype)[...] = values
    return frame


def coded_box(box: PxBox, width: int, height: int, rotation: int) -> PxBox:
    """Where a box (x0, y0, x1, y1) of an upright picture of this size lies in its coded frame."""
    x0, y0, x1, y1 = box
    for _ in range(rotation // 90):
        x0, y0, x1, y1 = y0, width - x1, y1, width - x0
        width, height = height, width
    return x0, y0, x1, y1


def _view(plane, columns: int, dtype) -> NDArray:
    """(rows, columns) of one plane's memory, without its padding."""
    samples = np.frombuffer(plane, dtype).reshape(plane.height, plane.line_size // np.dtype(dtype).itemsize)
    return samples[:, :columns]
