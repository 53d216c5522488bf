"""What a reviewer can do, without a browser: look, approve, object, draw a region, have it rendered. Every decision is durable when it is answered.

A pass is said of a whole output, and only once each of its uncertain places was approved, or by asking for just that. A drawn region is a
correction for the job and a fail at once; while it waits to be rendered, its video cannot pass.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from faceanon.archive.store import LocalStore, S3Store
from faceanon.core.errors import FaceanonError, StoreError, StoreUnavailable
from faceanon.core.ids import digest
from faceanon.core.records import Correction
from faceanon.ledger import corrections
from faceanon.ledger.commit import now
from faceanon.ledger.events import append_rows
from faceanon.report.review_frames import WINDOW, Frames
from faceanon.report.review_places import Video, boxes, videos

NOTE_LETTERS = 500
_NOTES = 20  # the newest that a page is told


class Refused(Exception):
    """A wish that cannot be granted. status: as in HTTP."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass
class Rendering:
    """How far a job in the background has come. A Progress, as the driver tells it. state: idle, running, done or failed."""

    state: str = "idle"
    step: str = ""
    done: int = 0
    total: int = 0
    notes: list[str] = field(default_factory=list)

    def phase(self, name: str, total: int) -> None:
        self.step, self.done, self.total = name, 0, total

    def advance(self, row: dict[str, Any]) -> None:
        self.done += 1

    def note(self, text: str) -> None:
        self.notes = [*self.notes, text][-_NOTES:]


Render = Callable[[Rendering], list[str]]  # renders what waits, names where something went wrong


class Desk:
    """render: None where this process has no keys. waiting: names with corrections that their output lacks. command: what renders them without this page."""

    def __init__(
        self, out: LocalStore | S3Store, frames: Frames, reviewer: str, limit: int, *, waiting: Callable[[], Sequence[str]], command: str, render: Render | None
    ) -> None:
        self._out, self._frames, self._reviewer, self._limit = out, frames, reviewer, limit
        self._ask_waiting, self._command, self._render = waiting, command, render
        self._lock = threading.RLock()
        self._seen: dict[str, set[int]] = {}  # output id -> tracks of approved places
        self._said: dict[str, str] = {}  # output id -> the newest decision of this page
        self._drawn: dict[str, list[dict[str, Any]]] = {}
        self.rendering = Rendering()
        self.thread: threading.Thread | None = None
        self.reload()

    def reload(self) -> None:
        found = {video.record: video for video in videos(self._out, self._limit)}
        waiting = list(self._ask_waiting())
        with self._lock:
            self._videos, self._waiting = found, waiting
            self._drawn = {video.video_id: self._corrections(video) for video in found.values() if video.name in waiting}

    def state(self) -> dict[str, Any]:
        with self._lock:
            own = {"out": self._out.root, "reviewer": self._reviewer, "can_render": self._render is not None, "command": self._command}
            return {**own, "waiting": self._waiting, "job": asdict(self.rendering)}

    def places(self) -> list[dict[str, Any]]:
        with self._lock:
            return [self._shown(video) for video in self._videos.values()]

    def jpeg(self, record: str, frame: int) -> bytes:
        video = self._video(record)
        if not 0 <= frame < video.frames:
            raise Refused(404, "there is no such frame")
        try:
            return self._frames.jpeg(video.object, frame)
        except (FaceanonError, OSError, IndexError) as error:
            raise Refused(410, f"the output cannot be read: {error}") from error

    def boxes(self, record: str, window: int) -> dict[int, list[list[int]]]:
        """Of one window of frames."""
        self._video(record)
        return boxes(self._out.root, record, window * WINDOW, (window + 1) * WINDOW)

    def approve(self, record: str, track: int) -> dict[str, Any]:
        """One place is well. With the last one of its video the output passes, unless somebody at this page objected."""
        video = self._video(record)
        with self._lock:
            if track not in {place.track for place in video.places}:
                raise Refused(404, "there is no such place")
            seen = self._seen.setdefault(video.output_id, set())
            seen.add(track)
            if len(seen) == len(video.places) and video.output_id not in self._said and video.name not in self._waiting:
                self._decide(video, "pass", f"looked at each of its {len(seen)} uncertain places")
            return self._shown(video)

    def decide(self, record: str, decision: str, reason: str) -> dict[str, Any]:
        video = self._video(record)
        with self._lock:
            if decision not in ("pass", "fail"):
                raise Refused(400, "a decision is pass or fail")
            if decision == "fail" and not reason:
                raise Refused(400, "say why")
            if decision == "pass" and video.name in self._waiting:
                raise Refused(409, "a region that was drawn waits to be rendered; then it can pass")
            seen = len(self._seen.get(video.output_id, ()))
            self._decide(video, decision, reason or f"looked at {seen} of its {len(video.places)} uncertain places")
            return self._shown(video)

    def correct(self, record: str, first: int, stop: int, box: Sequence[int], note: str) -> dict[str, Any]:
        """A region that hides what is still to be seen, in frames first <= frame < stop. Cut to the video and its picture."""
        video = self._video(record)
        x0, y0, x1, y1 = box
        try:
            cut = (max(0, x0), max(0, y0), min(video.width, x1), min(video.height, y1))
            correction = Correction(video.video_id, max(0, first), min(stop, video.frames), cut)
        except ValueError as error:
            raise Refused(400, "a region needs at least one px and one frame of the video") from error
        with self._lock:
            corrections.add(self._out, correction, name=video.name, reviewer=self._reviewer, note=note)
            where = f"a face is visible in frames {correction.first_frame} to {correction.stop_frame - 1}"
            self._decide(video, "fail", f"{where}{': ' if note else ''}{note}; correction {correction.correction_id}")
            self._drawn.setdefault(video.video_id, []).append(_region(correction))
            self._waiting = sorted({*self._waiting, video.name})
            return self._shown(video)

    def render(self) -> None:
        """In a thread of its own; `rendering` tells how far it is."""
        with self._lock:
            if self._render is None:
                raise Refused(409, f"this page has no keys; {self._command} renders what waits")
            if self.rendering.state == "running":
                raise Refused(409, "it is being rendered")
            if not self._waiting:
                raise Refused(409, "nothing waits to be rendered")
            self.rendering = Rendering(state="running")
            self.thread = threading.Thread(target=self._work, args=(self._render, self.rendering), name="render", daemon=True)
        self.thread.start()

    def _work(self, render: Render, rendering: Rendering) -> None:
        try:
            problems = render(rendering)
            self.reload()
        except Exception as error:  # whatever it is, the page says so and stays
            problems = [f"{type(error).__name__}: {error}"]
        for problem in problems:
            rendering.note(problem)
        rendering.state = "failed" if problems else "done"

    def _video(self, record: str) -> Video:
        with self._lock:
            if record not in self._videos:
                raise Refused(404, "there is no such video among those to be reviewed; reload the page")
            return self._videos[record]

    def _decide(self, video: Video, decision: str, reason: str) -> None:
        moment = now()
        verdict = digest("review", video.output_id, self._reviewer, decision, reason, moment.isoformat())[:32]
        row = {
            "verdict_id": verdict, "video_id": video.video_id, "output_id": video.output_id, "name": video.name, "decision": decision, "reason": reason,
            "reviewer": self._reviewer, "at": moment,
        }  # fmt: skip
        append_rows(self._out, "verdicts", [row], key=verdict)
        self._said[video.output_id] = decision

    def _corrections(self, video: Video) -> list[dict[str, Any]]:
        """To be shown; where one was altered none are, and the job says so."""
        try:
            return [_region(correction) for correction in corrections.corrections_of(self._out, video.video_id)]
        except StoreUnavailable:
            raise
        except StoreError:
            return []

    def _shown(self, video: Video) -> dict[str, Any]:
        own = {word: value for word, value in asdict(video).items() if word not in ("object", "video_id")}
        seen, said = self._seen.get(video.output_id, set()), self._said.get(video.output_id, "")
        return {**own, "seen": sorted(seen), "said": said, "waits": video.name in self._waiting, "drawn": self._drawn.get(video.video_id, [])}


def _region(correction: Correction) -> dict[str, Any]:
    return {"first": correction.first_frame, "stop": correction.stop_frame, "box": list(correction.box)}
