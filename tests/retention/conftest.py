"""No test of retention signs with the key of whoever runs it."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def no_keystore(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.delenv("FACEANON_KEY", raising=False)
