"""Requested minus committed."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from faceanon.archive.plan import Known, Requested, work_to_do
from faceanon.core.records import SourceItem


def wanted(name="a.mp4", size=3, version="v1", variant="swap"):
    return Requested(SourceItem(f"/in/{name}", name), size, version, variant)


def outcome(state="published", **changes):
    return replace(Known("a.mp4", "/in/a.mp4", 3, "v1", "swap", state), **changes)


def by_name(outcomes):
    return {known.name: known for known in outcomes}.get


def kinds(work):
    return len(work.new), len(work.done), len(work.quarantined)


def test_rules():
    """Published stays done; quarantined stays so until a retry is asked for or the source changes; anything else is new."""
    cases = [
        ([], False, (1, 0, 0)),
        ([outcome()], False, (0, 1, 0)),
        ([outcome()], True, (0, 1, 0)),
        ([outcome("quarantined")], False, (0, 0, 1)),
        ([outcome("quarantined")], True, (1, 0, 0)),
        ([outcome("quarantined", version="v0")], False, (1, 0, 0)),
        ([outcome(size=4)], False, (1, 0, 0)),
        ([outcome(uri="/elsewhere/a.mp4")], False, (1, 0, 0)),
        ([outcome(variant="blur")], False, (1, 0, 0)),
    ]

    for known, retry, expected in cases:
        assert kinds(work_to_do([wanted()], by_name(known), retry_quarantined=retry)) == expected


def test_a_source_that_is_still_missing_stays_quarantined():
    """What could not be read then and cannot be read now is not tried again; once it appears, it is."""
    known = [outcome("quarantined", size=-1, version="")]

    assert kinds(work_to_do([wanted(size=-1, version="")], by_name(known))) == (0, 0, 1)
    assert kinds(work_to_do([wanted()], by_name(known))) == (1, 0, 0)


@given(
    st.lists(st.builds(wanted, name=st.sampled_from("abc"), version=st.sampled_from("12"))),
    st.lists(st.builds(outcome, st.sampled_from(["published", "quarantined"]))),
)
def test_everything_is_accounted_for(requested, known):
    """In = new + done + quarantined."""
    assert sum(kinds(work_to_do(requested, by_name(known)))) == len(requested)
