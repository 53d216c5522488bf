"""The image recipe: a linter's eyes, and rules about who runs it, what it is made from and what never enters it."""

from __future__ import annotations

import fnmatch
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECIPE = (ROOT / "cluster/Dockerfile").read_text()
IGNORE = (ROOT / ".dockerignore").read_text()
SECRETS = ["key.json", "keystore.json", ".env", ".git/config", "tests/support/s3_server.py", ".venv/bin/python", "demo/videos/a.mp4", "secrets/token"]


def instructions(recipe: str) -> list[tuple[str, str]]:
    """(NAME, arguments) of each instruction, with continued lines joined."""
    lines = [line for line in recipe.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(name.upper(), rest.strip()) for name, _, rest in (line.partition(" ") for line in joined.splitlines())]


def sent(path: str, ignore: str) -> bool:
    """Whether a file of the checkout is sent to the builder: the last pattern that fits decides, for the file or a folder that it is in."""
    kept = True
    for pattern in (line.strip() for line in ignore.splitlines()):
        if not pattern or pattern.startswith("#"):
            continue
        names = ["/".join(path.split("/")[: n + 1]) for n in range(path.count("/") + 1)]
        bare = pattern.lstrip("!")
        if any(fnmatch.fnmatchcase(name, bare) or (bare.startswith("**/") and fnmatch.fnmatchcase(name.split("/")[-1], bare[3:])) for name in names):
            kept = pattern.startswith("!")
    return kept


def problems(recipe: str, ignore: str = IGNORE) -> list[str]:
    """What our rules find wrong."""
    steps = instructions(recipe)
    arguments = dict(rest.split("=", 1) for name, rest in steps if name == "ARG" and "=" in rest)
    stages = {match[1] for name, rest in steps if name == "FROM" and (match := re.search(r" AS (\S+)$", rest))}
    found = []
    for base in (rest.split()[0] for name, rest in steps if name == "FROM"):
        base = re.sub(r"\$\{(\w+)\}", lambda m: arguments.get(m[1], ""), base)
        if base not in stages and not re.search(r"@sha256:[0-9a-f]{64}$|:(?!latest$)[\w.\-]*\d+\.\d+\.\d+[\w.\-]*$", base):
            found.append(f"the base is not pinned: {base}")
    last = max(n for n, (name, _) in enumerate(steps) if name == "FROM")
    users = [rest for name, rest in steps[last:] if name == "USER"]
    if not users or users[-1].split(":")[0] in ("root", "0") or not users[-1].split(":")[0].isdigit():
        found.append("it runs as root, or as a name that Kubernetes cannot check")
    for name, rest in steps:
        if name == "COPY" and "--from=" not in rest:
            for source in [word for word in rest.split() if not word.startswith("--")][:-1]:
                if not (ROOT / source).exists():
                    found.append(f"COPY of what is not there: {source}")
                elif not sent(source, ignore):
                    found.append(f"COPY of what is not sent: {source}")
        if name == "ADD":
            found.append("ADD fetches and unpacks")
        if name in ("ARG", "ENV") and re.search(r"(TOKEN|SECRET|PASSWORD|KEY)\w*[= ]", rest):
            found.append(f"a secret would stay in the image: {rest.split('=')[0]}")
    if not any(name == "RUN" and "/opt/faceanon/bin:$PATH' > /etc/profile.d/" in rest for name, rest in steps):
        found.append("a login shell, from which Ray is started, does not find it")
    if not any(name == "RUN" and "--constraint constraints.txt" in rest for name, rest in steps):
        found.append("packages are not pinned")
    found += [f"sent to the builder: {path}" for path in SECRETS if sent(path, ignore)]
    return found


def lint(recipe: str) -> str:
    done = subprocess.run([Path(sys.executable).parent / "hadolint", "-"], input=recipe, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_the_recipe_holds():
    """The linter says nothing, our rules say nothing."""
    assert lint(RECIPE) == ""
    assert problems(RECIPE) == []


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("python:3.11.14-slim-bookworm", "python", "the base is not pinned: python"),
        ("python:3.11.14-slim-bookworm", "python:latest", "the base is not pinned: python:latest"),
        ("USER 1000:1000\n", "", "it runs as root"),
        ("USER 1000:1000", "USER root", "it runs as root"),
        ("USER 1000:1000", "USER faceanon", "it runs as root"),
        ("COPY faceanon ./faceanon", "COPY facenon ./faceanon", "COPY of what is not there: facenon"),
        ("COPY faceanon ./faceanon", "COPY tests ./tests", "COPY of what is not sent: tests"),
        ("COPY faceanon ./faceanon", "ADD faceanon.tar.gz ./faceanon", "ADD fetches and unpacks"),
        ("ARG PIP_EXTRA_INDEX_URL", "ARG INDEX_PASSWORD=", "a secret would stay in the image"),
        (" --constraint constraints.txt", "", "packages are not pinned"),
        ("/etc/profile.d/", "/etc/", "a login shell, from which Ray is started, does not find it"),
    ],
)
def test_a_planted_mistake_is_caught(old, new, sentence):
    """Each of these builds, and must not be shipped."""
    assert old in RECIPE

    assert any(sentence in problem for problem in problems(RECIPE.replace(old, new))), problems(RECIPE.replace(old, new))


def test_an_open_context_is_caught():
    """Without the list of what may be sent, keys and history would reach the builder."""
    assert len(problems(RECIPE, ignore="__pycache__\n")) >= 5


def test_the_linter_looks():
    """The linter is really asked: it dislikes a package that is left in the cache and a relative folder."""
    assert "DL3009" in lint("FROM debian:12.9\nRUN apt-get update && apt-get install -y --no-install-recommends wget=1.0\n")
    assert "DL3000" in lint("FROM debian:12.9\nWORKDIR src\n")
