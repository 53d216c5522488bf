from __future__ import annotations

from support.s3_server import s3_root, s3_server  # noqa: F401
