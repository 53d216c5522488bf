"""What an alarm needs to know of retention, as a Prometheus textfile: when a run last went through, and how old the oldest overdue original is."""

from __future__ import annotations

import os
import secrets
from datetime import datetime
from pathlib import Path

from faceanon.core.errors import UsageError
from faceanon.retention.findings import Totals
from faceanon.retention.standing import State

_PREFIX = "faceanon_retention_"


def as_numbers(totals: Totals, last_success: datetime | None) -> dict[str, float]:
    """last_success: seconds since 1970, 0 for never. oldest_overdue: seconds since it should have been gone, 0 where nothing is overdue."""
    return {
        "last_success_timestamp_seconds": round(last_success.timestamp(), 3) if last_success else 0.0,
        "oldest_overdue_seconds": round(totals.oldest_overdue_s, 3),
        "overdue": float(totals.overdue),
    }


def as_text(totals: Totals, last_success: datetime | None) -> str:
    lines = []
    for name, value in as_numbers(totals, last_success).items():
        lines += [f"# TYPE {_PREFIX}{name} gauge", f"{_PREFIX}{name} {value:.3f}"]
    lines.append(f"# TYPE {_PREFIX}originals gauge")
    lines += [f'{_PREFIX}originals{{state="{state.value}"}} {totals.states[state.value]}' for state in State]
    return "\n".join(lines) + "\n"


def write(path: Path, text: str) -> None:
    """Whole or not at all: a collector may read at any time. Raises UsageError."""
    aside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        aside.write_text(text)
        os.replace(aside, path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise UsageError(f"cannot be written: {error.strerror}", source=str(path)) from error
