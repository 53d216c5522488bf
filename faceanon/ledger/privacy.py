"""The guard before the ledger: what looks like a face, a template or a key is refused, whoever asks.

It reads values, not intentions: a list of more than 16 numbers is an embedding or a mesh, bytes are a picture, an unbroken base64
run is either. False alarms are possible and meant: a column that needs such a value belongs in the encrypted work store.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from numbers import Number

from faceanon.core.errors import StoreError

_MAX_NUMBERS = 16
_WIDE = 1 << 63
_NUMBERS = frozenset([int, float, bool, type(None)])  # most of what a record holds: looked at without a call
_MAX_RUN = 200
_MAX_PATH_PART = 255  # the longest file name that a filesystem allows
# may hold long paths; each part of one is looked at alone
_PATHS = {"uri", "out_uri", "out", "name", "object", "source_uri", "reason", "collection", "scope_name", "tags"}
_FORBIDDEN = {
    "embedding", "embeddings", "features", "descriptor", "landmarks", "mesh", "points", "crop", "thumbnail", "picture", "pixels",
    "key", "master_key", "secret", "salt", "password", "private_key",
}  # fmt: skip
_RUN = re.compile(rf"[A-Za-z0-9+/_-]{{{_MAX_RUN + 1},}}")
_KEY = re.compile(r"[A-Za-z0-9+/_-]{43}=")  # 32 bytes in base64, as key files hold them


def assert_private(row: Mapping) -> None:
    """Raises StoreError naming the first column of `row`, however deep, whose name or value has no place in the ledger."""
    for name, value in row.items():
        _check(str(name), value, str(name))


def _check(name: str, value: object, path: str) -> None:
    if _is_plain(value):
        return
    if _is_forbidden(name):
        raise _refused(path, "its name is one of a face's or a key's")
    if isinstance(value, str):
        _check_text(name, value, path)
    elif isinstance(value, Mapping):
        for inner, part in value.items():
            if type(part) not in _NUMBERS or (part is not None and not -_WIDE < part < _WIDE):
                _check(str(inner), part, f"{path}.{inner}")
    elif isinstance(value, list | tuple):
        if len(value) > _MAX_NUMBERS and sum(isinstance(v, Number) for v in value) > _MAX_NUMBERS:
            raise _refused(path, f"a list of {len(value)} numbers may be an embedding")
        for place, part in enumerate(value):
            _check(name, part, f"{path}[{place}]")
    else:
        raise _refused(path, f"a value of type {type(value).__name__} may hold a picture, an embedding or a key")


def _is_plain(value: object) -> bool:
    """One number is nobody's face, whatever it is called."""
    return value is None or isinstance(value, bool | float) or (isinstance(value, int) and -_WIDE < value < _WIDE)


@functools.lru_cache(4096)
def _is_forbidden(name: str) -> bool:
    return name.lower() in _FORBIDDEN


def _check_text(name: str, text: str, path: str) -> None:
    if "-----BEGIN" in text or _KEY.fullmatch(text):
        raise _refused(path, "it looks like key material")
    if len(text) <= _MAX_RUN:
        return
    parts = text.split("/") if name in _PATHS else [text]
    limit = _MAX_PATH_PART if name in _PATHS else _MAX_RUN
    for part in parts:
        found = _RUN.search(part)
        if found and len(found.group()) > limit:
            raise _refused(path, f"a run of {len(found.group())} letters and digits may be an encoded picture or embedding")


def _refused(path: str, why: str) -> StoreError:
    return StoreError(f"refused to write column {path} to the ledger: {why}")
