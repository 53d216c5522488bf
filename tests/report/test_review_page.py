"""A reviewer at work in a real browser: looks, steps, approves, draws what was missed, and sees it hidden."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect
from review_cases import FIRST, MISSED, STOP, copy_of, luma, served
from support.browser import opened_page

from faceanon.archive.store import open_store
from faceanon.flow.proof import prove
from faceanon.ledger.events import events
from faceanon.ledger.query import query

expect.set_options(timeout=30_000)


@pytest.fixture
def out(reviewed_home, tmp_path) -> Path:
    return copy_of(reviewed_home, tmp_path / "out")


def shown(tab, frame: int) -> None:
    """Waits until this frame is the one that is seen."""
    tab.wait_for_selector(f"body[data-shown$='/{frame}.jpg']")


def drag(tab, box: tuple[int, int, int, int], width: int, height: int) -> None:
    """Across a box of the picture, with the mouse."""
    area = tab.locator("#overlay").bounding_box()
    corners = [(area["x"] + x / width * area["width"], area["y"] + y / height * area["height"]) for x, y in (box[:2], box[2:])]
    tab.mouse.move(*corners[0])
    tab.mouse.down()
    tab.mouse.move(*corners[1], steps=4)
    tab.mouse.up()


def test_a_missed_face_is_drawn_and_gone_after_rendering(reviewed_home, out):
    """Open, step, approve, draw, render: decisions stand in the ledger, the region is painted in its frames alone, the console is silent."""
    before = luma(out / "videos/mirror.mp4")
    with served(out, reviewed_home / "key.json") as server, opened_page() as (tab, complaints):
        tab.goto(server.url)
        tab.wait_for_selector("body[data-ready='1']")
        assert tab.title() == "faceanon review"
        assert tab.locator("#list h3").all_inner_texts()[0].startswith("pale.mp4")
        place = server.desk.places()[0]["places"][0]
        middle = (place["first"] + place["stop"] - 1) // 2
        shown(tab, middle)
        assert tab.eval_on_selector("#picture", "image => image.naturalWidth") == 192
        tab.wait_for_selector("#overlay rect.own", state="attached")
        tab.keyboard.press("b")
        expect(tab.locator("#overlay rect")).to_have_count(0)
        tab.keyboard.press("b")
        tab.keyboard.press("ArrowRight")
        shown(tab, middle + 1)
        tab.click("#frame-back")
        shown(tab, middle)

        tab.keyboard.press("a")  # its only place: the video passes, the next one comes
        expect(tab.locator("#said")).to_contain_text("pale.mp4 passed")
        assert tab.inner_text("#title") == "mirror.mp4"
        expect(tab.locator("#render")).to_be_disabled()

        tab.fill("#scrub", str(FIRST + 2))
        shown(tab, FIRST + 2)
        drag(tab, MISSED, 192, 144)
        assert (tab.input_value("#from"), tab.input_value("#to")) == (str(max(0, FIRST + 2 - 25)), "47")
        tab.keyboard.press("Escape")
        assert tab.is_hidden("#region")
        drag(tab, MISSED, 192, 144)
        tab.fill("#from", str(FIRST))
        tab.fill("#to", str(STOP - 1))
        tab.fill("#note", "in the mirror")
        if folder := os.environ.get("FACEANON_SCREENSHOTS"):
            tab.screenshot(path=f"{folder}/review.png", full_page=True)
        tab.click("#save")
        tab.wait_for_selector("#overlay rect.drawn", state="attached")
        expect(tab.locator("#waiting")).to_have_text("1 video waits to be rendered")

        tab.click("#render")
        tab.wait_for_selector("body[data-job='done'][data-ready='2']", timeout=60_000)
        expect(tab.locator("#job")).to_have_text("rendered")
        expect(tab.locator("#waiting")).to_have_text("nothing waits to be rendered")
        tab.locator("#list button", has_text="repaired").first.click()
        shown(tab, (FIRST + STOP - 1) // 2)
        tab.wait_for_selector("#overlay rect.own", state="attached")
        if folder:
            tab.screenshot(path=f"{folder}/review-after.png", full_page=True)
        assert complaints == []

    after = luma(out / "videos/mirror.mp4")
    x0, y0, x1, y1 = MISSED
    for number, (was, now) in enumerate(zip(before, after, strict=True)):
        changed = np.abs(now - was)
        assert (changed[y0:y1, x0:x1].mean() > 12) == (FIRST <= number < STOP), number
        assert changed[:, :40].mean() < 3, number
    store = open_store(str(out))
    rows = sorted(events(store, "verdicts"), key=lambda row: row["at"])
    assert [(row["name"], row["decision"], row["reviewer"]) for row in rows] == [("pale.mp4", "pass", "ana"), ("mirror.mp4", "fail", "ana")]
    tables = query(str(out), "SELECT name, decision FROM verdicts WHERE reviewer = 'ana' ORDER BY \"at\"").to_pylist()
    assert tables == [{"name": "pale.mp4", "decision": "pass"}, {"name": "mirror.mp4", "decision": "fail"}]
    states = query(str(out), "SELECT state FROM outputs WHERE name = 'mirror.mp4' ORDER BY seq").to_pylist()
    assert [row["state"] for row in states] == ["superseded", "current"]
    assert prove(store).problems == ()
    assert not list(out.rglob("*.jpg"))


def test_what_cannot_be_is_said_on_the_page(reviewed_home, out):
    """Without keys the page names the command that renders; a fail wants a reason."""
    with served(out, None) as server, opened_page() as (tab, complaints):
        tab.goto(server.url)
        tab.wait_for_selector("body[data-ready='1']")
        assert tab.is_hidden("#render")
        tab.click("#fail")
        expect(tab.locator("#said")).to_have_text("say why")
        tab.fill("#reason", "a name tag can be read")
        tab.click("#fail")
        expect(tab.locator("#said")).to_have_text("pale.mp4: fail")
        drag(tab, (10, 10, 40, 40), 192, 144)
        tab.click("#save")
        tab.wait_for_selector("#overlay rect.drawn", state="attached")
        expect(tab.locator("#waiting")).to_contain_text("--render")
        assert [text for text in complaints if "400" not in text] == []  # the browser's own word for the refusal
    assert next(events(open_store(str(out)), "verdicts"))["reason"] == "a name tag can be read"
