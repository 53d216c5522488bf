"""The sample archive on disk: clips in collections, `truth.parquet` and `cuts.parquet` beside them.

truth: clip, frame, person, x1, y1, x2, y2 (px, upright, inside the picture), visible (share of the face that is seen), yaw (degrees).
cuts: clip, frame (the first of a new shot), kind ("hard", "fade", "dissolve").
The same bytes every time on one machine class. A clip that is already there, whole and made by this script, is left alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from faceanon.core.errors import UsageError
from faceanon.core.ids import digest
from faceanon.core.picture import Image
from faceanon.core.settings import ModelSettings
from faceanon.media.clips import write_clip
from faceanon.models import registry
from faceanon.samples.actors import Actor
from faceanon.samples.cast import Cast, code_digest
from faceanon.samples.film import Sighting, cuts, film, sound
from faceanon.samples.script import Clip, clips

SIZES = ("demo", "tiny", "long")
Progress = Callable[[str, int, int], None]  # clip, frames done, frames in all

_TRUTH = pa.schema([("clip", pa.string()), ("frame", pa.int32()), ("person", pa.string()), *((n, pa.float32()) for n in ("x1", "y1", "x2", "y2", "visible", "yaw"))])
_CUTS = pa.schema([("clip", pa.string()), ("frame", pa.int32()), ("kind", pa.string())])


def build_sample_archive(out: Path, *, size: str = "demo", models: ModelSettings = ModelSettings(), on_progress: Progress | None = None) -> Path:  # noqa: B008 (frozen)
    """Make the archive of `size` under `out` and return `out`. Raises UsageError for an unknown size, LicenceRefused, WeightsUnavailable."""
    if size not in SIZES:
        raise UsageError(f"no such sample archive: {size!r}; there are {', '.join(SIZES)}")
    registry.require("mobilestylegan_synthesis_bin", models.licences)
    out.mkdir(parents=True, exist_ok=True)
    record, truth = _record(out), _rows(out / "truth.parquet")
    cast = Cast(models)
    wanted = clips(size)
    for clip in wanted:
        if _is_there(out, clip, record, truth):
            continue
        truth[clip.name] = _make(out, clip, cast, on_progress or (lambda name, done, total: None))
        record[clip.name] = {"digest": _digest(clip), "sha256": sha256((out / clip.name).read_bytes()).hexdigest()}
        _write(out, [c for c in wanted if c.name in truth], record, truth)
    _write(out, wanted, record, truth)
    return out


def _digest(clip: Clip) -> str:
    """What a clip is made of: its script, this package's code, the generator."""
    return digest("sample clip", repr(clip), code_digest(), registry.weight("mobilestylegan_synthesis_bin").sha256)


def _record(out: Path) -> dict[str, dict[str, str]]:
    path = out / "samples.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _rows(path: Path) -> dict[str, list[dict]]:
    """Rows of an earlier truth by clip."""
    found: dict[str, list[dict]] = {}
    for row in pq.read_table(path).to_pylist() if path.exists() else []:
        found.setdefault(row["clip"], []).append(row)
    return found


def _is_there(out: Path, clip: Clip, record: dict[str, dict[str, str]], truth: dict[str, list[dict]]) -> bool:
    entry, path = record.get(clip.name, {}), out / clip.name
    whole = entry.get("digest") == _digest(clip) and path.exists() and sha256(path.read_bytes()).hexdigest() == entry.get("sha256")
    if whole:
        truth.setdefault(clip.name, [])  # a clip without faces has no rows
    return whole and (bool(truth[clip.name]) or not any(shot.parts for shot in clip.shots))


def _make(out: Path, clip: Clip, cast: Cast, on_progress: Progress) -> list[dict]:
    """Write one clip; returns its rows of the truth."""
    actors = {part.actor: cast.actor(part.actor, turns=_turns(clip, part.actor)) for shot in clip.shots for part in shot.parts}
    seen: list[Sighting] = []
    path = out / clip.name
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.stem}.part{path.suffix}")
    pictures = _coded(clip, actors, seen, on_progress)
    write_clip(
        aside, pictures, rate=clip.rate, codec=clip.codec, gop=clip.gop, audio=sound(clip), rotation=clip.rotation, metadata=dict(clip.metadata), subtitles=clip.subtitles
    )
    aside.replace(path)
    return [dict(zip(_TRUTH.names, (clip.name, s.frame, s.person, *s.box, s.visible, s.yaw), strict=True)) for s in seen]


def _turns(clip: Clip, name: str) -> bool:
    """Whether somebody turns so far in a clip that pictures from the side are needed."""
    return any(abs(key[4]) > 25 for shot in clip.shots for part in shot.parts if part.actor == name for key in part.keys)


def _coded(clip: Clip, actors: dict[str, Actor], seen: list[Sighting], on_progress: Progress) -> Iterator[Image]:
    """Pictures as they are coded: turned back by the clip's rotation."""
    turns = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}
    for n, (picture, sightings) in enumerate(film(clip, actors)):
        seen += sightings
        on_progress(clip.name, n + 1, clip.frames)
        yield np.ascontiguousarray(cv2.rotate(picture, turns[clip.rotation]) if clip.rotation else picture)


def _write(out: Path, made: list[Clip] | tuple[Clip, ...], record: dict[str, dict[str, str]], truth: dict[str, list[dict]]) -> None:
    """Truth, cuts and record of the clips made so far, each file replaced as a whole."""
    rows = [row for clip in made for row in truth[clip.name]]
    changes = [{"clip": clip.name, "frame": frame, "kind": kind} for clip in made for frame, kind in cuts(clip)]
    for name, schema, part in (("truth.parquet", _TRUTH, rows), ("cuts.parquet", _CUTS, changes)):
        aside = out / f".{name}.part"
        pq.write_table(pa.Table.from_pylist(part, schema=schema), aside)
        aside.replace(out / name)
    aside = out / ".samples.json.part"
    aside.write_text(json.dumps({clip.name: record[clip.name] for clip in made}, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    aside.replace(out / "samples.json")
