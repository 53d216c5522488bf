"""The review page over HTTP, for one person on this machine: 127.0.0.1 only, and only who knows the token of the URL.

    GET  /TOKEN/                     the page; review.css and review.js beside it
    GET  /TOKEN/state                JSON: who reviews what, what waits, how far a job is
    GET  /TOKEN/places               JSON: videos with their places
    GET  /TOKEN/frame/RECORD/N.jpg   one anonymized frame
    GET  /TOKEN/boxes/RECORD/WINDOW  JSON: where faces were covered
    POST /TOKEN/approve | decide | correct | render

A request with another Host (a name that somebody pointed here), from another page, without the token, or with a path that is not one of these is
refused, and is told nothing. A path is matched as it stands: nothing of it ever names a file.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any

from faceanon.report.review_desk import NOTE_LETTERS, Desk, Refused

log = logging.getLogger("faceanon")

HOST = "127.0.0.1"
_BODY_BYTES = 16_384
_TIMEOUT_S = 30.0
_FILES = {"": ("review.html", "text/html"), "review.css": ("review.css", "text/css"), "review.js": ("review.js", "text/javascript")}
_FRAME = re.compile(r"frame/([0-9a-f]{32}-[0-9]{6,12})/([0-9]{1,9})\.jpg", re.ASCII)
_BOXES = re.compile(r"boxes/([0-9a-f]{32}-[0-9]{6,12})/([0-9]{1,9})", re.ASCII)
_POSTS = ("approve", "decide", "correct", "render")
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class ReviewServer(ThreadingHTTPServer):
    """Bound when made; `serve_forever` answers. port: 0 for any that is free."""

    daemon_threads = True

    def __init__(self, desk: Desk, port: int) -> None:
        super().__init__((HOST, port), _Handler)
        self.desk = desk
        self.token = secrets.token_urlsafe(24)

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(f"{name}:{self.server_port}" for name in (HOST, "localhost"))

    @property
    def url(self) -> str:
        return f"http://{self.hosts[0]}/{self.token}/"


class _Handler(BaseHTTPRequestHandler):
    server: ReviewServer
    protocol_version = "HTTP/1.1"
    timeout = _TIMEOUT_S

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def do_other(self) -> None:
        self._answer(self._wrong_method)

    do_HEAD = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_TRACE = do_CONNECT = do_other

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the library itself refuses, before a request is one."""
        self._refuse(code, message or HTTPStatus(code).phrase)

    def version_string(self) -> str:
        return "faceanon"

    def log_message(self, *_: Any) -> None:
        """Request lines hold the token: they are not logged."""

    def _answer(self, act: Any) -> None:
        try:
            act(self._below())
        except Refused as refusal:
            self._refuse(refusal.status, str(refusal))
        except (BrokenPipeError, ConnectionError, TimeoutError):
            self.close_connection = True
        except Exception as error:
            log.exception("review: %s", self.command)
            self._refuse(500, f"{type(error).__name__}: {error}")

    def _below(self) -> str:
        """The path below the token. Raises Refused for a stranger."""
        if self.headers.get_all("Host") not in [[host] for host in self.server.hosts]:
            raise Refused(403, "this is not the host that was asked for")
        token, slash, rest = self.path.removeprefix("/").partition("/")
        if not slash or not secrets.compare_digest(token.encode("utf-8", "replace"), self.server.token.encode()):
            raise Refused(403, "the address lacks its token; take it from where the page was started")
        return rest

    def _get(self, path: str) -> None:
        desk = self.server.desk
        if path in _FILES:
            name, kind = _FILES[path]
            self._send(200, (resources.files("faceanon.report") / "static" / name).read_bytes(), f"{kind}; charset=utf-8")
        elif path == "state":
            self._send_json(desk.state())
        elif path == "places":
            self._send_json(desk.places())
        elif found := _FRAME.fullmatch(path):
            self._send(200, desk.jpeg(found[1], int(found[2])), "image/jpeg")
        elif found := _BOXES.fullmatch(path):
            self._send_json(desk.boxes(found[1], int(found[2])))
        elif path in _POSTS:
            self._wrong_method(path)
        else:
            raise Refused(404, "there is nothing here")

    def _post(self, path: str) -> None:
        if path not in _POSTS:
            self._wrong_method(path) if path in (*_FILES, "state", "places") else self._refuse(404, "there is nothing here")
            return
        if self.headers.get("Origin", f"http://{self.headers['Host']}") != f"http://{self.headers['Host']}":
            raise Refused(403, "another page may not ask for this")
        asked = self._body()
        desk = self.server.desk
        if path == "render":
            desk.render()
            self._send_json(desk.state())
        elif path == "approve":
            self._send_json(desk.approve(_text(asked, "record"), _whole(asked, "track")))
        elif path == "decide":
            self._send_json(desk.decide(_text(asked, "record"), _text(asked, "decision"), _text(asked, "reason")))
        else:
            box = [_whole({"edge": edge}, "edge") for edge in asked["box"]] if isinstance(asked.get("box"), list) else []
            if len(box) != 4:
                raise Refused(400, "box is a list of four whole numbers")
            self._send_json(desk.correct(_text(asked, "record"), _whole(asked, "first"), _whole(asked, "stop"), box, _text(asked, "note")))

    def _wrong_method(self, path: str) -> None:
        self._refuse(405, "this is asked in another way", {"Allow": "POST" if path in _POSTS else "GET"})

    def _body(self) -> dict[str, Any]:
        if self.headers.get_content_type() != "application/json":
            raise Refused(415, "a wish is JSON")
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"[0-9]{1,9}", length, re.ASCII):
            raise Refused(411, "how long it is must be said")
        if int(length) > _BODY_BYTES:
            raise Refused(413, "too long")
        try:
            asked = json.loads(self.rfile.read(int(length)))
        except ValueError as error:
            raise Refused(400, "is not JSON") from error
        if not isinstance(asked, dict):
            raise Refused(400, "a wish is a JSON object")
        return asked

    def _send_json(self, value: object) -> None:
        self._send(200, json.dumps(value, separators=(",", ":")).encode(), "application/json")

    def _refuse(self, status: int, reason: str, headers: dict[str, str] | None = None) -> None:
        """And hang up: what else the request said is not read."""
        self.close_connection = True
        self._send(status, json.dumps({"reason": reason}).encode(), "application/json", {**(headers or {}), "Connection": "close"})

    def _send(self, status: int, body: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**_HEADERS, **(headers or {}), "Content-Type": kind, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _text(asked: dict[str, Any], name: str) -> str:
    """A short line of text; "" where there is none."""
    value = asked.get(name, "")
    if not isinstance(value, str) or len(value) > NOTE_LETTERS or not value.isprintable():
        raise Refused(400, f"{name} is one line of text, of at most {NOTE_LETTERS} letters")
    return value.strip()


def _whole(asked: dict[str, Any], name: str) -> int:
    value = asked.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not -1 <= value < 1 << 31:
        raise Refused(400, f"{name} is a whole number")
    return value
