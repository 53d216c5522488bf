"""GOPs without faces are copied bit by bit between encoded ones, in one segment: H.264, HEVC and others, with open GOPs, B-frames and edit lists."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from media_support import encoded, scene, signature, strict_complaints, tone

from faceanon.core.records import Cut, OutputFacts, Piece, Segment
from faceanon.core.settings import EncodeSettings, PlanSettings
from faceanon.core.timeline import Span
from faceanon.media.clips import write_clip
from faceanon.media.decode import read_pictures
from faceanon.media.describe import describe
from faceanon.media.joined import copied_digest
from faceanon.media.mixing import FEWEST_COPIED, as_segment, divide, mixable
from faceanon.media.probe import probe
from faceanon.media.segments import plan_segments
from faceanon.media.stitch import stitch

WHOLE = PlanSettings(segment_seconds=60)
FAST = EncodeSettings(preset="ultrafast")
CASES = {
    "h264.mp4": {"audio": tone(4), "bframes": 3, "rotation": 90},
    "h264_late.mp4": {"start_delay_s": 0.4, "audio": tone(4)},
    "h264.mkv": {"sar": Fraction(4, 3)},
    "h264.ts": {"audio": tone(4)},
    "hevc.mp4": {"codec": "hevc", "audio": tone(4)},
    "hevc_open_gop.mp4": {"codec": "hevc", "open_gop": True, "bframes": 3},
    "hevc_open_gop.mkv": {"codec": "hevc", "open_gop": True, "bframes": 3},
    "vp9.webm": {"codec": "vp9"},
    "mjpeg.avi": {"codec": "mjpeg"},
}
PAINTED = range(30, 40)  # of 100 frames, GOPs of 12


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pieces")
    made: dict[str, Path] = {}

    def clip(name: str) -> Path:
        if name not in made:
            made[name] = write_clip(folder / name, scene(100), **CASES[name])
        return made[name]

    return clip


def remade(path: Path, out: Path, painted: range = PAINTED) -> tuple[tuple[Piece, ...], OutputFacts]:
    """`path` as one segment, of which only the pieces that hold `painted` are encoded."""
    facts, index = probe(path, WHOLE)
    (segment,) = plan_segments("video", facts, index, WHOLE)
    pieces = divide(segment, np.isin(np.arange(segment.num_frames), painted))
    spans = [as_segment("video", number, piece) for number, piece in enumerate(pieces)]
    staged = {s.segment_no: encoded(path, facts, s, out.with_suffix(f".{s.segment_no}"), FAST) for s in spans if not s.copyable}
    return pieces, stitch(path, facts, spans, staged, out, FAST)


@pytest.mark.parametrize("name", CASES)
def test_what_shows_no_face_is_copied_bit_by_bit(clips, name, tmp_path):
    """Most frames decode to the source's own samples, also those of a GOP that is painted later, the others do not; each at its own time; a strict ffmpeg is content."""
    path, out = clips(name), tmp_path / name

    pieces, _ = remade(path, out)
    facts, _ = probe(path, WHOLE)
    before, after = signature(read_pictures(path, facts, None)), signature(read_pictures(out, probe(out, WHOLE)[0], None))

    assert mixable(facts) == ""
    assert [(p.copied, p.num_frames >= FEWEST_COPIED) for p in pieces if p.copied] == [(True, True)] * 2
    assert pieces[0].num_frames > 24  # two GOPs, and a part of the third
    assert sum(p.num_frames for p in pieces if p.copied) >= 75
    same = [a[2] == b[2] for a, b in zip(before, after, strict=True)]
    for piece in pieces:
        assert set(same[piece.first_frame : piece.first_frame + piece.num_frames]) == {piece.copied}
    assert [p[1] - after[0][1] for p in after] == [p[1] - before[0][1] for p in before]
    assert describe(path).frame_times_s == describe(out).frame_times_s
    assert strict_complaints(out) == ""


@pytest.mark.parametrize("name", ["h264.mp4", "hevc_open_gop.mkv"])
def test_a_digest_tells_which_packets_were_copied(clips, name, tmp_path):
    """Of a copied piece the digest is that of the source's packets, and pieces together are not more than the whole."""
    path = clips(name)

    pieces, _ = remade(path, tmp_path / name)
    facts, index = probe(path, WHOLE)
    (segment,) = plan_segments("video", facts, index, WHOLE)
    digests = [copied_digest(path, facts, as_segment("video", 0, piece)) for piece in pieces if piece.copied]

    assert len({sha256 for sha256, _ in digests}) == len(digests) == 2
    assert 0 < sum(size for _, size in digests) < copied_digest(path, facts, segment)[1]


@pytest.mark.parametrize("name", ["h264.mp4", "hevc_open_gop.mp4"])
def test_a_joined_stream_can_be_entered_anywhere(clips, name, tmp_path):
    """From whatever keyframe one starts, copied or encoded, the frames are those of playing from the start."""
    path, out = clips(name), tmp_path / name
    remade(path, out)

    fine = PlanSettings(segment_seconds=0.01)
    facts, index = probe(out, fine)
    whole = signature(read_pictures(out, facts, None))

    assert whole == [entry for segment in plan_segments("video", facts, index, fine) for entry in signature(read_pictures(out, facts, segment))]


@st.composite
def segments(draw):
    """A segment with cuts anywhere, of which some GOPs are open, and what is painted in it."""
    total = draw(st.integers(20, 120))
    frames = sorted(draw(st.sets(st.integers(0, total - 1), max_size=10)))
    cuts, shown = [], 0
    for frame in frames:
        start = draw(st.integers(max(shown, frame - 3), frame)) if frame else 0
        cuts.append(Cut(7 + frame, 10 * frame, 7 + start, 10 * start))
        shown = frame + 1
    if draw(st.booleans()):
        cuts.append(Cut(7 + total, 10 * total, 7 + total, 10 * total))
    painted = np.zeros(total, bool)
    for frame in draw(st.sets(st.integers(0, total - 1), max_size=4)):
        painted[frame] = True
    stops = [7 + frame for frame in range(total) if frame not in {n for c in cuts for n in range(c.from_frame - 7 + 1, c.frame - 7 + 1)}]
    some = draw(st.lists(st.sampled_from(stops), unique=True)) if stops else []
    return Segment("v", 0, Span(0, 10 * total), 7, total, True, "", tuple(cuts), tuple((frame, 10 * (frame - 7)) for frame in sorted(some))), painted


@given(segments())
def test_pieces_own_each_frame_once_and_copy_nothing_painted(case):
    """Pieces follow one another, and a copied one holds no painted frame, begins at a keyframe and ends where packets can be cut."""
    segment, painted = case

    pieces = divide(segment, painted)

    assert [p.first_frame for p in pieces] == [7, *(p.first_frame + p.num_frames for p in pieces[:-1])]
    assert [p.span.start_pts for p in pieces] == [0, *(p.span.stop_pts for p in pieces[:-1])]
    assert (pieces[-1].first_frame + pieces[-1].num_frames, pieces[-1].span.stop_pts) == (segment.stop_frame, segment.span.stop_pts)
    starts, stops = {c.frame for c in segment.cuts}, {c.from_frame for c in segment.cuts} | {frame for frame, _ in segment.stops}
    for piece in pieces:
        assert piece.span.start_pts == 10 * (piece.first_frame - 7)
        if piece.copied:
            inside = painted[piece.first_frame - 7 : piece.first_frame - 7 + piece.num_frames]
            assert not inside.any()
            assert piece.num_frames >= FEWEST_COPIED
            assert piece.first_frame in starts
            assert piece.first_frame + piece.num_frames in stops
    assert len(segment.cuts) > 1 or not any(p.copied for p in pieces)
