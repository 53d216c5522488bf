"""`faceanon demo`: a sample archive of synthetic people, the job on it, and a picture of before and after."""

from __future__ import annotations

import argparse
from pathlib import Path

from faceanon.commands.samples import finished
from faceanon.commands.sheet import before_after
from faceanon.core.settings import ModelSettings
from faceanon.samples.archive import build_sample_archive

VIDEOS = {".mp4", ".mkv", ".mov", ".webm"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", type=Path, default=Path("demo"), metavar="DIR", help="folder for everything that the demo makes (demo)")
    parser.add_argument("--local", action="store_true", help="without Ray")
    parser.add_argument("--size", choices=("tiny", "demo"), default="demo")


def run(arguments: argparse.Namespace) -> int:
    from faceanon.cli import main  # the demo types what a user would type

    home = arguments.output.resolve()
    archive, out = home / "archive", home / "out"
    print("1. a sample archive of synthetic people (minutes the first time)", flush=True)
    build_sample_archive(archive, size=arguments.size, models=ModelSettings(), on_progress=finished)
    command = ["anonymize", str(archive), "--output", str(out), "--scope", "collection", "--key-file", str(home / "keystore.json")]
    command += ["--local"] if arguments.local else []
    print(f"2. faceanon {' '.join(command)}", flush=True)
    code = main(command)
    if code:
        return code
    pairs = [(p, out / "videos" / p.relative_to(archive)) for p in sorted(archive.rglob("*")) if p.suffix in VIDEOS]
    sheet = before_after(pairs, home / "before-after.png")
    print(f"3. look: {sheet} (each source above its output), {out}/videos, and")
    print(f'   faceanon query {out} "SELECT name, state, frames FROM videos ORDER BY name"')
    return main(["query", str(out), "SELECT name, state, frames FROM videos ORDER BY name"])
