from __future__ import annotations

import tomllib

import pytest

from faceanon.core.errors import SettingsError
from faceanon.core.settings import Settings, describe, from_table, load


def test_described_settings_load_back():
    """What `faceanon settings` prints is a settings file."""
    settings = Settings().with_values(render__engine="blur", encode__threads=3)

    assert from_table(tomllib.loads(describe(settings))) == settings


@pytest.mark.parametrize(
    ("table", "part"),
    [
        ({"rendr": {}}, "no such section"),
        ({"render": {"engin": "blur"}}, "no such setting: render.engin"),
        ({"render": {"engine": "blurr"}}, "one of swap, blur"),
        ({"encode": {"threads": "two"}}, "must be int"),
        ({"encode": {"threads": True}}, "must be int"),
        ({"verify": {"auditor": "yunet"}}, "must differ"),
        ({"detect": {"every": 3}}, "detect.every"),
        ({"evidence": {"lock_days": 1}}, "needs an evidence.mirror"),
        ({"evidence": {"lock_days": -1}}, "evidence.lock_days"),
        ({"ledger": {"boxes_days": -1}}, "ledger.boxes_days"),
        ({"c2pa": {"key": "k.pem"}}, "go together"),
    ],
)
def test_a_wrong_settings_table_is_named(table, part):
    """A mistake in the settings is an error that names section and key, never ignored."""
    with pytest.raises(SettingsError, match=part):
        from_table(table)


def test_only_what_can_change_bytes_enters_the_digest():
    """Workers and what the ledger keeps do not change the digest; quality does."""
    base = Settings()

    assert base.with_values(run__workers=7, ledger__boxes_days=1, evidence__mirror="s3://b").digest() == base.digest()
    assert base.with_values(encode__quality=30).digest() != base.digest()


def test_a_missing_settings_file_is_named(tmp_path):
    """The error names the file that cannot be read."""
    with pytest.raises(SettingsError, match=r"nothere\.toml"):
        load(tmp_path / "nothere.toml")
