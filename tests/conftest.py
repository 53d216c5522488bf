"""Shared fixtures. `tests/` is on the path, so that helpers are imported as `support.…`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("OMP_NUM_THREADS", "1")

from support.fault_proxy import fault_proxy, faulty_root  # noqa: F401 (a proxy before that server that misbehaves on demand)
from support.s3_server import s3_root, s3_server  # noqa: F401 (fixtures for every test; one server a session)
