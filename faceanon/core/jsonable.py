"""Records to JSON and back, by their type hints. Arrays are not taken: what holds pixels or embeddings does not travel this way."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from enum import IntEnum
from fractions import Fraction
from typing import Any, TypeVar

T = TypeVar("T")


def to_json(value: Any) -> Any:
    """Dataclasses become dicts, tuples lists, fractions 'n/d'."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}"
    if isinstance(value, IntEnum):
        return int(value)
    if isinstance(value, (list, tuple)):
        return [to_json(entry) for entry in value]
    if isinstance(value, dict):
        return {str(key): to_json(entry) for key, entry in value.items()}
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise TypeError(f"not a value for JSON: got {type(value).__name__}")


def from_json(kind: type[T], value: Any) -> T:
    """The `kind` that `to_json` wrote. Raises KeyError, TypeError or ValueError where the value does not fit."""
    return _read(kind, value)


@functools.lru_cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _read(kind: Any, value: Any) -> Any:
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        (inner,) = (a for a in typing.get_args(kind) if a is not type(None))
        return _read(inner, value)
    if origin is tuple:
        arguments = typing.get_args(kind)
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_read(arguments[0], entry) for entry in value)
        return tuple(_read(a, entry) for a, entry in zip(arguments, value, strict=True))
    if dataclasses.is_dataclass(kind):
        hints = _hints(kind)
        return kind(**{f.name: _read(hints[f.name], value[f.name]) for f in dataclasses.fields(kind) if f.name in value})  # type: ignore[operator]
    if kind is Fraction:
        return Fraction(value)
    if kind is Any:
        return value
    return kind(value)
