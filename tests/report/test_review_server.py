"""What the review server grants, and to whom: one person of this machine who holds the token, and nothing but what the page needs."""

from __future__ import annotations

import argparse
import http.client
import json
import socket
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from review_cases import BLUR, FIRST, MISSED, STOP, copy_of, served
from support.fake_archive import fake_models

from faceanon.archive.store import open_store
from faceanon.cli import main
from faceanon.commands import review
from faceanon.core.errors import UsageError
from faceanon.flow.proof import prove
from faceanon.ledger import corrections
from faceanon.ledger.events import events
from faceanon.report.review_frames import Frames
from faceanon.report.review_places import videos


class Raw(http.client.HTTPConnection):
    """Sends a path as it stands, byte for byte."""

    def _encode_request(self, request: str) -> bytes:
        return request.encode("latin-1")


def ask(server, method: str, path: str, body: object = None, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    """One request below the token, as the page makes it; headers replace its own, and "" leaves one out."""
    connection = Raw("127.0.0.1", server.server_port, timeout=20)
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    own = {"Host": f"127.0.0.1:{server.server_port}", "Content-Type": "application/json", "Content-Length": str(len(data))}
    connection.putrequest(method, path if path.startswith(("/", "http:")) else f"/{server.token}/{path}", skip_host=True, skip_accept_encoding=True)
    for name, value in {**own, **{name.replace("_", "-"): value for name, value in headers.items()}}.items():
        if value:
            connection.putheader(name, value)
    connection.endheaders(data)
    answer = connection.getresponse()
    found = answer.status, answer.read(), dict(answer.getheaders())
    connection.close()
    return found


def value(answer: tuple[int, bytes, dict[str, str]]) -> object:
    assert answer[0] == 200, answer[:2]
    return json.loads(answer[1])


@pytest.fixture(scope="module")
def server(reviewed_home):
    """Over a ledger that nobody changes."""
    with served(reviewed_home / "out", None) as running:
        yield running


def record_of(server, name: str) -> str:
    return next(video["record"] for video in value(ask(server, "GET", "places")) if video["name"] == name)


def test_uncertain_places_come_in_order(server):
    """The least sure video is first, each with its uncertain tracks; a video beyond doubt is left out, and no place of a file is told."""
    found = value(ask(server, "GET", "places"))

    assert [video["name"] for video in found] == ["pale.mp4", "mirror.mp4"]
    assert [place["kinds"] for video in found for place in video["places"]] == [["low score"]] * 2
    scores = [place["score"] for video in found for place in video["places"]]
    assert scores == sorted(scores)
    assert [(video["width"], video["height"], video["frames"]) for video in found] == [(192, 144, 20), (192, 144, 48)]
    assert "object" not in found[0]


def test_a_frame_is_the_outputs(server, reviewed_home):
    """Any frame by its number, also out of order, is that of the published file: the face is blurred in it."""
    record = record_of(server, "mirror.mp4")
    source, shown = (cv2.VideoCapture(str(reviewed_home / part / "mirror.mp4")) for part in ("in", "out/videos"))
    before, after = ([capture.read()[1] for _ in range(48)] for capture in (source, shown))

    for number in (47, 3, 24, 23):
        status, body, headers = ask(server, "GET", f"frame/{record}/{number}.jpg")
        assert (status, headers["Content-Type"]) == (200, "image/jpeg")
        image = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
        distances = [float(np.abs(image[:12].astype(int) - other[:12]).mean()) for other in after]  # a mark moves through the uppermost rows
        assert int(np.argmin(distances)) == number
        assert distances[number] < 6
        assert number != 3 or np.abs(image.astype(int) - before[3])[50:58, 52:74].max() > 50  # the eyes


def test_covers_are_told_as_far_as_they_are_known(server):
    """Boxes of the frames asked for, in whole px of the picture; none where nobody was covered."""
    record = record_of(server, "mirror.mp4")

    known, later = (value(ask(server, "GET", f"boxes/{record}/{window}")) for window in (0, 1))

    (track, x, y, w, h) = known["3"][0]
    assert track == 0
    assert x < 63 < x + w
    assert y < 60 < y + h
    assert later == {}


def test_nothing_is_kept_or_shared_by_a_browser(server):
    """Every answer says so, also a refusal; and none says who else may read it."""
    for path in ("", "review.js", "state", "nothing", "/"):
        headers = ask(server, "GET", path)[2]
        assert headers["Cache-Control"] == "no-store"
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'")
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert not [name for name in headers if name.lower().startswith("access-control")]
        assert headers["Server"] == "faceanon"


@pytest.mark.parametrize("path", ["/", "/state", "//state", "/wrong/state", "/?token=x", "/frame/x/1.jpg", "/\xe9/", "http://127.0.0.1/x/state"])
def test_without_the_token_nothing_is_told(server, path):
    """Refused, whatever is asked for."""
    status, body, _ = ask(server, "GET", path)

    assert status == 403
    assert b"faceanon review" not in body


def test_part_of_a_token_is_none(server):
    """The token counts as a whole, at its place."""
    assert ask(server, "GET", f"/{server.token[:-1]}/state")[0] == 403
    assert ask(server, "GET", f"/{server.token}x/state")[0] == 403
    assert ask(server, "GET", f"/{server.token}")[0] == 403
    assert ask(server, "GET", f"/x/{server.token}/state")[0] == 403


@pytest.mark.parametrize("host", ["", "evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "127.0.0.1.evil.example:{port}", "[::1]:{port}"])
def test_another_host_is_refused(server, host):
    """A name that somebody pointed at this machine opens nothing, even with the token."""
    assert ask(server, "GET", "state", Host=host.format(port=server.server_port))[0] == 403


def test_only_this_machine_is_served(server):
    """The socket is bound to the loopback address."""
    assert server.socket.getsockname()[0] == "127.0.0.1"
    assert ask(server, "GET", "state", Host=f"localhost:{server.server_port}")[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "state", 405), ("POST", "places", 405), ("POST", "", 405), ("GET", "approve", 405), ("GET", "render", 405), ("HEAD", "state", 405),
        ("PUT", "decide", 405),
        ("DELETE", "state", 405), ("OPTIONS", "decide", 405), ("TRACE", "state", 405), ("BREW", "state", 501), ("POST", "nothing", 404), ("GET", "nothing", 404),
    ],
)  # fmt: skip
def test_a_wrong_method_does_nothing(server, method, path, status):
    """Each address is asked in one way."""
    assert ask(server, method, path, {} if method == "POST" else None)[0] == status


@pytest.mark.parametrize(
    "path",
    [
        "../state", "..%2fstate", "%73tate", "state/", "state?x", "./state", "review.html", "../report.html", "..\\review.js", "frame/../../key.json",
        "frame/{record}/1.png", "frame/{record}/-1.jpg", "frame/{record}/1.jpg/../2.jpg", "frame/{record}/\xb2.jpg", "frame/{record}/99999999.jpg", "frame/{other}/1.jpg",
        "boxes/{record}/x", "boxes/{other}/0",
    ],
)  # fmt: skip
def test_a_path_is_taken_as_it_stands(server, path):
    """No detour, no other spelling, no file by its name."""
    words = {"record": record_of(server, "mirror.mp4"), "other": "0" * 32 + "-000001"}

    assert ask(server, "GET", f"/{server.token}/" + path.format(**words))[0] == 404


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Origin": "http://evil.example"}, {}, 403), ({"Origin": "null"}, {}, 403), ({"Content_Type": "text/plain"}, {}, 415), ({"Content_Type": ""}, {}, 415),
        ({"Content_Length": "99999"}, {}, 413), ({"Content_Length": "-1"}, {}, 411), ({"Content_Length": ""}, {}, 411), ({}, b"nonsense", 400), ({}, [], 400),
        ({}, {"record": 5}, 400), ({}, {"record": "a\nb"}, 400), ({}, {"record": "x" * 501}, 400), ({}, {"record": "x", "track": "1"}, 400),
        ({}, {"record": "x", "track": True}, 400), ({}, {"record": "x", "track": 0}, 404),
    ],
)  # fmt: skip
def test_a_wish_that_makes_no_sense_is_refused(server, headers, body, status):
    """Other pages, other types, other lengths and other values change nothing."""
    assert ask(server, "POST", "approve", body, **headers)[0] == status


@pytest.mark.parametrize(
    "change",
    [
        {"box": [0, 0, 9]}, {"box": [0, 0, 0, 9]}, {"box": [0, 0, 9, "9"]}, {"box": [500, 0, 600, 9]}, {"first": 9, "stop": 9}, {"first": 90, "stop": 95},
        {"first": None},
    ],
)  # fmt: skip
def test_a_region_of_nothing_is_refused(server, change):
    """A box within the picture, frames within the video."""
    wish = {"record": record_of(server, "mirror.mp4"), "first": 1, "stop": 3, "box": [1, 1, 9, 9], "note": ""} | change

    assert ask(server, "POST", "correct", wish)[0] == 400


def test_half_a_request_is_let_go(server):
    """Who says nothing sensible is told so, and the server goes on."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as line:
        line.sendall(b"\x16\x03\x01 what\r\n\r\n")
        assert b"reason" in line.recv(1000)
    assert ask(server, "GET", "state")[0] == 200


def test_nothing_was_written_by_all_of_this(server, reviewed_home):
    """After every refusal the ledger has no verdict of a reviewer and no correction."""
    store = open_store(str(reviewed_home / "out"))

    assert list(events(store, "verdicts")) == []
    assert corrections.known_ids(store) == {}


def test_without_keys_the_page_says_which_command_renders(server):
    """Nothing is rendered by a page that cannot open the keystore."""
    state = value(ask(server, "GET", "state"))

    assert state["can_render"] is False
    assert state["command"].startswith("faceanon review ")
    assert "--render --key-file" in state["command"]
    assert ask(server, "POST", "render", {})[0] == 409


def test_decisions_are_in_the_ledger_before_the_answer(reviewed_home, tmp_path):
    """A pass once every place was approved, a fail with a drawn region, no pass while it waits; who, why and when; nothing that looks like tampering."""
    out = copy_of(reviewed_home, tmp_path / "out")
    with served(out, None) as server:
        pale, mirror = record_of(server, "pale.mp4"), record_of(server, "mirror.mp4")
        assert value(ask(server, "POST", "approve", {"record": pale, "track": 0}))["said"] == "pass"
        assert [video.name for video in videos(open_store(str(out)), 50)] == ["mirror.mp4", "pale.mp4"]  # what somebody has looked at comes last
        wish = {"record": mirror, "first": FIRST, "stop": STOP + 100, "box": [*MISSED[:2], 4000, MISSED[3]], "note": "in the mirror"}
        answer = value(ask(server, "POST", "correct", wish))
        assert (answer["said"], answer["waits"], answer["drawn"]) == ("fail", True, [{"first": FIRST, "stop": 48, "box": [*MISSED[:2], 192, MISSED[3]]}])
        assert value(ask(server, "POST", "approve", {"record": mirror, "track": 0}))["said"] == "fail"
        assert ask(server, "POST", "decide", {"record": mirror, "decision": "pass"})[0] == 409
        assert ask(server, "POST", "decide", {"record": mirror, "decision": "fail"})[0] == 400
        assert value(ask(server, "GET", "state"))["waiting"] == ["mirror.mp4"]

    store = open_store(str(out))
    rows = sorted(events(store, "verdicts"), key=lambda row: row["at"])
    assert [(row["name"], row["decision"], row["reviewer"]) for row in rows] == [("pale.mp4", "pass", "ana"), ("mirror.mp4", "fail", "ana")]
    assert rows[1]["reason"].startswith(f"a face is visible in frames {FIRST} to 47: in the mirror; correction ")
    (ids,) = corrections.known_ids(store).values()
    assert rows[1]["reason"].endswith(ids[0])
    assert prove(store).problems == ()


def test_videos_are_listed_whole_up_to_the_limit(reviewed_home):
    """A limit in places never cuts a video's own."""
    store = open_store(str(reviewed_home / "out"))

    assert [video.name for video in videos(store, 1)] == ["pale.mp4"]
    assert [video.name for video in videos(store, 2)] == ["pale.mp4", "mirror.mp4"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--port", "70000"], "--port"), (["--limit", "0"], "--limit"), (["--reviewer", "a\nb"], "--reviewer"), (["--render", "--key-file", "no.json"], "no.json"),
    ],
)  # fmt: skip
def test_wrong_usage_is_said(reviewed_home, monkeypatch, tmp_path, capsys, options, words):
    """Before anything is served."""
    monkeypatch.chdir(tmp_path)

    assert main(["review", str(reviewed_home / "out"), *options]) != 0

    assert words in capsys.readouterr().err


def test_a_port_that_is_taken_is_said(server, reviewed_home, capsys):
    """Exit 2, with the number."""
    assert main(["review", str(reviewed_home / "out"), "--port", str(server.server_port)]) == UsageError.exit_code

    assert str(server.server_port) in capsys.readouterr().err


def test_no_ledger_no_review(tmp_path, capsys):
    """A folder where no job wrote is refused."""
    Path(tmp_path / "x").mkdir()

    assert main(["review", str(tmp_path / "x")]) == 2
    assert "no ledger" in capsys.readouterr().err




def test_rendering_needs_the_source_and_says_so(reviewed_home, tmp_path):
    """A source that is gone leaves the output as it is, without a quarantine; once it is back, the command without a page renders what waits."""
    out, source = copy_of(reviewed_home, tmp_path / "out"), reviewed_home / "in/mirror.mp4"
    view = (out / "videos/mirror.mp4").read_bytes()
    with served(out, reviewed_home / "key.json") as server:
        value(ask(server, "POST", "correct", {"record": record_of(server, "mirror.mp4"), "first": FIRST, "stop": STOP, "box": list(MISSED)}))
        source.rename(tmp_path / "away.mp4")
        try:
            value(ask(server, "POST", "render", {}))
            server.desk.thread.join(60)
        finally:
            (tmp_path / "away.mp4").rename(source)
        state = value(ask(server, "GET", "state"))
    assert (state["job"]["state"], state["waiting"]) == ("failed", ["mirror.mp4"])
    assert "the source cannot be read" in state["job"]["notes"][-1]
    assert (out / "videos/mirror.mp4").read_bytes() == view

    words = argparse.Namespace(out=str(out), port=0, reviewer="", limit=9, render=True, key_file=reviewed_home / "key.json", work=None, settings=None)
    assert [review.run(words, fake_models) for _ in range(2)] == [0, 0]

    assert (out / "videos/mirror.mp4").read_bytes() != view


def test_outputs_of_an_object_store_are_copied_and_removed(reviewed_home):
    """What is not a folder is downloaded once, to a folder that goes with the page."""
    store = open_store(str(reviewed_home / "out"))
    names = [video.object for video in videos(store, 50)]
    taken: list[str] = []

    def download(name: str, path: Path) -> None:
        taken.append(name)
        store.download(name, path)

    with Frames(SimpleNamespace(download=download), BLUR.plan) as frames:
        pictures = [frames.jpeg(name, number) for name in names for number in (0, 1, 12)]
        folder = Path(frames._folder.name)
        with pytest.raises(IndexError):
            frames.jpeg(names[0], 1000)
        assert len(list(folder.iterdir())) == len(names)
    assert all(picture[:2] == b"\xff\xd8" for picture in pictures)
    assert taken == names
    assert not folder.exists()
