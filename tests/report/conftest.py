"""Records as the ledger's own tests make them; a small archive that a person has to look at."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "ledger"))


@pytest.fixture(scope="session")
def reviewed_home(tmp_path_factory) -> Path:
    """in/, out/ and key.json after a run; to be copied by who changes it."""
    import review_cases

    return review_cases.worked(tmp_path_factory.mktemp("review"))
