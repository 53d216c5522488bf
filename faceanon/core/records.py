"""One frozen record per arrow of the flow, in flow order.

manifest -> SourceItem -> probe -> VideoFacts, PacketIndex -> Segment -> analyze -> SegmentAnalysis -> track -> Track
-> link -> Identity -> cover -> RegionTable -> redact -> StagedSegment -> verify -> Verdict, Verified -> commit -> Published | Quarantined

Boxes and points are float32 px of the upright picture (rotation applied, sample aspect ratio not). A frame number counts a
video's frames from 0 in order of display.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import IntEnum
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from faceanon.core.ids import correction_id
from faceanon.core.timeline import Span


def _check_columns(record: object, length: int, names: tuple[str, ...]) -> None:
    for name in names:
        column = getattr(record, name)
        if len(column) != length:
            raise ValueError(f"{type(record).__name__}: columns of unequal length: {name} has {len(column)}, expected {length}")


# ---------------------------------------------------------------------------------------------------------------- archive


@dataclass(frozen=True, slots=True)  # a million of them are held at once
class SourceItem:
    """One video that was asked for. `name` is its path under OUT/videos (posix, relative, no '..')."""

    uri: str
    name: str
    collection: str = ""
    tags: tuple[str, ...] = ()
    legal_basis: str = ""  # why it may be kept and worked on, as the manifest says
    ingested_at: str = ""  # when it came in, ISO 8601 in UTC, as the manifest says


@dataclass(frozen=True)
class SourceVersion:
    """Which bytes were read: size, the store's version word (etag, or mtime in ns on disk) and the digest of the content.

    fingerprint: of an object that is read in parts, what stands for its content until it is read whole, to be published; then sha256 is "".
    """

    uri: str
    size: int
    version: str
    sha256: str
    fingerprint: str = ""

    @property
    def content(self) -> str:
        """What ids are made of."""
        return self.fingerprint or self.sha256


# ------------------------------------------------------------------------------------------------------------------ media


@dataclass(frozen=True)
class StreamFacts:
    """One stream as its container declares it."""

    index: int
    kind: str  # "video", "audio", "subtitle", "data", "attachment"
    codec: str
    time_base: Fraction
    language: str = ""
    title: str = ""
    attached_picture: bool = False


@dataclass(frozen=True)
class ColourTags:
    """FFmpeg's numbers for range, matrix, primaries and transfer (2 = unspecified; range 0 = unspecified, 1 = limited, 2 = full)."""

    colour_range: int = 0
    matrix: int = 2
    primaries: int = 2
    transfer: int = 2


@dataclass(frozen=True)
class VideoFacts:
    """What a probe found. Fields named `_from_header` are claims; `_from_content` was counted over packets."""

    container: str  # "mp4", "mov", "matroska", "webm", "avi", "mpegts", "gif", ...
    codec: str  # "h264", "hevc", "vp8", "vp9", "av1", "mpeg4", "mjpeg", "gif", "mpeg2video", ...
    profile: str
    width: int  # coded px, before rotation
    height: int
    pix_fmt: str
    bit_depth: int
    rotation: int  # clockwise turn, in degrees, that shows the picture upright: 0, 90, 180 or 270
    sar: Fraction
    colour: ColourTags
    field_order: str  # "progressive" or FFmpeg's word
    time_base: Fraction
    average_rate: Fraction | None
    bit_rate: int | None
    stream_index: int  # of the video stream that is anonymized
    streams: tuple[StreamFacts, ...]
    num_frames_from_content: int
    num_frames_from_header: int
    first_pts: int
    stop_pts: int  # first pts after the last frame
    size_bytes: int

    @property
    def upright_size(self) -> tuple[int, int]:
        """(width, height) as shown."""
        return (self.height, self.width) if self.rotation in (90, 270) else (self.width, self.height)

    @property
    def duration_s(self) -> float:
        return float((self.stop_pts - self.first_pts) * self.time_base)


@dataclass(frozen=True)
class PacketIndex:
    """Where frames lie, in order of display. pts is strictly increasing. Packets that the container marks as not shown are left out.

    is_clean_start: a keyframe before which no later packet's frame is shown and which depends on nothing earlier, so that packets
    can be cut there. trustworthy: False where packets have no usable pts; then the video is one segment and frames are numbered as they decode.
    leading: frames shown before a keyframe that are decoded after it, at keyframes where packets can be cut; -1 at all other frames.
    can_stop: all that is decoded before some packet is shown before this frame, and nothing of the rest is.
    """

    pts: NDArray[np.int64]  # (F,)
    is_keyframe: NDArray[np.bool_]  # (F,)
    is_clean_start: NDArray[np.bool_]  # (F,)
    trustworthy: bool = True
    leading: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))  # (F,); (0,): not known
    can_stop: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))  # likewise

    def __post_init__(self) -> None:
        _check_columns(self, len(self.pts), ("is_keyframe", "is_clean_start"))


@dataclass(frozen=True)
class Cut:
    """A keyframe where packets can be cut: those from it on stand without those before, but for the frames that are shown before it.

    from_frame, from_pts: the first frame shown of all that are decoded from the keyframe on; the keyframe itself, unless the GOP is open.
    """

    frame: int
    pts: int
    from_frame: int
    from_pts: int


@dataclass(frozen=True)
class Segment:
    """A unit of work: the frames of `span`, which starts at a keyframe. Together a video's segments own each frame once."""

    video_id: str
    segment_no: int
    span: Span
    first_frame: int
    num_frames: int
    copyable: bool  # both ends are clean: its packets can stand beside re-encoded ones
    not_copyable_because: str = ""
    cuts: tuple[Cut, ...] = ()  # in order, its two ends among them where packets can be cut there
    stops: tuple[tuple[int, int], ...] = ()  # frame and pts, in order: of packets copied from a cut on, those shown before may end here; some of many

    @property
    def stop_frame(self) -> int:
        return self.first_frame + self.num_frames


@dataclass(frozen=True)
class Correction:
    """A face that a reviewer saw in an output: obscured in the frames first_frame <= frame < stop_frame from then on."""

    video_id: str
    first_frame: int
    stop_frame: int
    box: tuple[int, int, int, int]  # whole px of the upright picture, x0 y0 x1 y1

    def __post_init__(self) -> None:
        x0, y0, x1, y1 = self.box
        if not (0 <= self.first_frame < self.stop_frame and 0 <= x0 < x1 and 0 <= y0 < y1):
            raise ValueError(f"a correction of nothing: got {self.first_frame = }, {self.stop_frame = }, {self.box = }")

    @property
    def correction_id(self) -> str:
        return correction_id(self.video_id, self.first_frame, self.stop_frame, self.box)


@dataclass(frozen=True)
class VideoPlan:
    """A video, ready to be worked on. corrections: all that were there when it was planned, by id."""

    video_id: str
    item: SourceItem
    source: SourceVersion
    facts: VideoFacts
    segments: tuple[Segment, ...]
    corrections: tuple[Correction, ...] = ()


# ---------------------------------------------------------------------------------------------------------------- analyze


class Origin(IntEnum):
    """Why a box is believed to hold a face in its frame."""

    DETECTED = 0  # a detector saw it there
    FOLLOWED = 1  # matched by appearance from a neighbouring frame in which it was detected
    INTERPOLATED = 2  # between two sightings of the same track
    HELD = 3  # before the first or after the last sighting, in case the detector was late


@dataclass(frozen=True)
class Detections:
    """Faces in many frames, sorted by (frame, x1, y1)."""

    frame: NDArray[np.int32]  # (N,)
    box: NDArray[np.float32]  # (N, 4) xyxy px
    points: NDArray[np.float32]  # (N, 5, 2) px: left eye in image, right eye, nose, mouth left, mouth right; NaN where unknown
    score: NDArray[np.float32]  # (N,) 0..1
    origin: NDArray[np.uint8]  # (N,) Origin
    mesh_score: NDArray[np.float32]  # (N,) 0..1 how well the face mesh fits; NaN where it was not asked

    def __post_init__(self) -> None:
        _check_columns(self, len(self.frame), ("box", "points", "score", "origin", "mesh_score"))

    @classmethod
    def empty(cls) -> Detections:
        return cls(
            np.zeros(0, np.int32), np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32), np.zeros(0, np.uint8), np.zeros(0, np.float32)
        )

    def __len__(self) -> int:
        return len(self.frame)

    def take(self, rows: NDArray) -> Detections:
        """The rows given as indices or as a mask, in their order."""
        return Detections(*(getattr(self, f.name)[rows] for f in fields(self)))

    @classmethod
    def concatenate(cls, parts: list[Detections]) -> Detections:
        """All parts, sorted again."""
        if not parts:
            return cls.empty()
        joined = cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))
        return joined.take(np.lexsort((joined.box[:, 1], joined.box[:, 0], joined.frame)))


@dataclass(frozen=True)
class FaceSamples:
    """What was measured on the better detections. Biometric: lives in memory and in encrypted work files, never in the ledger."""

    row: NDArray[np.int32]  # (M,) row of the Detections that it belongs to
    embedding: NDArray[np.float32]  # (M, D) unit of the embedder; distances are Euclidean
    quality: NDArray[np.float32]  # (M,) 0..1 size, sharpness and frontality together
    female: NDArray[np.float32]  # (M,) 0..1 apparent; NaN unknown
    age: NDArray[np.float32]  # (M,) apparent years; NaN unknown
    skin: NDArray[np.float32]  # (M, 3) mean CIE L*, a*, b* of the cheeks; NaN unknown

    def __post_init__(self) -> None:
        _check_columns(self, len(self.row), ("embedding", "quality", "female", "age", "skin"))

    @classmethod
    def empty(cls, dimensions: int = 128) -> FaceSamples:
        nothing = np.zeros(0, np.float32)
        return cls(np.zeros(0, np.int32), np.zeros((0, dimensions), np.float32), nothing, nothing, nothing, np.zeros((0, 3), np.float32))


@dataclass(frozen=True)
class FaceViews:
    """Small pictures of faces as some of the looks saw them, on which new faces are tried. Biometric: only in encrypted work files, and only until the video is done."""

    frame: NDArray[np.int32]  # (V,) rising
    box: NDArray[np.float32]  # (V, 4) px, the very box of its row of the Detections
    points: NDArray[np.float32]  # (V, 5, 2) px of the view
    face: NDArray[np.float32]  # (V, 4) px of the view
    size: NDArray[np.int64]  # (V,) bytes of each JPEG
    jpeg: NDArray[np.uint8]  # (sum of size,) end to end

    def __post_init__(self) -> None:
        _check_columns(self, len(self.frame), ("box", "points", "face", "size"))


@dataclass(frozen=True)
class SegmentAnalysis:
    """What one segment adds to its video. Windows are aligned to the video, so that joined analyses do not depend on the segment length."""

    video_id: str
    segment_no: int
    detections: Detections
    samples: FaceSamples
    cut_frame: NDArray[np.int32]  # (C,) first frame of each new shot
    cut_score: NDArray[np.float32]  # (C,)
    num_frames_decoded: int  # frames of this segment's own span that came out of the decoder
    num_frames_detected: int  # frames on which the detector ran


@dataclass(frozen=True)
class VideoAnalysis:
    """A whole video's analysis: its segments' joined and sorted."""

    video_id: str
    num_frames: int
    detections: Detections
    samples: FaceSamples
    cut_frame: NDArray[np.int32]
    cut_score: NDArray[np.float32]


@dataclass(frozen=True)
class Track:
    """One face through one shot; `frame` is every frame from its first to its last cover, without a gap."""

    track_no: int
    shot_no: int
    frame: NDArray[np.int32]  # (n,) consecutive
    box: NDArray[np.float32]  # (n, 4) the face, not padded
    points: NDArray[np.float32]  # (n, 5, 2)
    score: NDArray[np.float32]  # (n,) 0 where not detected
    origin: NDArray[np.uint8]  # (n,) Origin
    detection_rows: NDArray[np.int32]  # rows of the video's Detections that it is made of
    trusted: bool  # False: perhaps no face at all (one frame, no mesh fit, low score); obscured calmly, never swapped

    def __post_init__(self) -> None:
        _check_columns(self, len(self.frame), ("box", "points", "score", "origin"))
        if len(self.frame) and not np.array_equal(self.frame, np.arange(self.frame[0], self.frame[0] + len(self.frame))):
            raise ValueError(f"a track with gaps: got {self.frame = }")


# --------------------------------------------------------------------------------------------------------------- identity


@dataclass(frozen=True)
class TrackFeature:
    """A track as the linker sees it. Biometric; see FaceSamples."""

    video_id: str
    track_no: int
    cluster_id: str  # core.ids.cluster_id of its first sighting; the person's id if this is their earliest track
    first_frame: int
    stop_frame: int
    embedding: NDArray[np.float32] | None  # (D,) mean over its best samples; None where no sample was good enough
    quality: float
    female: float
    age: float
    skin: tuple[float, float, float]


@dataclass(frozen=True)
class Persona:
    """A synthetic person, as the few numbers it can be painted from again. Holds nothing of the original."""

    base: int  # row of the curated bank
    partner: int  # row mixed in, so that no two people of a scope are alike
    mix: float  # share of the partner, 0..1
    attempt: int = 0  # how many candidates were refused before


Code = tuple[float, ...]  # float32 values, a point in the space of an embedder: tells an engine that paints from numbers which face. Biometric-like, as FaceSamples


@dataclass(frozen=True)
class Identity:
    """One person of a scope. `label` is a keyed pseudonym of cluster_id."""

    identity_no: int
    label: str
    cluster_id: str
    persona: Persona | None  # None: never shown large enough to need a face
    tracks: tuple[int, ...]  # track numbers in this video
    code: Code | None = field(default=None, repr=False)  # None: likewise, or the engine paints from a persona


class Method(IntEnum):
    """What a region asks for. The engine may fall back to OBSCURE frame by frame, never to less."""

    ENGINE = 0  # the chosen engine paints a face
    OBSCURE = 1  # hidden in its own colours
    REPAIR = 2  # found by the verifier, or drawn by a reviewer; obscured


@dataclass(frozen=True)
class RegionTable:
    """What is painted, sorted by (frame, track). One row per track and frame.

    face is where the face is believed to be; cover is face padded in space, and everything inside counts as hidden by this region.
    """

    frame: NDArray[np.int32]  # (R,)
    track: NDArray[np.int32]  # (R,)
    identity: NDArray[np.int32]  # (R,) identity_no, -1 for none
    face: NDArray[np.float32]  # (R, 4) px
    cover: NDArray[np.float32]  # (R, 4) px
    points: NDArray[np.float32]  # (R, 5, 2) px, smoothed in time; NaN where unknown
    method: NDArray[np.uint8]  # (R,) Method
    origin: NDArray[np.uint8]  # (R,) Origin

    def __post_init__(self) -> None:
        _check_columns(self, len(self.frame), ("track", "identity", "face", "cover", "points", "method", "origin"))

    @classmethod
    def empty(cls) -> RegionTable:
        whole, byte = np.zeros(0, np.int32), np.zeros(0, np.uint8)
        boxes = np.zeros((0, 4), np.float32)
        return cls(whole, whole, whole, boxes, boxes, np.zeros((0, 5, 2), np.float32), byte, byte)

    def __len__(self) -> int:
        return len(self.frame)

    def take(self, rows: NDArray) -> RegionTable:
        return RegionTable(*(getattr(self, f.name)[rows] for f in fields(self)))

    def between(self, first_frame: int, stop_frame: int) -> RegionTable:
        """Rows with first_frame <= frame < stop_frame."""
        low, high = np.searchsorted(self.frame, [first_frame, stop_frame])
        return self.take(np.arange(low, high))

    def at(self, frame: int) -> RegionTable:
        return self.between(frame, frame + 1)

    @classmethod
    def concatenate(cls, parts: list[RegionTable]) -> RegionTable:
        if not parts:
            return cls.empty()
        joined = cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))
        return joined.take(np.lexsort((joined.track, joined.frame)))


@dataclass(frozen=True)
class VideoRegions:
    """The frozen decision about one video: who is in it and what is painted where."""

    video_id: str
    identities: tuple[Identity, ...]
    tracks: tuple[Track, ...]
    regions: RegionTable


# ----------------------------------------------------------------------------------------------------------------- redact


class Painted(IntEnum):
    """What an engine did with one region in one frame."""

    FACE = 0  # a new face was painted (or, for blur, pixelate and fill: the region was obscured as asked)
    OBSCURED = 1  # hidden in its own colours, because no face could be fitted or none was asked for


@dataclass(frozen=True)
class PaintRow:
    """One region of one frame, painted."""

    frame: int
    track: int
    painted: Painted
    box: tuple[int, int, int, int]  # px that may have changed


@dataclass(frozen=True)
class TrackPaint:
    """How one track of a segment came out."""

    track: int
    num_face: int
    num_obscured: int
    distance_to_original: float  # smallest embedding distance between new and original face; NaN where not measured
    strengthened: bool  # the check found the new face too close, and a stronger engine painted


@dataclass(frozen=True)
class Piece:
    """Some frames of a segment, all copied or all encoded. size: of its part of the segment's file; of the packets' payloads where copied, and sha256 theirs."""

    span: Span
    first_frame: int
    num_frames: int
    copied: bool
    size: int = 0
    sha256: str = ""


@dataclass(frozen=True)
class StagedSegment:
    """One segment, done: a file of encoded packets aside, the promise that the source's packets are copied, or both, piece by piece."""

    video_id: str
    segment_no: int
    copied: bool
    reason: str  # why it was re-encoded, or "" where copied
    file_uri: str  # "" where copied
    sha256: str  # of the file; of the copied packets' payloads where copied
    size: int
    num_frames: int
    paints: tuple[TrackPaint, ...] = ()
    decode_errors: int = 0
    cpu_seconds: float = 0.0
    attempt: int = 0
    pieces: tuple[Piece, ...] = ()  # in order, where some of its GOPs are copied and some encoded; encoded ones follow one another in the file

    @property
    def copied_frames(self) -> int:
        return self.num_frames if self.copied else sum(piece.num_frames for piece in self.pieces if piece.copied)


# ----------------------------------------------------------------------------------------------------------------- verify


@dataclass(frozen=True)
class Leak:
    """A face that the auditor saw outside every painted region."""

    frame: int
    box: tuple[float, float, float, float]
    score: float


@dataclass(frozen=True)
class Verdict:
    """What a verifier says of one output. decision: "pass" or "fail"; problems are sentences for a person."""

    auditor: str  # name of the detector that looked
    auditor_model_sha256: str
    frames_sampled: int
    leaks: tuple[Leak, ...]
    problems: tuple[str, ...]
    repairs: int

    @property
    def decision(self) -> str:
        return "fail" if self.leaks or self.problems else "pass"


@dataclass(frozen=True)
class OutputFacts:
    """The file that is about to be published."""

    sha256: str
    size: int
    codec: str
    container: str
    num_frames: int
    audio_action: str
    subtitle_action: str
    stripped: tuple[str, ...]  # what was taken out: "location", "device", "data stream", ...
    dropped_streams: tuple[str, ...]
    copied_segments: int
    encoded_segments: int
    c2pa_manifest_sha256: str = ""  # of the content credentials in it; "" for none
    copied_frames: int = 0


@dataclass(frozen=True)
class Verified:
    """Only `faceanon.verify.verdict` makes one, and only a Verified can be committed."""

    plan: VideoPlan
    output: OutputFacts
    verdict: Verdict


@dataclass(frozen=True)
class Published:
    """A committed video."""

    output_id: str
    video_id: str
    name: str
    out_uri: str
    sha256: str


@dataclass(frozen=True)
class Quarantined:
    """A video that is not published, and why."""

    item: SourceItem
    video_id: str  # "" where the source could not be read far enough to have one
    stage: str  # "probe", "analyze", "link", "redact", "publish"
    reason: str
    source: SourceVersion | None = None
    corrections: tuple[str, ...] = ()  # ids of those that it was to be published with


