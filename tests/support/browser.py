"""Debian's Chromium, for tests of pages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
_FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip  # as root there is no sandbox, and without the others it calls home


@contextmanager
def opened_page(width: int = 1200, height: int = 900) -> Iterator[tuple[Page, list[str]]]:
    """A page and what its console complains of. Fails where the browser is missing: `make test` installs it or says how."""
    if not CHROMIUM.exists():
        raise RuntimeError("the tests of pages need Debian's chromium: sudo apt-get install --no-install-recommends chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(_FLAGS))
        page = browser.new_page(viewport={"width": width, "height": height})
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield page, complaints
        browser.close()
