"""A small HTTP proxy that stands before a real S3 server and misbehaves on demand.

    with FaultProxy(s3_server["AWS_ENDPOINT_URL"]) as proxy:        # or the fixtures `fault_proxy` and `faulty_root`
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        proxy.fault("503", method="PUT", key=r"/objects/", count=2)
        ...
        assert proxy.count("PUT", "/objects/") == 3

A rule takes requests by method (regular expression, "" = any), by key (regular expression searched in the path with its query, percent
signs decoded) and by count (the first `count` of them, after letting `after` pass; LASTING = all). The first rule that takes a request
decides. What a rule can do (ACTIONS):

503, 500, 409   that status with S3's error document; the server never sees the request
412             the server carries the request out, and the client is told "precondition failed": as when a first reply was lost
lost            the server carries the request out, and the connection ends without an answer: the client's retry meets its own object
pretend         where the server answers 412, the client is told that it won: a store that ignores conditions
cut upload      half of the body reaches the server, then both connections end
cut download    the head and half of the body come back, then the connection ends
slow            waits `delay_s`, then goes on as usual
drop            the connection ends at once
hold            waits until `proxy.release()` (or the proxy ends), then goes on as usual; `proxy.held` is set while one waits

Host and all signed headers pass untouched, so signatures stay valid. `seen` holds one Seen for each request, in order of arrival.
"""

from __future__ import annotations

import hashlib
import http.client
import re
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import pytest

LASTING = 1 << 30
_CODES = {"503": "SlowDown", "500": "InternalError", "409": "ConditionalRequestConflict", "412": "PreconditionFailed"}
ACTIONS = (*_CODES, "lost", "pretend", "cut upload", "cut download", "slow", "drop", "hold")
_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "expect"})
_CHUNK_BYTES = 1 << 16


@dataclass
class Rule:
    action: str
    method: str
    key: str
    count: int
    after: int
    delay_s: float
    met: int = 0
    used: int = 0

    def takes(self, method: str, key: str) -> bool:
        if not (re.fullmatch(self.method or ".*", method) and re.search(self.key, key)):
            return False
        self.met += 1
        if self.met <= self.after or self.used >= self.count:
            return False
        self.used += 1
        return True


@dataclass
class Seen:
    """One request. key: path and query, decoded. bytes_up and bytes_down: bodies as far as they passed. action: what was done to it, "" = nothing."""

    method: str
    key: str
    action: str
    headers: dict[str, str]
    status: int = 0
    bytes_up: int = 0
    bytes_down: int = 0


@dataclass
class FaultProxy:
    upstream: str
    seen: list[Seen] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._gate = threading.Event()
        self.held = threading.Event()
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": self}))
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> FaultProxy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def fault(self, action: str, *, method: str = "", key: str = "", count: int = 1, after: int = 0, delay_s: float = 0.0) -> Rule:
        """From now on. The rule that is returned counts how often it was `used`."""
        assert action in ACTIONS, action
        rule = Rule(action, method, key, count, after, delay_s)
        with self._lock:
            self.rules.append(rule)
        return rule

    def clear(self) -> None:
        """No more faults; what was seen is forgotten, too."""
        with self._lock:
            self.rules.clear()
            self.seen.clear()

    def release(self) -> None:
        """Lets what is held, and what would be held later, go on."""
        self._gate.set()

    def count(self, method: str = "", key: str = "") -> int:
        return len(self.matching(method, key))

    def bytes_down(self, method: str = "", key: str = "") -> int:
        return sum(s.bytes_down for s in self.matching(method, key))

    def matching(self, method: str = "", key: str = "") -> list[Seen]:
        with self._lock:
            return [s for s in self.seen if re.fullmatch(method or ".*", s.method) and re.search(key, s.key)]

    def admit(self, method: str, key: str, headers: dict[str, str]) -> tuple[Seen, Rule | None]:
        with self._lock:
            rule = next((r for r in self.rules if r.takes(method, key)), None)
            seen = Seen(method, key, rule.action if rule else "", headers)
            self.seen.append(seen)
        return seen, rule

    def wait(self) -> None:
        self.held.set()
        self._gate.wait()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address) -> None:
        """A client that goes away in the middle is a matter of course here."""


class _Handler(BaseHTTPRequestHandler):
    proxy: FaultProxy
    protocol_version = "HTTP/1.1"

    def _handle(self) -> None:
        seen, rule = self.proxy.admit(self.command, unquote(self.path), {k.lower(): v for k, v in self.headers.items()})
        action = rule.action if rule else ""
        if action == "slow":
            time.sleep(rule.delay_s)
        elif action == "hold":
            self.proxy.wait()
        elif action == "drop":
            self._hang_up()
            return
        if action in ("503", "500", "409"):
            self._body(seen)
            self._refuse(seen, int(action))
            return
        self._pass_on(seen, action)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _handle

    def _pass_on(self, seen: Seen, action: str) -> None:
        parts = urlsplit(self.proxy.upstream)
        upstream = http.client.HTTPConnection(parts.hostname, parts.port, timeout=120)
        try:
            body = self._body(seen, half=action == "cut upload")
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in _HOP:
                    upstream.putheader(name, value)
            upstream.endheaders()
            upstream.send(body)
            if action == "cut upload":
                self._hang_up()
                return
            answer = upstream.getresponse()
            if action == "lost":
                answer.read()
                self._hang_up()
            elif action == "412":
                answer.read()
                self._refuse(seen, 412)
            elif action == "pretend" and answer.status == 412:
                answer.read()
                self._pretend(seen, body)
            else:
                self._answer(seen, answer, half=action == "cut download")
        finally:
            upstream.close()

    def _body(self, seen: Seen, half: bool = False) -> bytes:
        size = int(self.headers.get("Content-Length") or 0)
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            raise NotImplementedError("S3 clients say how long a body is")
        data = self.rfile.read(size // 2 if half else size)
        seen.bytes_up = len(data)
        return data

    def _answer(self, seen: Seen, answer: http.client.HTTPResponse, half: bool) -> None:
        length = answer.getheader("Content-Length")
        whole = None if length is not None or self.command == "HEAD" else answer.read()
        seen.status = answer.status
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP:
                self.send_header(name, value)
        if whole is not None and answer.status not in (204, 304):
            self.send_header("Content-Length", str(len(whole)))
        self.end_headers()
        for data in _pieces(answer, int(length or 0) // (2 if half else 1)) if whole is None else [whole]:
            self.wfile.write(data)
            seen.bytes_down += len(data)
        if half:
            self._hang_up()

    def _refuse(self, seen: Seen, status: int) -> None:
        code = _CODES[str(status)]
        self._document(seen, status, "" if self.command == "HEAD" else f"<Error><Code>{code}</Code><Message>{code}, says the proxy</Message></Error>")

    def _pretend(self, seen: Seen, body: bytes) -> None:
        tag = f'"{hashlib.md5(body).hexdigest()}"'
        document = f"<CompleteMultipartUploadResult><ETag>{tag}</ETag></CompleteMultipartUploadResult>" if self.command == "POST" else ""
        self._document(seen, 200, document, ETag=tag)

    def _document(self, seen: Seen, status: int, text: str, **headers: str) -> None:
        seen.status = status
        data = text.encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _hang_up(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:  # the client was quicker
            return

    def log_message(self, *_: object) -> None:
        """Quiet; `seen` tells."""


def _pieces(answer: http.client.HTTPResponse, size: int) -> Iterator[bytes]:
    while size > 0 and (data := answer.read(min(size, _CHUNK_BYTES))):
        size -= len(data)
        yield data


@pytest.fixture
def fault_proxy(s3_server) -> Iterator[FaultProxy]:
    """A proxy before the session's server, without faults."""
    with FaultProxy(s3_server["AWS_ENDPOINT_URL"]) as proxy:
        yield proxy


@pytest.fixture
def faulty_root(s3_root, fault_proxy, monkeypatch) -> str:
    """A root of this test's own, reached through `fault_proxy`."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", fault_proxy.endpoint)
    return s3_root
