"""Command lines of ours inside YAML, unit files, Dockerfile and README, parsed by the program that they call."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
from collections.abc import Iterator

from faceanon.cli import JOBS

_JOBS = "|".join(sorted({*JOBS, "retention", "store", "sweep", "plan"}))
_OURS = re.compile(rf"(?<![\w/.\-:])(?:/opt/faceanon/bin/)?faceanon ((?:{_JOBS})\b[^\n;&|`)#]*)")


def ours(text: str) -> list[list[str]]:
    """Every `faceanon JOB ...` of a text as its arguments."""
    return [shlex.split(match[1].replace("\\", "")) for match in _OURS.finditer(text)]


def refusal(arguments: list[str]) -> str:
    """Why the program would not take these arguments; "" where it does."""
    if arguments[0] not in JOBS:
        return f"no such job: {arguments[0]}"
    parser = _Parser()
    importlib.import_module(f"faceanon.commands.{arguments[0]}").add_arguments(parser)
    try:
        parser.parse_args(arguments[1:])
    except _Refused as refused:
        return str(refused)
    return ""


def strings(value: object) -> Iterator[str]:
    """Every string inside nested lists and dicts."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for entry in value.values():
            yield from strings(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from strings(entry)


class _Refused(Exception):
    pass


class _Parser(argparse.ArgumentParser):
    def error(self, message: str):
        raise _Refused(message)
