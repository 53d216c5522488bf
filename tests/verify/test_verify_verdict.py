"""The verdict: nothing wrong gives a Verified, anything wrong gives a reason."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from verify_cases import BrightSquares

import faceanon
from faceanon.core.errors import VerificationFailed
from faceanon.core.records import ColourTags, Leak, OutputFacts, Segment, SourceItem, SourceVersion, VideoFacts, VideoPlan
from faceanon.core.timeline import Span
from faceanon.verify.verdict import judge

FACTS = VideoFacts(
    "mp4", "h264", "", 64, 48, "yuv420p", 8, 0, Fraction(1), ColourTags(), "progressive", Fraction(1, 25), Fraction(25), None, 0, (), 500, 500, 0, 500, 1
)  # fmt: skip
PLAN = VideoPlan("v" * 32, SourceItem("/a.mp4", "a.mp4"), SourceVersion("/a.mp4", 1, "", "0" * 64), FACTS, (Segment("v" * 32, 0, Span(0, 500), 0, 500, True),))
OUTPUT = OutputFacts("9" * 64, 1, "h264", "mp4", 500, "copied", "none", (), (), 0, 1)
LEAKS = [Leak(frame, (1.2, 2.0, 11.0, 12.0), 0.87) for frame in (25, 100, 100, 250)]


def test_nothing_wrong_is_verified():
    """The verdict says who looked, at how much, and passes."""
    verified = judge(PLAN, OUTPUT, (), [], 12, BrightSquares(), 1)

    assert (verified.plan, verified.output, verified.verdict.decision) == (PLAN, OUTPUT, "pass")
    assert (verified.verdict.auditor, verified.verdict.auditor_model_sha256, verified.verdict.frames_sampled, verified.verdict.repairs) == ("squares", "e" * 64, 12, 1)


def test_leaks_are_named():
    """The reason shows the first three leaks with frame, time, place and score."""
    with pytest.raises(VerificationFailed) as caught:
        judge(PLAN, OUTPUT, (), LEAKS, 12, BrightSquares(), 2)

    assert str(caught.value).startswith("a.mp4: after 2 repairs squares still sees a face outside the painted regions in 3 of 12 frames: ")
    assert "frame 25 (about 0:00:01) at 1,2-11,12 with score 0.87" in caught.value.reason
    assert (caught.value.reason.count("score"), caught.value.reason[-5:]) == (3, ", ...")


@pytest.mark.parametrize(
    ("problems", "sampled", "output", "says"),
    [
        (("the output has 499 frames, the source 500",), 12, OUTPUT, "499 frames"),
        ((), 0, OUTPUT, "looked at no frame"),
        ((), 12, replace(OUTPUT, encoded_segments=0), "made of 0 segments, 1 were planned"),
    ],
)
def test_problems_and_gaps_fail(problems, sampled, output, says):
    """A difference from the source, a look that never happened and a missing part are reasons."""
    with pytest.raises(VerificationFailed, match=says):
        judge(PLAN, output, problems, [], sampled, BrightSquares(), 0)


def test_several_weights_are_one_digest():
    """An auditor of several networks is named by a digest over all."""
    auditor = BrightSquares()
    auditor.model_sha256 = ("a" * 64, "b" * 64)

    assert len(judge(PLAN, OUTPUT, (), [], 1, auditor, 0).verdict.auditor_model_sha256) == 64


def test_no_other_module_makes_a_verified():
    """The word `Verified(` is called in the verdict alone."""
    root = Path(faceanon.__file__).parent
    makers = [p.relative_to(root).as_posix() for p in root.rglob("*.py") if "Verified(" in p.read_text().replace("class Verified(", "")]

    assert makers == ["verify/verdict.py"]
