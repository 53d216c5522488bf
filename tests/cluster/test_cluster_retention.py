"""What runs retention by itself: units, manifests, rights and the example policy fit the program."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from command_lines import ours, refusal

from faceanon.retention.policy import load

ROOT = Path(__file__).parents[2]
SYSTEMD, MANIFESTS = ROOT / "cluster/systemd", ROOT / "manifests/kubernetes/retention"


def test_the_example_policy_is_one():
    """Every kind of selector and action, read by the program as it stands."""
    policies = load(ROOT / "manifests/retention/policy.toml")

    assert {p.action for p in policies.all} == {"keep", "cold", "delete"}
    assert all(any(getattr(p, word) for p in policies.all) for word in ("collections", "prefixes", "tags"))


@pytest.mark.parametrize(("job", "command"), [("retention", ["retention", "run"]), ("audit", ["audit"])])
def test_units_and_manifests_call_what_there_is(job, command):
    """The program takes their command lines; only retention acts."""
    (unit,) = [line for line in ours((SYSTEMD / f"faceanon-{job}.service").read_text()) if line[0] == job]
    cron = yaml.safe_load((MANIFESTS / ("cronjob.yaml" if job == "retention" else "audit.yaml")).read_text())
    pod = cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (line,) = ours(pod["containers"][0]["command"][-1])

    for arguments in (unit, line):
        assert arguments[: len(command)] == command
        assert refusal(arguments) == ""
        assert ("--execute" in arguments) == (job == "retention")
    assert cron["spec"].get("suspend", False) == (job == "retention")


@pytest.mark.parametrize("job", ["retention", "audit"])
def test_a_missed_night_is_made_up_for(job):
    """The timer is persistent and in UTC, and its unit runs once."""
    timer, service = ((SYSTEMD / f"faceanon-{job}.{kind}").read_text().splitlines() for kind in ("timer", "service"))

    assert "Persistent=true" in timer
    assert any(line.startswith("OnCalendar=") and line.endswith("UTC") for line in timer)
    assert "Type=oneshot" in service


def test_retention_alone_may_delete_originals():
    """By version, so that no marker can pass for a deletion; the cluster's account may not."""
    rights = {path.stem: json.loads(path.read_text())["Statement"] for path in (ROOT / "cluster/iam").glob("*.json")}
    deleting = {name for name, statements in rights.items() for s in statements if _is_about_originals(s) and any("Delete" in a for a in s["Action"])}

    assert deleting == {"aws-retention"}
    assert not any("s3:DeleteObject" in s["Action"] for s in rights["aws-retention"] if _is_about_originals(s))
    assert not any("Bypass" in action for statements in rights.values() for s in statements for action in s["Action"])


def test_the_readme_s_commands_are_taken():
    """Every line of the section on retention, as it stands; each action is shown."""
    section = (ROOT / "README.md").read_text().split("## Retention\n")[1].split("\n## ")[0]
    lines = ours(section.split("```")[1])

    assert [f"{line}: {refusal(line)}" for line in lines if refusal(line)] == []
    assert {line[1] for line in lines if line[0] == "retention"} == {"plan", "run", "explain", "report", "hold", "release"}


def _is_about_originals(statement: dict) -> bool:
    return any("archive.example" in resource for resource in statement["Resource"])
