"""The page itself: one HTML file that needs no network and no second file, and opens quickly however long its table is.

What the table shows comes as JSON. Timelines, which few will open, come in compressed parts of PART videos that the browser unpacks when
one of them is wanted.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from itertools import islice
from typing import Any

PART = 200


def build(overview: Mapping[str, Any], timelines: Iterable[Any], pictures: Mapping[str, bytes]) -> Iterator[str]:
    """The page in pieces, to be written as they come. pictures: a JPEG by the record of the video that it shows."""
    before, after = _file("report.html").replace("/*style*/", _file("report.css")).split("<!--data-->")
    yield before
    yield f'<script type="application/json" id="overview">{_json({**overview, "part": PART})}</script>\n'
    rows = iter(timelines)
    number = 0
    while part := list(islice(rows, PART)):
        packed = base64.b64encode(zlib.compress(json.dumps(part, separators=(",", ":")).encode(), 6)).decode()
        yield f'<script type="text/plain" id="part-{number}">{packed}</script>\n'
        number += 1
    for record, jpeg in pictures.items():
        yield f'<script type="text/plain" id="picture-{record}">{base64.b64encode(jpeg).decode()}</script>\n'
    yield after.replace("/*script*/", _file("report.js"))


def _json(value: Any) -> str:
    """As it may stand inside of a script element, whatever names of files hold."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=str).replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _file(name: str) -> str:
    return (resources.files("faceanon.report") / "static" / name).read_text(encoding="utf-8")
