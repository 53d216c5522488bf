"""What the READMEs of cluster/ and manifests/kubernetes/ tell people to type exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from command_lines import ours, refusal

from faceanon.rayflow.metrics import METRICS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "cluster/README.md", ROOT / "manifests/kubernetes/README.md"]


def blocks(page: Path) -> str:
    """All that stands in code blocks."""
    return "\n".join(re.findall(r"```\n(.*?)```", page.read_text(), flags=re.DOTALL))


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_commands_are_taken(page):
    """The program takes every `faceanon` line as it stands."""
    lines = ours(blocks(page))

    assert [f"{line}: {refusal(line)}" for line in lines if refusal(line)] == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_files_that_are_named_exist(page):
    """Every path that starts with a folder of ours, and every file or folder that the table of contents lists, is there."""
    text = page.read_text()
    contents = "\n".join(re.findall(r"^\| (`[^|]+`) \|", text, flags=re.MULTILINE))
    named = set(re.findall(r"(?:cluster|manifests|tests)/[\w./\-]+\w", text)) | set(re.findall(r"`([\w.\-/]*(?:\.yaml|\.json|Dockerfile|/))`", contents))

    assert sorted(name for name in named if not any((folder / name).exists() for folder in (ROOT, page.parent, page.parent / "tests"))) == []


def test_every_metric_is_listed():
    """The page lists the metrics that there are, each with its labels."""
    listed = set(re.findall(r"_(\w+?)(?:_total)?(?:\{([\w,]+)\})?`", re.search(r"## Metrics(.*?)```", PAGES[0].read_text(), re.DOTALL)[1]))

    assert {(m.name.removeprefix("faceanon_"), ",".join(m.labels)) for m in METRICS} <= {(name.removeprefix("faceanon_"), labels) for name, labels in listed}
