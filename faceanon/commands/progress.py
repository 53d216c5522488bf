"""What a person sees while a job runs: bars with rates and ETA on a terminal, one quiet line a phase elsewhere; all on stderr."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_WORTH_A_LINE_S = 2.0


@dataclass
class _Bar:
    """Parts, frames and seconds of all waves so far."""

    task: TaskID
    total: int = 0
    frames: int = 0
    took_s: float = 0.0


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
    """One line when a phase is over that had more than one part, or took its time."""

    def __init__(self) -> None:
        self._name, self._total, self._done, self._frames, self._since = "", 0, 0, 0, time.monotonic()

    def phase(self, name: str, total: int) -> None:
        self.close()
        self._name, self._total, self._done, self._frames, self._since = name, total, 0, 0, time.monotonic()

    def advance(self, row: dict[str, Any]) -> None:
        self._done += 1
        self._frames += row.get("frames", 0)

    def close(self) -> None:
        took = time.monotonic() - self._since
        if self._name and self._total and (self._total > 1 or took >= _WORTH_A_LINE_S):
            rate = f", {self._frames / took:.0f} frames/s" if self._frames and took > 0 else ""
            print(f"{self._name:<8} {self._done}/{self._total} in {took:.1f} s{rate}", file=sys.stderr, flush=True)
        self._name = ""


class Bars(Quiet):
    """A bar a phase, which grows with each wave of videos."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description:<8}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeElapsedColumn(), TimeRemainingColumn(),
            console=self._console,
        )  # fmt: skip
        self._bars.start()
        self._all: dict[str, _Bar] = {}
        self._bar: _Bar | None = None
        self._since = 0.0

    def phase(self, name: str, total: int) -> None:
        self._since, self._bar = time.monotonic(), None
        if total:
            if name not in self._all:
                self._all[name] = _Bar(self._bars.add_task(name, total=0, rate=""))
            self._bar = self._all[name]
            self._bar.total += total
            self._bars.update(self._bar.task, total=self._bar.total)

    def advance(self, row: dict[str, Any]) -> None:
        bar, now = self._bar, time.monotonic()
        if bar is None:
            return
        bar.frames += row.get("frames", 0)
        bar.took_s += now - self._since
        self._since = now
        rate = f"{bar.frames / bar.took_s:.0f} frames/s" if bar.frames and bar.took_s > 0 else ""
        self._bars.update(bar.task, advance=1, rate=rate)

    def note(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        self._bars.stop()


def make_progress(quiet: bool) -> Quiet:
    if quiet:
        return Quiet()
    return Bars() if sys.stderr.isatty() else Lines()
