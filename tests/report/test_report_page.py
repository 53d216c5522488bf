"""The page in a real browser: it opens, sorts, filters, unfolds, complains of nothing and asks for nothing."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import ledger_cases as cases
import numpy as np
import pytest
from support.browser import opened_page

from faceanon.archive.store import open_store
from faceanon.cli import main
from faceanon.estimate.simulate import simulate
from faceanon.flow.evidence import Notary
from faceanon.ledger.commit import commit_quarantined
from faceanon.ledger.evidence_note import Signer
from faceanon.ledger.fold import fold
from faceanon.media.clips import write_clip
from faceanon.report import gather, page, pictures

EMPTY = {name: {"any": []} for name in ("quarantine", "models", "runs", "verdicts", "retention", "holds")}
TRACKS = {
    "label": ["person-a", "person-b", "person-a"], "method": ["swap", "obscured", "swap"], "first": [0, 10, 60], "stop": [50, 40, 99], "replaced": [50, 0, 30],
    "obscured": [0, 30, 9], "repaired": [0, 0, 9], "width": [90.0, 20.0, 80.0], "score": [0.9, 0.4, 0.8], "distance": [0.8, None, 0.7],
}  # fmt: skip


def made_up(count: int) -> dict:
    """An overview of `count` videos, every seventh in quarantine, every third with obscured faces, every fifth repaired."""
    numbers = range(count)
    videos = {
        "name": [f"camera-{n % 7}/video-{n:05d}.mp4" for n in numbers],
        "state": ["quarantined" if n % 7 == 6 else "published" for n in numbers],
        "collection": [f"camera-{n % 7}" for n in numbers],
        "seconds": [10.0 + n for n in numbers],
        "frames": [100 for _ in numbers],
        "engine": ["swap" for _ in numbers],
        "people": [2 for _ in numbers],
        "tracks": [3 for _ in numbers],
        "replaced": [80 for _ in numbers],
        "obscured": [39 if n % 3 == 0 else 0 for n in numbers],
        "repaired": [9 if n % 5 == 0 else 0 for n in numbers],
        "day": ["2026-01-01 10:00" for _ in numbers],
        "reason": ["publish: the auditor still sees a face" if n % 7 == 6 else None for n in numbers],
        "verdict": ["pass" for _ in numbers],
        "auditor": ["centerface" for _ in numbers],
        "file": ["objects/a.mp4" for _ in numbers],
        "record": [None if n % 7 == 6 else f"record-{n}" for n in numbers],
    }
    totals = dict.fromkeys(("videos", "published", "quarantined", "hours", "frames", "bytes", "people", "tracks", "replaced", "obscured", "repaired_videos"), 1234)
    days = {"day": ["2026-01-01", "2026-01-02"], "videos": [5, 6], "faces": [70, 80], "frames": [900, 800], "cpu_s": [30.0, None]}
    quarantine = {"stage": ["publish"], "reason": ["the auditor still sees a face"], "videos": [count // 7], "first": ["camera-6/video-00006.mp4"]}
    proof = {"checked": True, "problems": [], "words": "Verified."}
    return {**EMPTY, "totals": totals | {"videos": count}, "videos": videos, "days": days, "quarantine": quarantine, "out": "out", "made_at": "now", "proof": proof}


def written(folder: Path, overview: dict, shown: dict[str, bytes] | None = None) -> Path:
    path = folder / "report.html"
    entries = ({"shots": [55, 100], "tracks": TRACKS} if record else None for record in overview["videos"]["record"])
    path.write_text("".join(page.build(overview, entries, shown or {})), encoding="utf-8")
    return path


def test_a_person_can_look_for_videos_and_into_them(tmp_path):
    """Search, filters, sorting, paging and unfolding do what they say; a video's timeline and frames show; the console is silent."""
    jpeg = cv2.imencode(".jpg", np.full((20, 60, 3), 120, np.uint8))[1].tobytes()
    path = written(tmp_path, made_up(130), {"record-8": jpeg})

    with opened_page() as (tab, complaints):
        tab.goto(path.as_uri())
        tab.wait_for_selector("body[data-ready]")
        rows = tab.locator("#videos tbody tr.row")
        assert (rows.count(), tab.inner_text("#page")) == (50, "page 1 of 3")
        tab.click("#next")
        tab.click("#next")
        assert (rows.count(), tab.locator("#next").is_disabled()) == (30, True)

        tab.click("#videos th[data-column=seconds] button")  # numbers begin with the largest
        assert "video-00129" in rows.first.inner_text()
        tab.click("#videos th[data-column=seconds] button")
        assert "video-00000" in rows.first.inner_text()
        assert tab.get_attribute("#videos th[data-column=seconds]", "aria-sort") == "ascending"

        tab.select_option("#state", "quarantined")
        assert tab.inner_text("#count") == f"{130 // 7} videos"
        rows.first.click()
        assert "still sees a face" in tab.inner_text("#videos tr.detail")
        tab.select_option("#state", "")
        tab.select_option("#kind", "repaired")
        assert tab.inner_text("#count") == "26 videos"
        tab.select_option("#kind", "")
        tab.fill("#search", "CAMERA-1 00008")
        assert rows.count() == 1

        rows.first.press("Enter")
        tab.wait_for_selector("#videos tr.detail svg")
        assert tab.locator("#videos tr.detail svg rect.new").count() == 2
        assert tab.locator("#videos tr.detail svg rect.hidden").count() == 2
        assert tab.locator("#videos tr.detail svg rect.mend").count() == 1
        assert tab.locator("#videos tr.detail svg line.cut").count() == 1
        assert tab.locator("#videos tr.detail svg title").first.text_content().startswith("person-a: frames 0 to 49, replaced in 50")
        assert tab.eval_on_selector("#videos tr.detail img", "image => image.naturalWidth") == 60
        assert tab.locator("#plot-faces circle").count() == 2
        assert tab.locator("#plot-rate circle").count() == 1
        assert complaints == []


def test_ten_thousand_videos_open_within_two_seconds(tmp_path):
    """A long table is paged, timelines are unpacked when they are wanted, also of the last video."""
    path = written(tmp_path, made_up(10_000))

    with opened_page() as (tab, complaints):
        tab.goto("about:blank")
        began = time.monotonic()
        tab.goto(path.as_uri())
        tab.wait_for_selector("body[data-ready]")
        took_s = time.monotonic() - began
        busy_s = tab.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd") / 1000
        tab.fill("#search", "video-09999")
        tab.locator("#videos tbody tr.row").first.click()
        tab.wait_for_selector("#videos tr.detail svg")

    assert complaints == []
    assert min(took_s, busy_s) < 2


def test_names_are_text_wherever_they_come_from(tmp_path):
    """A video called like a script is shown as it is called, and runs nothing."""
    overview = made_up(1)
    name = "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">.mp4"
    overview["videos"]["name"] = overview["quarantine"]["first"] = [name]

    with opened_page() as (tab, complaints):
        tab.goto(written(tmp_path, overview).as_uri())
        tab.wait_for_selector("body[data-ready]")
        assert tab.title() == "faceanon report"
        assert name in tab.inner_text("#videos tbody")
        assert name in tab.inner_text("#list-quarantine")
        assert complaints == []


def test_nothing_is_asked_of_the_network(tmp_path):
    """The file holds no address; the page's own rules forbid every connection."""
    text = written(tmp_path, made_up(3)).read_text()

    assert "default-src 'none'" in text
    assert "https://" not in text
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
    with opened_page() as (tab, _):
        asked: list[str] = []
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto((tmp_path / "report.html").as_uri())
        tab.wait_for_selector("body[data-ready]")
        tab.wait_for_timeout(300)
        assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


@pytest.fixture(scope="module")
def ledger(tmp_path_factory) -> Path:
    """Fifty published videos of twenty segments each, made up."""
    folder = tmp_path_factory.mktemp("ledger")
    simulate(1000, folder)
    return folder / "out"


def test_the_ledger_is_what_is_shown(ledger, tmp_path, capsys):
    """Counts of the page are the ledger's; the newest videos are listed, and no more than asked for."""
    assert main(["report", str(ledger), "--to", str(tmp_path / "page.html"), "--videos", "20", "--verify", "none"]) == 0

    assert "50 videos, 0 of them with pictures" in capsys.readouterr().out
    overview = gather.overview(gather.asker(str(ledger)), 20)
    assert [overview["totals"][name] for name in ("videos", "published", "quarantined", "tracks")] == [50, 50, 0, 1000]
    assert len(overview["videos"]["name"]) == 20
    entries = list(gather.timelines(gather.asker(str(ledger)), overview["videos"]["record"]))
    assert [len(entry["shots"]) for entry in entries] == [20] * 20
    assert all(len(entry["tracks"]["label"]) == 20 for entry in entries)
    with opened_page() as (tab, complaints):
        tab.goto((tmp_path / "page.html").as_uri())
        tab.wait_for_selector("body[data-ready]")
        assert tab.inner_text("#count") == "20 videos of the newest 20; the ledger knows 50"
        tab.locator("#videos tbody tr.row").first.click()
        tab.wait_for_selector("#videos tr.detail svg title", state="attached")
        assert tab.locator("#videos tr.detail svg title").count() == 20
        assert complaints == []


def test_what_was_tampered_with_is_said_first(tmp_path, capsys):
    """A ledger that holds is called verified; a record that was changed makes the page say so, in its head and by name."""
    store = open_store(str(tmp_path / "out"))
    commit_quarantined(store, cases.refused())
    fold(store.root, store)
    Notary(Signer.from_seed(bytes(32)), None, 0).seal(store)
    victim = next((tmp_path / "out" / "ledger" / "records").rglob("*.json"))

    for number, kind in enumerate(("good", "bad")):
        file = tmp_path / f"{number}.html"
        assert main(["report", str(tmp_path / "out"), "--to", str(file)]) == 0
        assert ("problems" in capsys.readouterr().out) == (kind == "bad")
        with opened_page() as (tab, complaints):
            tab.goto(file.as_uri())
            tab.wait_for_selector("body[data-ready]")
            assert kind in tab.get_attribute("#proof", "class").split()
            if kind == "bad":
                assert victim.stem in tab.text_content("#list-evidence-problems")
            assert complaints == []
        victim.write_bytes(victim.read_bytes() + b" ")


def test_pictures_are_of_outputs_and_one_that_is_missing_is_left_out(tmp_path):
    """Six frames side by side of each object that can be read."""
    (tmp_path / "objects").mkdir()
    write_clip(tmp_path / "objects" / "a.mp4", [np.full((90, 160, 3), 10 * n, np.uint8) for n in range(24)])

    found = dict(pictures.sheets(open_store(str(tmp_path)), [("one", "objects/a.mp4", 0.96), ("two", "objects/b.mp4", 1.0)]))

    assert list(found) == ["one"]
    image = cv2.imdecode(np.frombuffer(found["one"], np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (135, 6 * 240 + 5 * 3, 3)
    assert image[60, 100].mean() < 40 < image[60, -100].mean()
