"""Which run a record comes from. Whoever starts a run fills one in, once, and hands it to every worker."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@dataclass(frozen=True)
class RunInfo:
    """`started_at` is ISO 8601 in UTC; `scope` is the scope's setting, `actor` who started it. No field is a secret.

    git_commit, image_digest: of the code and of the container, where they are known.
    """

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
    git_commit: str = ""
    image_digest: str = ""


def new_run_id() -> str:
    """A ULID: 26 letters that sort by time."""
    value = int(time.time() * 1000) << 80 | secrets.randbits(80)
    return "".join(_CROCKFORD[value >> shift & 31] for shift in range(125, -1, -5))
