"""One segment's share of its video's analysis, in one streaming pass.

The video is cut in windows of WINDOW frames, aligned to its first frame. A segment that owns window w (whose first frame lies in it)
answers for window w + 1, and for window 0 where it owns that: so what it answers for always has a whole window before it and one after
it among the frames that the segment reads, wherever it starts. Every answer is a function of those three windows and one frame:
joined analyses are the same for any segmentation.

Memory: pictures are kept for one interval of the detector's schedule only, afterwards small grey copies of 49 frames and one crop a face.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from faceanon.analyze.detect import SUDDEN, Look, Watcher, span, unmatched
from faceanon.analyze.follow import Greys, follow
from faceanon.analyze.gradual import gradual_changes, thumbnail
from faceanon.analyze.samples import BestViews, Crop, Sample, crop, mesh_fit, quality
from faceanon.analyze.shots import SCORE_WIDTH_PX, ShotNet, ShotScorer
from faceanon.analyze.views import ViewKeeper
from faceanon.analyze.windows import WINDOW, windows_of
from faceanon.core.geometry import Boxes
from faceanon.core.picture import Picture
from faceanon.core.ports import FaceAttributes, FaceDetector, FaceEmbedder, FaceMesh
from faceanon.core.records import Detections, FaceSamples, Origin, Segment, SegmentAnalysis
from faceanon.core.settings import Settings

LOOKAHEAD = 48  # frames past its end that a segment reads
SAMPLE_WINDOWS = 12  # a face that stays is embedded in every twelfth window, a new one in the window where it comes; embedding is dear
MESH_FITS = 0.5  # mesh score from which an unsure box is believed
_LARGEST_PX = 4096  # wider pictures are halved first: memory, and no face needs more


@dataclass(frozen=True)
class _Seen:
    """A look without its picture."""

    frame: int
    far: bool
    box: Boxes
    points: NDArray[np.float32]
    score: NDArray[np.float32]
    mesh_score: NDArray[np.float32]  # NaN where not asked
    views: tuple[Crop | None, ...]  # None where nothing is to be read


@dataclass
class _Row:
    """One row of Detections in the making."""

    frame: int
    box: NDArray[np.float32]
    points: NDArray[np.float32]
    score: float
    origin: Origin
    mesh_score: float


def analyze_segment(
    pictures: Iterator[Picture],
    segment: Segment,
    *,
    detector: FaceDetector,
    mesh: FaceMesh | None,
    embedder: FaceEmbedder | None,
    reader: FaceAttributes | None,
    settings: Settings,
    shot_net: ShotNet | None = None,
    keeper: ViewKeeper | None = None,
) -> SegmentAnalysis:
    """`pictures` are the frames from segment.first_frame to segment.stop_frame + LOOKAHEAD, or to the end of the video, in order. keeper: keeps some views."""
    run = _Run(segment, detector, mesh, embedder, reader, settings, shot_net, keeper)
    for picture in pictures:
        if picture.index >= run.stop_reading:
            break
        run.feed(picture)
    return run.finish()


class _Run:
    def __init__(
        self,
        segment: Segment,
        detector: FaceDetector,
        mesh: FaceMesh | None,
        embedder: FaceEmbedder | None,
        reader: FaceAttributes | None,
        settings: Settings,
        shot_net: ShotNet | None,
        keeper: ViewKeeper | None,
    ) -> None:
        self._segment, self._detector, self._mesh, self._embedder, self._reader, self._settings = segment, detector, mesh, embedder, reader, settings
        self._keeper = keeper
        self._windows = windows_of(segment)
        self._first_look = max(0, self._windows.start * WINDOW - span(settings.detect))
        self._context_start = max(0, (self._windows.start - 1) * WINDOW)
        self.stop_reading = self._windows.stop * WINDOW + WINDOW + 1 if self._windows else segment.stop_frame
        self._scorer = ShotScorer(settings.shots, shot_net)
        self._shot_net = shot_net if settings.shots.detector == "transnet" else None
        self._thumbnails: dict[int, NDArray[np.uint8]] = {}
        self._gradual: list[tuple[int, float]] = []
        self._watcher: Watcher | None = None
        self._content: dict[int, float] = {}
        self._greys = Greys()
        self._seen: list[_Seen] = []
        self._next_window = self._windows.start
        self._last_index = -1
        self._rows: list[_Row] = []
        self._samples: list[Sample] = []
        self._cuts: list[tuple[int, float]] = []
        self._num_decoded = 0
        self._num_detected = 0

    # -- taking pictures in

    def feed(self, picture: Picture) -> None:
        self._num_decoded += self._segment.first_frame <= picture.index < self._segment.stop_frame
        if not self._windows or picture.index < self._context_start:
            return
        self._last_index = picture.index
        small = picture.bgr(SCORE_WIDTH_PX)  # all that is needed of each frame: colours of a small picture, and luma, made smaller only where a face is followed
        self._cuts += self._scorer.feed_image(picture.index, small)
        self._content[picture.index] = self._scorer.last_content
        self._greys.add(picture)
        if self._shot_net is not None:
            self._thumbnails[picture.index] = thumbnail(small)
        if picture.index >= self._first_look and picture.index <= self._windows.stop * WINDOW:
            self._watch(picture)
        if picture.index == self._window_closes(self._next_window):
            self._close_window()

    def _watch(self, picture: Picture) -> None:
        small = _halved(picture)
        if self._watcher is None:
            self._watcher = Watcher(self._detector, self._settings.detect, small.width, small.height)
        self._scale = scale = picture.width / small.width
        self._seen += [self._keep(look, scale) for look in self._watcher.feed(small, self._scorer.last_content)]
        if picture.index == self._windows.stop * WINDOW:  # the look beyond the last window is a fixed one, so nothing more is needed for it
            self._seen += [self._keep(look, scale) for look in self._watcher.finish()]

    def finish(self) -> SegmentAnalysis:
        if self._watcher is not None:
            # At the end of the video; at the end of the frames that this segment reads, only frames that belong to others are left.
            self._seen += [self._keep(look, self._scale) for look in self._watcher.finish()]
        self._cuts += self._scorer.finish()
        while self._next_window in self._windows and self._next_window * WINDOW <= self._last_index:
            self._close_window()
        return self._result()

    def _keep(self, look: Look, scale: float) -> _Seen:
        self._num_detected += self._segment.first_frame <= look.frame < self._segment.stop_frame
        mesh_score = np.full(len(look.box), np.nan, np.float32)
        views: list[Crop | None] = [None] * len(look.box)
        if look.frame // WINDOW in self._windows:
            for i in range(len(look.box)):
                views[i], mesh_score[i] = self._inspect(look, i, scale)
        return _Seen(look.frame, look.far, (look.box * scale).astype(np.float32), (look.points * scale).astype(np.float32), look.score, mesh_score, tuple(views))

    def _inspect(self, look: Look, i: int, scale: float) -> tuple[Crop | None, float]:
        """The view to be embedded, if the face is wide enough, and the mesh's opinion, if the detector was unsure."""
        unsure = look.score[i] < self._settings.detect.sure and self._mesh is not None
        readable = self._embedder is not None and (look.box[i, 2] - look.box[i, 0]) * scale >= self._settings.identity.min_face_px
        view = crop(look.picture, look.box[i], look.points[i]) if unsure or readable else None
        score = mesh_fit(self._mesh, view) if unsure and view is not None else float("nan")
        readable = readable and (not unsure or score >= MESH_FITS)
        return (view if readable else None), score

    # -- closing a window

    def _window_closes(self, window: int) -> int:
        """The last frame that answers about a window may look at."""
        return (window + 2) * WINDOW

    def _close_window(self) -> None:
        window = self._next_window
        frames = range(window * WINDOW, (window + 1) * WINDOW)
        inside = [i for i, seen in enumerate(self._seen) if seen.frame in frames]
        breaks = {f for f, content in self._content.items() if content >= SUDDEN}
        views = BestViews()
        for i in inside:
            self._add_views(views, i, self._add_detections(self._seen[i]), breaks)
            if self._keeper is not None:
                self._keeper.add(self._seen[i].frame, self._seen[i].box, self._seen[i].views, frames)
        for i in inside:
            self._follow_lost(i, frames, breaks)
        self._add_samples(views.read(self._embedder, self._reader, self._mesh, only_new=window % SAMPLE_WINDOWS != 0))
        if self._shot_net is not None:
            self._gradual += gradual_changes(self._shot_net, self._thumbnails, frames, [frame for frame, _ in self._cuts])
        self._next_window += 1
        self._forget((self._next_window - 1) * WINDOW)

    def _forget(self, before: int) -> None:
        """What the next window cannot look at."""
        self._greys.forget(before)
        self._content = {f: value for f, value in self._content.items() if f >= before}
        self._thumbnails = {f: image for f, image in self._thumbnails.items() if f >= before}
        self._seen = [seen for seen in self._seen if seen.frame >= before]

    def _add_detections(self, seen: _Seen) -> range:
        start = len(self._rows)
        for i in range(len(seen.box)):
            self._rows.append(_Row(seen.frame, seen.box[i], seen.points[i], float(seen.score[i]), Origin.DETECTED, float(seen.mesh_score[i])))
        return range(start, len(self._rows))

    def _add_views(self, views: BestViews, at: int, rows: range, breaks: set[int]) -> None:
        seen = self._seen[at]
        views.break_at(max((f for f in breaks if f <= seen.frame), default=0))
        after_break = at and any(self._seen[at - 1].frame < f <= seen.frame for f in breaks)  # whoever stands in the same place then is somebody else
        is_new = self._is_lost(at, -1) if at and not after_break else np.ones(len(seen.box), bool)
        for i, row in enumerate(rows):
            view = seen.views[i]
            if view is not None:
                views.add(seen.frame, row, seen.box[i], view, quality(view, float(seen.box[i, 2] - seen.box[i, 0]), float(seen.score[i])), bool(is_new[i]))

    def _add_samples(self, samples: list[Sample]) -> None:
        self._samples += samples
        for sample in samples:
            self._rows[sample.row].mesh_score = sample.mesh_score

    def _is_lost(self, at: int, step: int) -> NDArray[np.bool_]:
        """Which faces of a look have no partner in the look before (-1) or after (1); none at the ends of the video."""
        seen = self._seen[at]
        near, far = (self._neighbour(at, step, wants_far) for wants_far in (False, True))
        lost = [np.zeros(len(seen.box), bool) if other is None else unmatched(seen.box, other.box) for other in (near, far)]
        return np.where(self._watcher.is_small(seen.box / self._scale), lost[1], lost[0])

    def _follow_lost(self, at: int, frames: range, breaks: set[int]) -> None:
        """Faces that the look before or after does not show are followed there, into the neighbouring windows."""
        seen = self._seen[at]
        limits = {-1: frames.start - WINDOW - 1, 1: self._window_closes(frames.start // WINDOW) + 1}
        believed = (seen.score >= self._settings.detect.sure) | (np.nan_to_num(seen.mesh_score) >= MESH_FITS)
        known = {s.frame: s.box * self._greys.scale for s in self._seen if s.frame in frames}
        for step in (-1, 1):
            for i in np.flatnonzero(believed & self._is_lost(at, step)):
                self._follow(seen, i, range(seen.frame, limits[step], step), breaks, known)

    def _neighbour(self, at: int, step: int, wants_far: bool) -> _Seen | None:
        """The look before or after; None at the ends of the video."""
        while 0 <= at + step < len(self._seen):
            at += step
            if self._seen[at].far or not wants_far:
                return self._seen[at]
        return None

    def _follow(self, seen: _Seen, i: int, frames: range, breaks: set[int], known: dict[int, Boxes]) -> None:
        box = seen.box[i] * np.float32(self._greys.scale)
        for frame, found, likeness in follow(self._greys, box, frames, breaks, known):
            moved = (found / self._greys.scale).astype(np.float32)
            shift = moved[:2] - seen.box[i, :2]
            self._rows.append(_Row(frame, moved, seen.points[i] + shift, float(seen.score[i]) * likeness, Origin.FOLLOWED, float("nan")))

    # -- the result

    def _result(self) -> SegmentAnalysis:
        owned = sorted([(frame, score) for frame, score in self._cuts if frame // WINDOW in self._windows] + self._gradual)
        detections, new_row = _sorted_detections(self._rows)
        return SegmentAnalysis(
            video_id=self._segment.video_id,
            segment_no=self._segment.segment_no,
            detections=detections,
            samples=_face_samples(self._samples, new_row, self._embedder.dimensions if self._embedder else 128),
            cut_frame=np.array([frame for frame, _ in owned], np.int32),
            cut_score=np.array([score for _, score in owned], np.float32),
            num_frames_decoded=self._num_decoded,
            num_frames_detected=self._num_detected,
        )


def _halved(picture: Picture) -> Picture:
    """The picture, or a half, a quarter, ... of it that is at most _LARGEST_PX wide."""
    factor = 1
    while picture.width // factor > _LARGEST_PX:
        factor *= 2
    if factor == 1:
        return picture
    width, height = picture.width // factor, picture.height // factor
    sx, sy = picture.format.chroma or (1, 1)
    sizes = [(width, height)] + [(-(-width // sx), -(-height // sy))] * (len(picture.planes) - 1)
    planes = tuple(cv2.resize(np.ascontiguousarray(p), size, interpolation=cv2.INTER_AREA) for p, size in zip(picture.planes, sizes, strict=True))
    return Picture(picture.index, picture.pts, planes, picture.format)


def _sorted_detections(rows: list[_Row]) -> tuple[Detections, NDArray[np.int64]]:
    """The rows as columns, and where each went."""
    if not rows:
        return Detections.empty(), np.zeros(0, np.int64)
    columns = Detections(
        frame=np.array([r.frame for r in rows], np.int32),
        box=np.stack([r.box for r in rows]).astype(np.float32),
        points=np.stack([r.points for r in rows]).astype(np.float32),
        score=np.array([r.score for r in rows], np.float32),
        origin=np.array([r.origin for r in rows], np.uint8),
        mesh_score=np.array([r.mesh_score for r in rows], np.float32),
    )
    order = np.lexsort((columns.box[:, 1], columns.box[:, 0], columns.frame))
    return columns.take(order), np.argsort(order)


def _face_samples(samples: list[Sample], new_row: NDArray[np.int64], dimensions: int) -> FaceSamples:
    if not samples:
        return FaceSamples.empty(dimensions)
    rows = np.array([new_row[s.row] for s in samples], np.int32)
    order = np.argsort(rows, kind="stable")
    ordered = [samples[i] for i in order]
    return FaceSamples(
        row=rows[order],
        embedding=np.stack([s.embedding for s in ordered]).astype(np.float32),
        quality=np.array([s.quality for s in ordered], np.float32),
        female=np.array([s.female for s in ordered], np.float32),
        age=np.array([s.age for s in ordered], np.float32),
        skin=np.array([s.skin for s in ordered], np.float32).reshape(-1, 3),
    )
