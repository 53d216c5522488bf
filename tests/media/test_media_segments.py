"""Planning segments, as a rule over all indexes."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from faceanon.core.records import ColourTags, PacketIndex, VideoFacts
from faceanon.core.settings import PlanSettings
from faceanon.media.joined import decode_times
from faceanon.media.mixing import choose_copies, mixable
from faceanon.media.segments import plan_segments

FACTS = VideoFacts(
    "mp4", "h264", "", 64, 64, "yuv420p", 8, 0, Fraction(1), ColourTags(), "progressive", Fraction(1, 100), Fraction(25), None, 0, (), 1, 1, 0, 1, 1
)  # fmt: skip


@st.composite
def indexes(draw):
    steps = draw(st.lists(st.integers(1, 30), min_size=1, max_size=80))
    pts = np.cumsum(steps) + draw(st.integers(-50, 50))
    keys = np.array(draw(st.lists(st.booleans(), min_size=len(pts), max_size=len(pts))))
    keys[0] = True
    clean = keys & np.array(draw(st.lists(st.booleans(), min_size=len(pts), max_size=len(pts))))
    index = PacketIndex(pts.astype(np.int64), keys, clean, draw(st.booleans()))
    return replace(FACTS, first_pts=int(pts[0]), stop_pts=int(pts[-1]) + steps[-1], num_frames_from_content=len(pts)), index


@given(indexes(), st.floats(0.01, 10))
def test_segments_own_every_frame_once(video, seconds):
    """Spans follow one another without gap or overlap, start at keyframes, and count the frames that lie in them."""
    facts, index = video

    segments = plan_segments("v", facts, index, PlanSettings(segment_seconds=seconds))

    assert [s.segment_no for s in segments] == list(range(len(segments)))
    assert [s.span.start_pts for s in segments] == [facts.first_pts, *(s.span.stop_pts for s in segments[:-1])]
    assert segments[-1].span.stop_pts == facts.stop_pts
    assert [s.first_frame for s in segments] == [0, *(s.stop_frame for s in segments[:-1])]
    assert segments[-1].stop_frame == len(index.pts)
    for s in segments:
        assert s.num_frames == sum(int(pts) in s.span for pts in index.pts)
        assert index.is_keyframe[s.first_frame]
        assert s.copyable == (not s.not_copyable_because)
        if s.copyable:
            assert index.is_clean_start[s.first_frame]
    assert index.trustworthy or len(segments) == 1


@given(indexes(), st.floats(0.01, 10))
def test_no_segment_is_shorter_than_asked_but_the_last(video, seconds):
    """Only the end of the video makes a segment shorter than the wanted length."""
    facts, index = video

    segments = plan_segments("v", facts, index, PlanSettings(segment_seconds=seconds))

    wanted = max(1, int(Fraction(seconds) / facts.time_base))
    assert all(s.span.stop_pts - s.span.start_pts >= wanted for s in segments[:-1])


def test_a_gif_is_one_segment():
    """Its frames build on one another."""
    index = PacketIndex(np.arange(100, dtype=np.int64), np.ones(100, bool), np.ones(100, bool))
    facts = replace(FACTS, container="gif", codec="gif", stop_pts=100)

    assert len(plan_segments("v", facts, index, PlanSettings(segment_seconds=0.1))) == 1


def test_copies_are_chosen_where_nothing_is_painted():
    """A copyable segment is copied beside painted ones, an unclean one says why not, and a whole clean video is copied in any codec."""
    index = PacketIndex(np.arange(0, 400, 4, dtype=np.int64), np.arange(100) % 25 == 0, np.isin(np.arange(100), (0, 25, 75)))
    facts = replace(FACTS, stop_pts=400, num_frames_from_content=100)
    segments = plan_segments("v", facts, index, PlanSettings(segment_seconds=1))

    some = choose_copies(facts, segments, {0, 1})
    everything = choose_copies(replace(facts, codec="av1"), segments, {0, 1, 2, 3})
    av1 = choose_copies(replace(facts, codec="av1"), segments, {0})

    assert some[0] == ""
    assert "after it" in some[1]
    assert set(everything.values()) == {""}
    assert av1[0] == mixable(replace(facts, codec="av1"))


@given(st.permutations(range(12)), st.lists(st.integers(1, 9), min_size=12, max_size=12), st.integers(-5, 40))
def test_decode_times_rise_and_never_pass_their_pts(order, steps, start):
    """Whatever the order of decoding, dts rise and each lies at or before its pts."""
    times = np.cumsum(steps) + start
    pts = [int(times[n]) for n in order]

    dts = decode_times(pts)

    assert all(a < b for a, b in pairwise(dts))
    assert all(d <= p for d, p in zip(dts, pts, strict=True))
    assert (sorted(pts) == pts) <= (dts == pts)
