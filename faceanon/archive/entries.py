"""What a listing says of one name in a store."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Entry:
    """name: relative to the root. modified_s: seconds since 1970 by the store's clock. upload: the id of an upload in parts that was never finished."""

    name: str
    size: int
    modified_s: float
    upload: str = ""
