"""What commands about an OUT have in common: the settings file is read, and a place without a ledger is refused by name."""

from __future__ import annotations

import pytest

from faceanon.cli import main

COMMANDS = {
    "query": ["query", "OUT", "--list"],
    "trace": ["trace", "OUT/videos/a.mp4", "--output", "OUT"],
    "export": ["export", "OUT", "--run", "01RUN"],
    "verify": ["verify", "OUT"],
    "report": ["report", "OUT"],
    "audit": ["audit", "OUT"],
    "review": ["review", "OUT"],
    "retention": ["retention", "plan", "OUT"],
}


def told(words: list[str], out, capsys) -> str:
    """What a command that cannot begin says."""
    assert main([word.replace("OUT", str(out)) for word in words]) == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_a_place_without_a_ledger_is_named(name, tmp_path, capsys):
    """Exit 2, before anything is done there."""
    assert f"{tmp_path}: holds no ledger" in told(COMMANDS[name], tmp_path, capsys)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - {"query"}))
def test_a_settings_file_is_read_first(name, tmp_path, capsys):
    """A file that is not TOML is an error of that file, whichever command was given it."""
    settings = tmp_path / "settings.toml"
    settings.write_text("nonsense")

    assert f"{settings}: is not TOML" in told([*COMMANDS[name], "--settings", str(settings)], tmp_path, capsys)
