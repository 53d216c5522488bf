"""What a person sees while a job runs: bars with rates and ETA on a terminal, one quiet line a phase elsewhere; all on stderr."""

from __future__ import annotations

import sys
import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Quiet:
    """Says nothing; what must be known is said again at the end."""

    def phase(self, name: str, total: int) -> None:
        pass

    def advance(self, row: dict[str, Any]) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def close(self) -> None:
        pass


class Lines(Quiet):
    """One line when a phase is over."""

    def __init__(self) -> None:
        self._name, self._total, self._done, self._frames, self._since = "", 0, 0, 0, time.monotonic()

    def phase(self, name: str, total: int) -> None:
        self.close()
        self._name, self._total, self._done, self._frames, self._since = name, total, 0, 0, time.monotonic()

    def advance(self, row: dict[str, Any]) -> None:
        self._done += 1
        self._frames += row.get("frames", 0)

    def close(self) -> None:
        if self._name and self._total:
            took = time.monotonic() - self._since
            rate = f", {self._frames / took:.0f} frames/s" if self._frames and took > 0 else ""
            print(f"{self._name:<8} {self._done}/{self._total} in {took:.1f} s{rate}", file=sys.stderr, flush=True)
        self._name = ""


class Bars(Quiet):
    """A bar a phase."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description:<8}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeElapsedColumn(), TimeRemainingColumn(),
            console=self._console,
        )  # fmt: skip
        self._bars.start()
        self._task, self._frames, self._since = None, 0, 0.0

    def phase(self, name: str, total: int) -> None:
        self._frames, self._since = 0, time.monotonic()
        self._task = self._bars.add_task(name, total=total, rate="") if total else None

    def advance(self, row: dict[str, Any]) -> None:
        if self._task is None:
            return
        self._frames += row.get("frames", 0)
        took = time.monotonic() - self._since
        rate = f"{self._frames / took:.0f} frames/s" if self._frames and took > 0 else ""
        self._bars.update(self._task, advance=1, rate=rate)

    def note(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        self._bars.stop()


def make_progress(quiet: bool) -> Quiet:
    if quiet:
        return Quiet()
    return Bars() if sys.stderr.isatty() else Lines()
