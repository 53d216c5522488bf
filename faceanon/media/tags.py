"""What of a source's metadata may be published: an allow-list. Pure.

Kept: the language and title of a stream, the title of a chapter. All else is left out, and what it was is named in one word each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

KEPT_OF_STREAM = ("language", "title")
_WORDS = (
    ("location", ("location", "gps", "xyz", "coordinates", "geo")),
    ("device", ("make", "model", "device", "android", "quicktime.software", "camera", "lens", "firmware", "manufacturer", "serial")),
    ("date", ("creation_time", "date", "time", "year")),
    ("person", ("artist", "author", "performer", "owner", "actor", "director", "composer", "copyright", "publisher", "writer", "producer")),
    ("text", ("title", "comment", "description", "synopsis", "keywords", "lyrics", "album", "show", "genre")),
    ("encoder", ("encoder", "encoded", "software", "tool", "writing", "muxing")),
)
_TECHNICAL = ("major_brand", "minor_version", "compatible_brands", "handler_name", "vendor_id", "duration", "rotate", "bps", "number_of_", "_statistics", "alpha_mode")


def kept(metadata: Mapping[str, str]) -> dict[str, str]:
    """Of a stream or chapter."""
    return {key: metadata[key] for key in KEPT_OF_STREAM if metadata.get(key)}


def removed_words(keys: Iterable[str]) -> set[str]:
    """What kinds of tags are removed; facts of the container that say nothing of people or places are not mentioned."""
    found = set()
    for key in (k.lower() for k in keys):
        if any(key.startswith(t) for t in _TECHNICAL):
            continue
        found.add(next((word for word, parts in _WORDS if any(part in key for part in parts)), "other tags"))
    return found
