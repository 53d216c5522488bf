"""`faceanon compare VIDEO|IMAGE --engines A,B --output FILE`: what several engines make of one source, side by side, labelled and in step.

Each engine runs as the job would, into a private OUT that goes away afterwards, with the same keys. A film keeps the source's times, frame by
frame, and its sound; a picture as FILE is a contact sheet, a column an engine and a row a moment. An image is a video of one frame.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from faceanon.commands import panels
from faceanon.commands.engine_runs import ENGINES, anonymized, label_of, with_engine
from faceanon.core.errors import SettingsError, SourceUnreadable, UsageError
from faceanon.core.picture import Image
from faceanon.core.records import VideoFacts
from faceanon.core.settings import Settings, load
from faceanon.flow.job import open_keystore
from faceanon.media.clips import write_clip
from faceanon.media.guarded import add_sound, probe, read_pictures

ORIGINAL = "original"
IMAGES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
SHEETS = frozenset({".png", ".jpg", ".jpeg"})
FILMS = frozenset({".mp4", ".mov", ".mkv"})
_GOP = 48


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, metavar="VIDEO|IMAGE")
    parser.add_argument(
        "--engines",
        default=f"{ORIGINAL},cleanir,deepprivacy,swap",
        help=f"names separated by commas: {ORIGINAL}, {', '.join(ENGINES)}; a variant after a colon, weights after =",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="a film (.mp4, .mov, .mkv) or a contact sheet (.png, .jpg)")
    parser.add_argument("--format", choices=("film", "png"), help="what is made (as FILE is called)")
    parser.add_argument("--key-file", type=Path, help="keystore; made once if absent (FACEANON_KEY, or ~/.config/faceanon/keystore.json)")
    parser.add_argument("--settings", type=Path, metavar="FILE.toml")
    parser.add_argument("--width", type=int, default=1920, help="most px across, of a film (1920)")
    parser.add_argument("--columns", type=int, help="panels side by side in a film (as many as fit a screen)")
    parser.add_argument("--moments", type=int, default=6, help="rows of a contact sheet (6)")


def run(arguments: argparse.Namespace) -> int:
    base = load(arguments.settings) if arguments.settings else Settings()
    engines = list(dict.fromkeys(word.strip() for word in arguments.engines.split(",") if word.strip()))
    if not engines:
        raise UsageError("name an engine")
    settings = {word: with_engine(base, word) for word in engines if word != ORIGINAL}
    makes_film = _makes_film(arguments)
    keystore = open_keystore(str(arguments.key_file.absolute()) if arguments.key_file else "", create=True)
    with tempfile.TemporaryDirectory(prefix="faceanon-compare-", dir=base.run.scratch_dir or None) as scratch:
        source = as_video(arguments.source, Path(scratch))
        shown = {word: source if word == ORIGINAL else anonymized(source, Path(scratch) / f"{number}", settings[word], keystore) for number, word in enumerate(engines)}
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        if makes_film:
            refused = film(source, shown, arguments.output, Path(scratch), arguments.width, arguments.columns, base)
            for codec in refused:
                print(f"sound in {codec} has no place in {arguments.output.suffix}: a film without it", file=sys.stderr)
        else:
            write_image(arguments.output, sheet(shown, arguments.moments, arguments.width, base))
    print(arguments.output)
    return 0


def _makes_film(arguments: argparse.Namespace) -> bool:
    suffix = arguments.output.suffix.lower()
    wanted = arguments.format or ("png" if suffix in SHEETS else "film")
    endings, what = (FILMS, "a film") if wanted == "film" else (SHEETS, "a contact sheet")
    if suffix not in endings:
        raise SettingsError(f"{what} ends in {', '.join(sorted(endings))}", source=str(arguments.output))
    return wanted == "film"


def as_video(path: Path, folder: Path) -> Path:
    """An image becomes a clip of one frame, without loss but for its colours' coding; anything else stays."""
    if path.suffix.lower() not in IMAGES:
        return path
    return write_clip(folder / f"{path.stem}.mkv", [read_image(path)], codec="ffv1", pix_fmt="yuv444p")


def read_image(path: Path) -> Image:
    """(H, W, 3) uint8 BGR, upright. Raises SourceUnreadable."""
    try:
        image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    except (OSError, cv2.error) as error:
        raise SourceUnreadable("does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read: {error}", source=str(path)) from error
    if image is None:
        raise SourceUnreadable("is no picture that can be read", source=str(path))
    return np.asarray(image, np.uint8)


def write_image(path: Path, image: Image) -> None:
    if not cv2.imwrite(str(path), image):
        raise OSError(f"cannot write {path}")


def film(source: Path, shown: dict[str, Path], out: Path, scratch: Path, width: int, columns: int | None, settings: Settings) -> list[str]:
    """Writes `out`; the codecs of sounds that had to be left out."""
    facts, index = probe(source, settings.plan)
    columns = columns or panels.columns_for(len(shown), *_shape(facts))
    size = _panel(facts, max(2, width // columns - panels.GAP_PX))
    pts = index.pts if index.trustworthy else np.array([picture.pts for picture in read_pictures(source, facts, None, writable=False)])
    images = (panels.grid(row, columns, even=True) for row in _in_step(shown, size, settings))
    silent = scratch / f"silent{out.suffix.lower()}"
    write_clip(silent, images, rate=facts.average_rate or Fraction(25), pts=(pts - pts[0]).tolist(), time_base=facts.time_base, gop=_GOP)
    return add_sound(source, silent, out, float(pts[0] * facts.time_base))


def sheet(shown: dict[str, Path], moments: int, width: int, settings: Settings) -> Image:
    """A column an engine, a row a moment; evenly spaced from the first frame to the last."""
    facts, _ = probe(next(iter(shown.values())), settings.plan)
    count = facts.num_frames_from_content
    wanted = {round(number) for number in np.linspace(0, count - 1, min(max(1, moments), count))}
    size = _panel(facts, max(2, width // len(shown) - panels.GAP_PX))
    rows = [row for number, row in enumerate(_in_step(shown, size, settings)) if number in wanted]
    return panels.grid([tile for row in rows for tile in row], len(shown))


def _in_step(shown: dict[str, Path], size: tuple[int, int], settings: Settings) -> Iterator[list[Image]]:
    """For each frame of the source one labelled panel a video. They have the same frames, or reading ends by ValueError."""
    readers = [read_pictures(path, probe(path, settings.plan)[0], None, writable=False) for path in shown.values()]
    for pictures in zip(*readers, strict=True):
        yield [panels.labelled(panels.fitted(picture.bgr(2 * size[0]), *size), label_of(word)) for picture, word in zip(pictures, shown, strict=True)]


def _shape(facts: VideoFacts) -> tuple[int, int]:
    """(width, height) as a viewer sees it, with square px."""
    width, height = facts.upright_size
    return (width, round(height * facts.sar)) if facts.rotation in (90, 270) else (round(width * facts.sar), height)


def _panel(facts: VideoFacts, most_px: int) -> tuple[int, int]:
    width, height = _shape(facts)
    shrink = min(1.0, most_px / width)
    return max(2, round(width * shrink)), max(2, round(height * shrink))
