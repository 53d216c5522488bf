"""The file of one encoded segment: packets in order of decoding with their exact pts, and what a decoder needs to know.

A format of our own, since no container keeps every time base, pts and codec as they are: MAGIC, a length and a JSON header, then for
each packet (pts, size, keyframe) and its payload, then an end mark with the count, so that a file cut short is noticed.
"""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from faceanon.core.errors import SourceTruncated

_MAGIC = b"FAPKTS1\n"
_PACKET = struct.Struct("<qIB")
_END = 0xFFFFFFFF


@dataclass(frozen=True)
class StagedHeader:
    """How the packets are coded. extradata: hex, "" where all is in the packets."""

    codec: str
    pix_fmt: str
    width: int
    height: int
    extradata: str


@dataclass(frozen=True)
class CodedPacket:
    """One packet of video. h264 and hevc: Annex B."""

    pts: int
    is_keyframe: bool
    payload: bytes


def write_header(file: BinaryIO, header: StagedHeader) -> None:
    text = json.dumps(asdict(header), sort_keys=True).encode()
    file.write(_MAGIC + len(text).to_bytes(4, "little") + text)


def write_packet(file: BinaryIO, packet: CodedPacket) -> None:
    file.write(_PACKET.pack(packet.pts, len(packet.payload), packet.is_keyframe) + packet.payload)


def write_end(file: BinaryIO, count: int) -> None:
    file.write(_PACKET.pack(count, _END, 0))


def append(part: Path, whole: Path) -> None:
    """A further file of packets behind those in `whole`, which may not exist yet; `divided` takes them apart."""
    with part.open("rb") as source, whole.open("ab") as target:
        shutil.copyfileobj(source, target, 1 << 20)


def divided(whole: Path, sizes: Sequence[int], parts: Sequence[Path]) -> None:
    """The files that were appended to `whole`, again on their own. Raises SourceTruncated where they are not as long together."""
    if whole.stat().st_size != sum(sizes):
        raise SourceTruncated(f"a staged segment is {whole.stat().st_size} bytes long, not {sum(sizes)}", source=str(whole))
    with whole.open("rb") as source:
        for size, part in zip(sizes, parts, strict=True):
            with part.open("wb") as target:
                target.write(source.read(size))


def read_header(path: Path) -> StagedHeader:
    with path.open("rb") as file:
        return _header(file, path)


def read_packets(path: Path) -> Iterator[CodedPacket]:
    """Raises SourceTruncated where the end mark is missing."""
    with path.open("rb") as file:
        _header(file, path)
        count = 0
        while True:
            pts, size, key = _next(file, path)
            if size == _END:
                if pts != count:
                    raise SourceTruncated(f"a staged segment holds {count} packets of {pts}", source=str(path))
                return
            yield CodedPacket(pts, bool(key), file.read(size))
            count += 1


def read_times(path: Path) -> list[int]:
    """The pts of every packet in order of decoding, without reading payloads."""
    times: list[int] = []
    with path.open("rb") as file:
        _header(file, path)
        while True:
            pts, size, _ = _next(file, path)
            if size == _END:
                return times
            times.append(pts)
            file.seek(size, 1)


def _header(file: BinaryIO, path: Path) -> StagedHeader:
    if file.read(len(_MAGIC)) != _MAGIC:
        raise SourceTruncated("is not a staged segment", source=str(path))
    return StagedHeader(**json.loads(file.read(int.from_bytes(file.read(4), "little"))))


def _next(file: BinaryIO, path: Path) -> tuple[int, int, int]:
    data = file.read(_PACKET.size)
    if len(data) < _PACKET.size:
        raise SourceTruncated("a staged segment has no end", source=str(path))
    return _PACKET.unpack(data)
