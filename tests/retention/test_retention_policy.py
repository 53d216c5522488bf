"""Policies: strict to read, and together the most protective of what each says."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceanon.core.errors import SettingsError
from faceanon.retention.policy import ACTIONS, Policies, Policy, Subject, below, combined, from_table, load

CAM = {"collection": "cam", "basis": "b", "min_days": 1, "max_days": 9, "grace_days": 2, "action": "delete"}
SUBJECT = Subject("s3://archive/cam/a.mp4", "cam/a.mp4", "cam", frozenset({"street"}))


def table(**changes) -> dict:
    """The policy with some values changed; None takes one out."""
    return {"policy": {"p": {key: value for key, value in {**CAM, **changes}.items() if value is not None}}}


def test_a_policy_is_read_as_written(tmp_path):
    """A file with every kind of selector; an address is brought into its one form."""
    (tmp_path / "policy.toml").write_text(
        'approved_by = "the officer"\n[policy.cctv]\nprefix = "s3://archive/cam/"\ntag = ["street", "hall"]\nbasis = "GDPR"\n'
        'min_days = 1\nmax_days = 9\ngrace_days = 0\naction = "cold"\ncold = "s3://cold/cam"\n[policy.kept]\ncollection = "court"\nbasis = "law"\naction = "keep"\n'
    )
    policies = load(tmp_path / "policy.toml")

    assert policies.approved_by == "the officer"
    assert policies.all[0] == Policy("cctv", "GDPR", "cold", (), ("s3://archive/cam",), ("hall", "street"), 1, 9, 0, "s3://cold/cam")
    assert (policies.all[1].action, policies.all[1].collections) == ("keep", ("court",))


@pytest.mark.parametrize(
    ("changes", "key", "words"),
    [
        ({"colection": "cam"}, "policy.p.colection", "no such key"),
        ({"collection": None}, "policy.p:", "what it is about"),
        ({"collection": []}, "policy.p.collection", "list of texts"),
        ({"collection": [1]}, "policy.p.collection", "list of texts"),
        ({"prefix": "http://x/y"}, "policy.p.prefix", "not supported"),
        ({"basis": None}, "policy.p.basis", "missing"),
        ({"basis": " "}, "policy.p.basis", "must be text"),
        ({"action": None}, "policy.p.action", "missing"),
        ({"action": "erase"}, "policy.p.action", "keep, cold, delete"),
        ({"min_days": None}, "policy.p.min_days", "missing"),
        ({"max_days": None}, "policy.p.max_days", "missing"),
        ({"grace_days": None}, "policy.p.grace_days", "missing"),
        ({"min_days": 1.5}, "policy.p.min_days", "whole number"),
        ({"min_days": True}, "policy.p.min_days", "whole number"),
        ({"min_days": -1}, "policy.p.min_days", "whole number"),
        ({"max_days": "9"}, "policy.p.max_days", "whole number"),
        ({"max_days": 2}, "policy.p.max_days", "overdue before it can go"),
        ({"action": "keep"}, "policy.p.min_days", "has no days"),
        ({"cold": "s3://cold"}, "policy.p.cold", "is for action"),
        ({"action": "cold"}, "policy.p.cold", "missing"),
        ({"action": "cold", "cold": "s3://arc/cold", "prefix": "s3://arc"}, "policy.p.cold", "same place"),
    ],
)
def test_what_a_policy_may_not_say(changes, key, words):
    """Each mistake names file and key."""
    with pytest.raises(SettingsError) as refused:
        from_table(table(**changes), "policy.toml")

    assert str(refused.value).startswith(f"policy.toml: {key}")
    assert words in str(refused.value)


@pytest.mark.parametrize("text", ["", "[policy]", "policy = 1", "[policies.x]\n", "[policy.x", "approved_by = 3\n[policy.p]\n"])
def test_a_file_that_is_no_policy(tmp_path, text):
    """Also an empty one: there is no default."""
    (tmp_path / "policy.toml").write_text(text)

    with pytest.raises(SettingsError, match=r"policy\.toml"):
        load(tmp_path / "policy.toml")


def test_no_file():
    """Said with its name."""
    with pytest.raises(SettingsError, match=r"/nowhere/policy\.toml: cannot be read"):
        load(Path("/nowhere/policy.toml"))


@pytest.mark.parametrize(
    ("changes", "fits"),
    [
        ({}, True), ({"collection": "cam2"}, False), ({"collection": ["x", "cam"]}, True),
        ({"prefix": "s3://archive/cam"}, True), ({"prefix": "s3://archive/ca"}, False), ({"prefix": "s3://archive/cam/a.mp4"}, True),
        ({"tag": ["street", "x"]}, True), ({"tag": "x"}, False), ({"collection": None, "tag": "street"}, True), ({"prefix": "s3://archive/other"}, False),
    ],
)  # fmt: skip
def test_selectors(changes, fits):
    """All that are given must fit; a prefix ends at a folder's border."""
    assert from_table(table(**changes)).all[0].fits(SUBJECT) == fits


def test_no_policy_no_action():
    """There is no default."""
    rule = Policies(()).rule([SUBJECT])

    assert (rule.action, rule.acts, rule.reason) == ("none", False, "no policy fits")


def test_every_name_must_have_a_policy():
    """An original that is known under a second name, which no policy fits, stays."""
    policies = from_table(table())
    other = Subject(SUBJECT.uri, "b.mp4", "elsewhere", frozenset())

    assert (policies.rule([SUBJECT]).action, policies.rule([SUBJECT, other]).action) == ("delete", "none")


def test_two_cold_places_are_ambiguous():
    """Ambiguity keeps, and says why; the same place twice is none."""
    one, other = (Policy(name, "b", "cold", ("cam",), cold=cold) for name, cold in (("a", "s3://x"), ("b", "s3://y")))

    assert (combined([one, other]).action, "ambiguous" in combined([one, other]).reason) == ("keep", True)
    assert combined([one, Policy("c", "b", "cold", ("cam",), cold="s3://x")]).action == "cold"


DAYS = st.integers(0, 1000)
POLICY = st.builds(
    lambda action, days, cold: Policy("", "b", action, ("cam",), (), (), *((0, 0, 0) if action == "keep" else days), cold if action == "cold" else ""),
    st.sampled_from(ACTIONS), st.tuples(DAYS, DAYS, DAYS), st.sampled_from(["s3://x", "s3://y"]),
)  # fmt: skip
SOME = st.lists(POLICY, min_size=1, max_size=5).map(lambda found: [Policy(**{**vars(p), "name": f"p{n}"}) for n, p in enumerate(found)])


@given(SOME)
def test_together_never_less_protective_than_one(policies):
    """No policy's wish to keep is lost: neither its action nor any of its times."""
    rule = combined(policies)

    assert ACTIONS.index(rule.action) <= min(ACTIONS.index(p.action) for p in policies)
    if rule.acts:
        assert (rule.min_days, rule.max_days, rule.grace_days) == tuple(max(getattr(p, day) for p in policies) for day in ("min_days", "max_days", "grace_days"))


@given(SOME, st.randoms())
def test_the_order_of_policies_decides_nothing(policies, random):
    """The rule, its reason and its digest are the same."""
    shuffled = policies.copy()
    random.shuffle(shuffled)

    assert combined(shuffled) == combined(policies)


@given(SOME)
def test_one_policy_more_never_hastens(policies):
    """Adding a policy can keep longer, never shorter."""
    for fewer in itertools.combinations(policies, max(1, len(policies) - 1)):
        less, more = combined(fewer), combined(policies)
        assert ACTIONS.index(more.action) <= ACTIONS.index(less.action)
        if more.acts and less.acts:
            assert more.min_days >= less.min_days
            assert more.grace_days >= less.grace_days


def test_another_word_is_another_rule():
    """Even of the basis: an intent is of the wording that it was written under."""
    digests = {from_table(table(**changes)).rule([SUBJECT]).sha256 for changes in ({}, {"basis": "c"}, {"grace_days": 3}, {"tag": "street"})}

    assert len(digests) == 4


def test_below_is_about_whole_folders():
    """A folder's name is no beginning of its neighbour's."""
    assert below("s3://a/b/c", "s3://a/b")
    assert below("s3://a/b/c", "s3://a/b/")
    assert not below("s3://a/bc", "s3://a/b")
