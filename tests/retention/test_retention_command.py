"""`faceanon retention` from the command line: what it prints, what it exits with, and that nothing goes without --execute."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from retention_cases import Archive

from faceanon.archive.store import open_store
from faceanon.cli import main
from faceanon.flow.host import this_process
from faceanon.ledger.query import query
from faceanon.retention.lease import Lease

POLICY = """
approved_by = "the officer"
[policy.cam]
collection = "cam"
basis = "GDPR article 6(1)(f)"
min_days = 30
max_days = 90
grace_days = {grace}
action = "delete"
"""


@pytest.fixture
def archive(tmp_path):
    (tmp_path / "policy.toml").write_text(POLICY.format(grace=0))
    return Archive(str(tmp_path / "src"), str(tmp_path / "out"))


@pytest.fixture
def retention(archive, tmp_path, capsys):
    """Runs the command; (exit code, what it printed)."""

    def call(action: str, *words: str, policy: bool = True) -> tuple[int, str]:
        code = main(["retention", action, archive.out_uri, *words, *(["--policy", str(tmp_path / "policy.toml")] if policy else [])])
        said = capsys.readouterr()
        return code, said.out + said.err

    return call


def test_nothing_goes_without_execute(archive, retention):
    """Plan, report and a dry run say what would be done; --execute does it, and says so."""
    archive.add("a.mp4")
    dry = [retention(action) for action in ("plan", "run", "report")]
    there = archive.has("a.mp4")
    done = retention("run", "--execute")

    assert [code for code, _ in (*dry, done)] == [0] * 4
    assert all("nothing was done: 1 x intent" in said for _, said in dry)
    assert "done: 1 x deleted" in done[1]
    assert (there, archive.has("a.mp4")) == (True, False)


def test_overdue_is_an_exit_code_of_its_own(archive, retention, tmp_path):
    """4, with the days, the gate, and a metric that an alarm can watch."""
    archive.add("late.mp4", days=100, verdict="fail")
    code, said = retention("run", "--execute", "--metrics", str(tmp_path / "retention.prom"))
    metrics = dict(line.rsplit(" ", 1) for line in (tmp_path / "retention.prom").read_text().splitlines() if not line.startswith("#"))

    assert code == 4
    assert "OVERDUE by 10.0 days; independent audit: late.mp4: mtcnn said fail: a face" in said
    assert 10 * 86400 <= float(metrics["faceanon_retention_oldest_overdue_seconds"]) < 10 * 86400 + 600
    assert abs(float(metrics["faceanon_retention_last_success_timestamp_seconds"]) - datetime.now(UTC).timestamp()) < 60
    assert metrics['faceanon_retention_originals{state="blocked"}'] == "1"


def test_json_says_the_same(archive, retention):
    """For programs."""
    archive.add("a.mp4")
    archive.add("b.mp4", collection="elsewhere")
    code, said = retention("plan", "--format", "json")
    told = json.loads(said)

    assert (code, told["executed"], told["states"], told["did"]) == (0, False, {"due": 1, "unmatched": 1}, {"intent": 1})
    assert (told["oldest_overdue_seconds"], told["last_success_timestamp_seconds"]) == (0, 0)
    assert {(o["names"][0], o["state"], o["reason"].split(" (")[0]) for o in told["originals"]} == {
        ("a.mp4", "due", "delete by policy cam"), ("b.mp4", "unmatched", "no policy fits")
    }  # fmt: skip


def test_explain_names_the_rule(archive, retention):
    """Policies that fit and do not, the age, the gate that is shut, and what was written down."""
    archive.add("a.mp4", output=b"another one")
    retention("run", "--execute")
    code, said = retention("explain", archive.uri("a.mp4"))

    assert code == 0
    for words in ("policy    cam: collection cam; fits", "min_days 30 by cam", "gate output digest is closed", "overdue from"):
        assert words in said
    assert retention("explain", archive.uri("never.mp4"))[0] == 2


def test_hold_and_release(archive, retention):
    """A hold by its id; what is held is reported with its case, and not overdue."""
    archive.add("a.mp4", days=100)
    hold_id = retention("hold", "collection:cam", "--case", "c-7", "--by", "legal", "--review", "2027-01-01", policy=False)[1].split()[0]
    held = retention("run", "--execute")
    report = retention("report")[1]
    released = retention("release", hold_id, "--by", "legal", policy=False)
    free = retention("run", "--execute")

    assert (held[0], free[0], released[0]) == (0, 0, 0)
    assert f"hold {hold_id} on collection:cam (c-7) by legal" in held[1]
    assert "to be reviewed by 2027-01-01" in report
    assert not archive.has("a.mp4")
    assert retention("release", hold_id, policy=False)[0] == 2


def test_the_grace_is_said(archive, retention, tmp_path):
    """An intent is an announcement."""
    (tmp_path / "policy.toml").write_text(POLICY.format(grace=7))
    archive.add("a.mp4")

    assert f"the grace ends {datetime.now(UTC) + timedelta(7):%Y-%m-%d}" in retention("run", "--execute")[1]
    assert "nothing was done" not in retention("run", "--execute")[1]


def test_events_reach_the_tables(archive, retention):
    """After a run that acts, a question finds policies, events and the run's end."""
    archive.add("a.mp4")
    retention("run", "--execute")
    rows = query(archive.out_uri, 'SELECT phase FROM retention_events ORDER BY "at", phase').column(0).to_pylist()

    assert sorted(rows) == ["deleted", "intent", "run", "verified"]
    assert query(archive.out_uri, "SELECT policy_id, approved_by FROM policies").to_pylist() == [{"policy_id": "cam", "approved_by": "the officer"}]


def test_another_run_at_work_is_said(archive, retention):
    """Exit 1, and nothing is done."""
    archive.add("a.mp4")
    with Lease(open_store(archive.out_uri), "other", this_process()):
        code, said = retention("run", "--execute")

    assert (code, "run other is at work" in said, archive.has("a.mp4")) == (1, True, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["plan", "OUT"], "no default policy"), (["plan", "OUT", "--policy", "P", "--execute"], "--execute is for run"),
        (["explain", "OUT", "--policy", "P"], "needs the URI"),
        (["hold", "OUT"], "needs what it is on"), (["hold", "OUT", "everything"], "a hold is on"), (["release", "OUT"], "needs the id"),
        (["plan", "NOWHERE", "--policy", "P"], "holds no ledger"), (["plan", "OUT", "--policy", "MISSING"], "cannot be read"),
    ],
)  # fmt: skip
def test_wrong_usage(archive, tmp_path, capsys, words, message):
    """Exit 2, said before anything is done."""
    archive.add("a.mp4")
    places = {"OUT": archive.out_uri, "P": str(tmp_path / "policy.toml"), "NOWHERE": str(tmp_path / "nowhere"), "MISSING": str(tmp_path / "no.toml")}

    assert main(["retention", *(places.get(word, word) for word in words)]) == 2
    assert message in capsys.readouterr().err
