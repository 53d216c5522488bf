"""Ids derived from content, so that running again, or elsewhere, finds what is already there.

Every id is the hex of a SHA-256 over a domain word and length-prefixed parts; a part can never run into its neighbour.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def digest(domain: str, *parts: str | bytes | int) -> str:
    """64 hex digits for `parts` under `domain`."""
    total = hashlib.sha256()
    for part in (domain, *parts):
        data = part if isinstance(part, bytes) else str(part).encode()
        total.update(len(data).to_bytes(8, "big"))
        total.update(data)
    return total.hexdigest()


def video_id(name: str, sha256: str) -> str:
    """One source: what it holds and the name it is published under."""
    return digest("video", name, sha256)[:32]


def output_id(video: str, settings_digest: str, keystore_id: str, scope_name: str, corrections: Iterable[str] = ()) -> str:
    """One published result: a video under one choice of settings, keys, scope and reviewers' corrections, which are named by their ids."""
    return digest("output", video, settings_digest, keystore_id, scope_name, *sorted(set(corrections)))[:32]


def correction_id(video: str, first_frame: int, stop_frame: int, box: tuple[int, int, int, int]) -> str:
    """A region that a reviewer drew: what it changes, and not who drew it or when. Twice the same region is one correction."""
    return digest("correction", video, first_frame, stop_frame, *box)[:32]


def cluster_id(video: str, frame: int, box: tuple[float, float, float, float]) -> str:
    """A person: where their earliest tracklet begins (video, frame, box rounded to whole px). Never made of an embedding."""
    return digest("cluster", video, frame, *(round(float(edge)) for edge in box))


def audit_id(output: str, sha256: str, auditor_model_id: str, frames: int, decision: str, at: str) -> str:
    """What an auditor said of one output's very bytes: said of others, or said otherwise, it is another id. at: ISO 8601 in UTC."""
    return digest("audit", output, sha256, auditor_model_id, frames, decision, at)[:32]
