"""A store that counts what an S3 store in its place would have asked for."""

from __future__ import annotations

from collections import Counter

_REQUESTS = {
    "read": ["GET"], "exists": ["HEAD"], "create": ["PUT"], "replace": ["PUT"], "upload": ["PUT", "HEAD"], "download": ["HEAD", "GET"],
    "link": ["HEAD", "COPY"], "shows": ["HEAD", "HEAD"], "list": ["LIST"], "delete": ["DELETE"], "delete_tree": ["LIST", "DELETE"],
}  # fmt: skip


class CountedStore:
    def __init__(self, inner, requests: Counter) -> None:
        self._inner, self._requests = inner, requests

    def __getattr__(self, name: str):
        value = getattr(self._inner, name)
        if name not in _REQUESTS:
            return value

        def counted(*args, **kwargs):
            self._requests.update(_REQUESTS[name])
            return value(*args, **kwargs)

        return counted
