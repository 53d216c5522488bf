"""What is asked for: files, folders, globs and manifests, on disk or on S3, as one list of SourceItem with a name each.

A name is the path below the SRC folder or below a glob's fixed part; a lone file is called by its own name. Folders are read to
the bottom: files with a known video suffix count, hidden files and folders (`.work` among them) do not, and symbolic links to
folders are not followed. A glob whose last part names a suffix takes what it matches; any other glob takes videos. A folder that a
glob matches counts with all its videos and a manifest with its lines, as when a shell expands it. A lone file is taken whatever it is called.

Wrong usage is said before any work: a missing SRC, a glob that matches nothing, two sources for one name. What cannot be named
or entered inside a folder becomes a Quarantined row and the rest goes on.
"""

from __future__ import annotations

import os
import posixpath
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from faceanon.archive import manifest as manifests
from faceanon.archive import objects
from faceanon.archive import uri as uris
from faceanon.archive.globs import MAGIC, glob_regex
from faceanon.archive.store import source_fault
from faceanon.archive.uri import Uri
from faceanon.core.errors import UsageError
from faceanon.core.records import Quarantined, SourceItem
from faceanon.core.settings import Settings

VIDEO_SUFFIXES = frozenset(
    [
        ".mp4", ".m4v", ".mov", ".qt", ".mkv", ".mk3d", ".webm", ".avi", ".divx", ".ts", ".mts", ".m2ts", ".m2t", ".trp", ".mxf", ".gif", ".mpg", ".mpeg",
        ".mpe", ".mpv", ".m1v", ".m2v", ".vob", ".evo", ".mod", ".tod", ".ogv", ".ogm", ".flv", ".f4v", ".3gp", ".3g2", ".wmv", ".asf", ".wtv", ".dv",
        ".mjpeg", ".mjpg", ".mj2", ".y4m", ".h264", ".264", ".avc", ".hevc", ".h265", ".265", ".ivf", ".obu", ".av1", ".nut", ".rm", ".rmvb", ".amv",
        ".insv", ".360", ".lrv",
    ]
)

Found = SourceItem | Quarantined


@dataclass(frozen=True)
class Resolved:
    """items: one per name, in the order of the SRCs and sorted within each. skipped: files of folders that are not called like videos."""

    items: tuple[SourceItem, ...]
    rejected: tuple[Quarantined, ...]
    skipped: int = 0


def resolve(sources: Sequence[str], settings: Settings, *, exclude: Sequence[str] = ()) -> Resolved:
    """All items of `sources`. `exclude`: URIs (the output, the work folder) that are not entered when they lie inside a SRC. Raises UsageError."""
    if not sources:
        raise UsageError("nothing was asked for: give files, folders, globs or manifests")
    walls = tuple(_real(uris.parse(text)) for text in exclude)
    names: dict[str, SourceItem] = {}
    rejected: list[Quarantined] = []
    skipped = 0
    for text in sources:
        for found in _expand(text, walls):
            if found is None:
                skipped += 1
            elif isinstance(found, Quarantined):
                rejected.append(found)
            else:
                _claim(names, found)
    _check_folders(names)
    return Resolved(tuple(names.values()), tuple(rejected), skipped)


def _real(uri: Uri) -> str:
    return os.path.realpath(uri.path) if uri.is_local else str(uri)


def _claim(names: dict[str, SourceItem], item: SourceItem) -> None:
    """Take a name. The same source asked for twice is one; the first asking decides collection and tags."""
    other = names.setdefault(item.name, item)
    if other.uri != item.uri:
        raise UsageError(f"two sources for one output name, {item.name}: {other.uri} and {item.uri}; name them in a manifest, or use two outputs")


def _check_folders(names: dict[str, SourceItem]) -> None:
    """A name cannot be a file and a folder."""
    for name, item in names.items():
        cut = name.rfind("/")
        while cut > 0:
            other = names.get(name[:cut])
            if other:
                raise UsageError(f"the output name {other.name} of {other.uri} is also a folder of {name}, from {item.uri}")
            cut = name.rfind("/", 0, cut)


def _expand(text: str, walls: tuple[str, ...]) -> Iterator[Found | None]:
    """Items and refusals of one SRC; None for a file that is left out."""
    source = uris.parse(text)
    kind = _kind(source)
    if kind == "file":
        return _manifest(source) if manifests.is_manifest(source.name) else iter([_lone(source)])
    if kind == "folder":
        return _named(_below(source, walls), source, lambda name: _is_video(name))
    if kind == "" and MAGIC.search(source.path):
        return _glob(source, walls)
    raise UsageError("does not exist" if kind == "" else "is neither a file nor a folder", source=uris.printable(text))


def _kind(source: Uri) -> str:
    """ "file", "folder", "other", or "" for what does not exist."""
    if not source.is_local:
        return _object_kind(source)
    try:
        mode = os.stat(source.path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        raise UsageError(source_fault(error, "").reason, source=uris.printable(str(source))) from error
    return "file" if stat.S_ISREG(mode) else "folder" if stat.S_ISDIR(mode) else "other"


def _object_kind(source: Uri) -> str:
    try:
        facts = objects.patiently(lambda fs: fs.info(source.object_path), str(source))
    except FileNotFoundError:
        return ""
    return "file" if facts["type"] == "file" else "folder"


def _lone(source: Uri) -> SourceItem:
    uris.check_name(source.name)
    return SourceItem(str(source), source.name, source.parent.name)


def _manifest(source: Uri) -> Iterator[Found]:
    try:
        with open(source.path, "rb") if source.is_local else objects.filesystem(source.scheme).open(source.object_path, "rb") as file:
            yield from manifests.read_manifest(source, file)
    except OSError as error:
        raise UsageError(source_fault(error, "").reason, source=str(source)) from error


def _glob(source: Uri, walls: tuple[str, ...]) -> Iterator[Found | None]:
    """Matches below the fixed part of a pattern. Raises UsageError where there is none."""
    parts = source.path.split("/")
    fixed = next(i for i, part in enumerate(parts) if MAGIC.search(part) and not (source.is_local and os.path.isdir("/".join(parts[: i + 1]))))
    root = Uri(source.scheme, source.bucket, "/".join(parts[:fixed]) or ("/" if source.is_local else ""))
    if root.is_local and not os.path.isdir(root.path):
        raise UsageError("matches nothing", source=uris.printable(str(source)))
    pattern = re.compile(glob_regex(parts[fixed:]))
    named_suffix = bool(re.search(r"\.[^*?\[\]]+$", parts[-1]))
    matched = 0
    for item in _named(_below(root, walls), root, lambda name: _matches(pattern, name, named_suffix)):
        matched += item is not None
        if isinstance(item, SourceItem) and manifests.is_manifest(item.name):
            yield from _manifest(uris.parse(item.uri))
        elif item is not None:
            yield item
    if not matched:
        raise UsageError("matches nothing", source=uris.printable(str(source)))


def _matches(pattern: re.Pattern[str], name: str, named_suffix: bool) -> bool:
    if pattern.fullmatch(name):
        return named_suffix or _is_video(name)
    parts = name.split("/")
    return _is_video(name) and any(pattern.fullmatch("/".join(parts[:i])) for i in range(1, len(parts)))


def _named(found: Iterable[tuple[str, str | None]], root: Uri, wanted) -> Iterator[Found | None]:
    """Paths below a root as items; a second value is the reason why one cannot be taken."""
    for name, reason in found:
        uri = posixpath.join(root.path, name) if root.is_local else f"{root.scheme}://{root.bucket}/{posixpath.join(root.path, name)}"
        if reason is None and not wanted(name):
            yield None
        elif reason is None and (reason := _unfit(name)) is None:
            yield SourceItem(uri, name, root.name)
        else:
            item = SourceItem(uris.printable(uri), uris.printable(name), root.name)
            yield Quarantined(item, "", "manifest", f"{uris.printable(uri)}: {reason}")


def _unfit(name: str) -> str | None:
    try:
        uris.check_name(name)
    except UsageError as error:
        return error.reason
    return None


def _is_video(name: str) -> bool:
    return posixpath.splitext(name)[1].lower() in VIDEO_SUFFIXES


def _below(root: Uri, walls: tuple[str, ...]) -> Iterator[tuple[str, str | None]]:
    """(path below root, None or why it cannot be read) of every file that is not hidden, sorted.

    Walls count where they lie inside the root: who names a folder inside the output as SRC means it.
    """
    top = _real(root).rstrip("/") + "/"
    inside = tuple(wall.removeprefix(top) for wall in walls if wall.startswith(top))
    return iter(sorted(_walk(root.path, inside))) if root.is_local else _list(root, inside)


def _walk(top: str, walls: tuple[str, ...]) -> Iterator[tuple[str, str | None]]:
    pending = [""]
    while pending:
        folder = pending.pop()
        try:
            entries = sorted(os.scandir(posixpath.join(top, folder)), key=lambda entry: entry.name)
        except OSError as error:
            yield folder or ".", source_fault(error, "").reason
            continue
        for entry in entries:
            name = posixpath.join(folder, entry.name)
            if entry.name.startswith(".") or name in walls:
                continue
            if entry.is_dir(follow_symlinks=False):
                pending.append(name)
            elif not entry.is_dir():
                yield name, _not_a_file(entry)


def _not_a_file(entry: os.DirEntry[str]) -> str | None:
    """A pipe or a device that is called like a video must never be opened."""
    if entry.is_file() or not _is_video(entry.name):
        return None
    return "is a symbolic link that leads nowhere" if entry.is_symlink() else "is not a regular file"


def _list(root: Uri, walls: tuple[str, ...]) -> Iterator[tuple[str, str | None]]:
    for path in objects.list_objects(root.object_path, str(root)):
        name = path[len(root.object_path) + 1 :]
        if any(part.startswith(".") for part in name.split("/")) or any(name.startswith(wall + "/") for wall in walls):
            continue
        yield name, None
