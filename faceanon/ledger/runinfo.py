"""Which run a record comes from; the one place of the ledger that asks the clock, the host and the user who they are."""

from __future__ import annotations

import getpass
import json
import os
import platform
import secrets
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata

import faceanon
from faceanon.core.settings import Settings

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@dataclass(frozen=True)
class RunInfo:
    """`started_at` is ISO 8601 in UTC; `scope` is the scope's setting, `actor` who started it. No field is a secret."""

    run_id: str
    started_at: str
    code_version: str
    settings_digest: str
    settings_json: str
    host_class: str
    keystore_id: str
    scope: str
    actor: str = ""
    ray_version: str = ""


def new_run(settings: Settings, keystore_id: str, *, command: str = "") -> RunInfo:
    """A run that starts now, on this machine; made once, by the driver, and handed to every worker."""
    return RunInfo(
        run_id=new_run_id(),
        started_at=datetime.now(UTC).isoformat(timespec="microseconds"),
        code_version=faceanon.__version__,
        settings_digest=settings.digest(),
        settings_json=json.dumps(asdict(settings), sort_keys=True),
        host_class=f"{platform.system().lower()}-{platform.machine()}-{os.cpu_count()}cpu",
        keystore_id=keystore_id,
        scope=settings.identity.scope,
        actor=f"{_user()} {command}".strip(),
        ray_version=_version_of("ray"),
    )


def new_run_id() -> str:
    """A ULID: 26 letters that sort by time."""
    value = int(time.time() * 1000) << 80 | secrets.randbits(80)
    return "".join(_CROCKFORD[value >> shift & 31] for shift in range(125, -1, -5))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user may have a number and no name
        return f"uid {os.getuid()}"


def _version_of(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
