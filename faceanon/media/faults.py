"""FFmpeg's errors as ours: what goes in is an exception of PyAV and a path, what comes out is a leaf of `core.errors` with a plain reason."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av

from faceanon.core.errors import LimitExceeded, SourceError, SourceTruncated, SourceUnreadable, SourceUnsupported
from faceanon.media import boxes

# What FFmpeg and PyAV raise on bad media; FFmpegError subclasses OSError and ValueError in parts, so it comes first.
MediaFault = (av.FFmpegError, av.codec.codec.UnknownCodecError)


def opening(error: BaseException, path: Path) -> SourceError:
    """The error for a file that does not open."""
    source = str(path)
    if isinstance(error, FileNotFoundError):
        return SourceUnreadable("does not exist", source=source)
    if isinstance(error, PermissionError):
        return SourceUnreadable("may not be read: permission denied", source=source)
    if isinstance(error, IsADirectoryError):
        return SourceUnreadable("is a folder", source=source)
    if isinstance(error, MemoryError):
        return _too_large(source)
    if isinstance(error, av.ArgumentError):  # FFmpeg's word for a format outside the list that `source` allows
        return SourceUnreadable("is not a video container that is read here", source=source)
    kind = boxes.looks_like(path)
    if kind:
        return SourceTruncated(f"begins as {kind} but does not open, as a file does whose end is missing: {_words(error)}", source=source)
    return SourceUnreadable(f"is not a video that can be opened: {_words(error)}", source=source)


def reading(error: BaseException, path: Path, where: str) -> SourceError:
    """The error for a file that opened and then failed; `where` says at which frame or packet."""
    if isinstance(error, FileNotFoundError | PermissionError):
        return opening(error, path)
    if isinstance(error, MemoryError):
        return _too_large(str(path))
    return SourceTruncated(f"does not read to its end: {_words(error)} at {where}", source=str(path))


def _too_large(source: str) -> LimitExceeded:
    return LimitExceeded("asks for more memory, or declares more streams, than a video may (run.media_memory_gb)", source=source)


@contextmanager
def writing(path: Path, what: str) -> Iterator[None]:
    """Turns a refusal of an encoder or muxer into SourceUnsupported; a full disk stays the OSError it is."""
    try:
        yield
    except MediaFault as error:
        if isinstance(error, OSError) and error.errno is not None and 0 < error.errno < 256 and error.errno != 22:
            raise
        raise SourceUnsupported(f"{what} is not possible: {_words(error)}", source=str(path)) from error


def _words(error: BaseException) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).strip()
