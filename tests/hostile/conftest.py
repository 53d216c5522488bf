"""A loopback server that counts who comes, and a watch on files that nobody should open."""

from __future__ import annotations

import ctypes
import os
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

_IN_OPEN, _NONBLOCK = 0x20, os.O_NONBLOCK


@dataclass
class HttpCounter:
    """requests: connections that brought a request, of whatever kind."""

    port: int
    paths: list[str] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return len(self.paths)

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}/{name}"


@pytest.fixture
def http_counter():
    """Counts requests on loopback."""
    counter = HttpCounter(0)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            counter.paths.append(self.path)
            self.send_response(404)
            self.end_headers()

        do_HEAD = do_POST = do_GET

        def log_message(self, *_):
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    counter.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield counter
    server.shutdown()
    server.server_close()
    thread.join()


class OpenWatch:
    """Tells by inotify whether any process opened a file since the watch began."""

    def __init__(self, path: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._handle = libc.inotify_init1(_NONBLOCK)
        if self._handle < 0 or libc.inotify_add_watch(self._handle, os.fsencode(path), _IN_OPEN) < 0:
            raise OSError(ctypes.get_errno(), "inotify")

    def was_opened(self) -> bool:
        try:
            return bool(os.read(self._handle, 4096))
        except BlockingIOError:
            return False

    def close(self) -> None:
        os.close(self._handle)


@pytest.fixture
def watched(tmp_path):
    """Makes watches, and ends them."""
    made: list[OpenWatch] = []

    def watch(path: Path) -> OpenWatch:
        made.append(OpenWatch(path))
        return made[-1]

    yield watch
    for entry in made:
        entry.close()
