"""Policies as a person writes them, and what all of them together say of one original. Pure; only `load` reads a file.

    approved_by = "the data protection officer"

    [policy.cctv]                        # the policy's name
    collection = ["cam-1", "cam-2"]      # any of these; prefix and tag likewise; all that are given must fit, one at least
    prefix = "s3://archive/cctv"         # of the original's address, whole folders only
    basis = "GDPR article 6(1)(f)"
    min_days = 30                        # before that nothing goes
    max_days = 90                        # after that what is left is overdue
    grace_days = 7                       # between the intent, which everybody can read, and the act
    action = "delete"                    # or "keep", or "cold" with cold = "s3://cold/prefix"

Where several policies fit, the most protective wins: keep before cold before delete, the longest of the times. Two cold places are ambiguous, and
ambiguity keeps. There is no default: an original that no policy fits stays, and is reported.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any, NoReturn

from faceanon.archive import uri as uris
from faceanon.core.errors import FaceanonError, SettingsError
from faceanon.core.ids import digest
from faceanon.core.settings import read_toml

ACTIONS = ("keep", "cold", "delete")  # the most protective first
_SELECTORS = ("collection", "prefix", "tag")
_DAYS = ("min_days", "max_days", "grace_days")
_KEYS = (*_SELECTORS, "basis", *_DAYS, "action", "cold")
_MOST_DAYS = 36_500


@dataclass(frozen=True)
class Subject:
    """What policies and holds may ask about an original, under one of the names by which the ledger knows it."""

    uri: str
    name: str
    collection: str
    tags: frozenset[str]


@dataclass(frozen=True)
class Policy:
    """collections, prefixes, tags: () where it does not ask. The days are 0 for "keep"."""

    name: str
    basis: str
    action: str
    collections: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    min_days: int = 0
    max_days: int = 0
    grace_days: int = 0
    cold: str = ""

    def fits(self, subject: Subject) -> bool:
        return (
            (not self.collections or subject.collection in self.collections)
            and (not self.prefixes or any(below(subject.uri, prefix) for prefix in self.prefixes))
            and (not self.tags or not subject.tags.isdisjoint(self.tags))
        )

    @property
    def sha256(self) -> str:
        """Of all that it says: another word, and it is another policy."""
        return digest("policy", json.dumps(asdict(self), sort_keys=True))

    def selector(self) -> str:
        return " and ".join(f"{word} {' or '.join(values)}" for word, values in zip(_SELECTORS, (self.collections, self.prefixes, self.tags), strict=True) if values)


@dataclass(frozen=True)
class Rule:
    """What holds for one original. action: one of ACTIONS, or "none" where no policy fits. policies: those that fit, by name; reason: which of them decided, and why."""

    action: str
    reason: str
    policies: tuple[str, ...] = ()
    min_days: int = 0
    max_days: int = 0
    grace_days: int = 0
    cold: str = ""
    sha256: str = ""

    @property
    def acts(self) -> bool:
        return self.action in ("cold", "delete")


@dataclass(frozen=True)
class Policies:
    all: tuple[Policy, ...]
    approved_by: str = ""

    def rule(self, subjects: Sequence[Subject]) -> Rule:
        """For one original under all of its names: each must have a policy, and all of them count together."""
        fitting = [[policy for policy in self.all if policy.fits(subject)] for subject in subjects]
        return combined({policy.name: policy for some in fitting for policy in some}.values() if all(fitting) else ())


def combined(policies: Iterable[Policy]) -> Rule:
    """The most protective of all that policies say."""
    fitting = sorted(policies, key=lambda p: p.name)
    if not fitting:
        return Rule("none", "no policy fits")
    names, sha256 = tuple(p.name for p in fitting), digest("rule", *(p.sha256 for p in fitting))
    action = next(a for a in ACTIONS if any(p.action == a for p in fitting))
    deciding = [p for p in fitting if p.action == action]
    if action == "keep":
        return Rule("keep", f"policy {deciding[0].name} keeps it", names, sha256=sha256)
    colds = sorted({p.cold for p in deciding})
    if len(colds) > 1:
        return Rule("keep", f"ambiguous, so it is kept: policies {' and '.join(p.name for p in deciding)} name different cold places", names, sha256=sha256)
    longest = {day: max(fitting, key=attrgetter(day)) for day in _DAYS}
    days = {day: getattr(policy, day) for day, policy in longest.items()}
    said = ", ".join(f"{day} {days[day]} by {policy.name}" for day, policy in longest.items())
    return Rule(action, f"{action} by policy {deciding[0].name} ({said})", names, cold=colds[0], sha256=sha256, **days)


def below(uri: str, prefix: str) -> bool:
    """Whether an address is `prefix` or lies in that folder."""
    return uri == prefix or uri.startswith(prefix.rstrip("/") + "/")


def load(path: Path) -> Policies:
    """Raises SettingsError naming file and key."""
    return from_table(read_toml(path), str(path))


def from_table(table: dict[str, Any], source: str = "") -> Policies:
    """Strict: an unknown key, a missing one or a wrong type is an error, and nothing is guessed."""
    reader = _Reader(source)
    reader.only(table, ("approved_by", "policy"), "")
    approved_by = reader.text(table, "approved_by", "") if "approved_by" in table else ""
    policies = table.get("policy", {})
    if not isinstance(policies, dict) or not policies:
        reader.refuse("policy", "there is no policy: write [policy.NAME]")
    return Policies(tuple(_policy(reader, name, values) for name, values in sorted(policies.items())), approved_by)


def _policy(reader: _Reader, name: str, values: object) -> Policy:
    place = f"policy.{name}"
    if not isinstance(values, dict):
        reader.refuse(place, "is not a table")
    reader.only(values, _KEYS, place)
    action = reader.text(values, "action", place)
    if action not in ACTIONS:
        reader.refuse(f"{place}.action", f"must be one of {', '.join(ACTIONS)}: got {action!r}")
    chosen = {key: reader.texts(values, key, place) for key in _SELECTORS}
    if not any(chosen.values()):
        reader.refuse(place, f"says of nothing what it is about: give one of {', '.join(_SELECTORS)}")
    prefixes = tuple(reader.address(prefix, f"{place}.prefix") for prefix in chosen["prefix"])
    basis = reader.text(values, "basis", place)
    cold = reader.cold(values, action, place)
    made = Policy(name, basis, action, chosen["collection"], prefixes, chosen["tag"], cold=cold, **reader.days(values, action, place))
    for prefix in prefixes:
        if made.cold and (below(made.cold, prefix) or below(prefix, made.cold)):
            reader.refuse(f"{place}.cold", f"lies in the same place as prefix {prefix}")
    return made


@dataclass(frozen=True)
class _Reader:
    """Takes values out of tables. Each method raises SettingsError."""

    source: str

    def refuse(self, key: str, why: str) -> NoReturn:
        raise SettingsError(f"{key}: {why}", source=self.source)

    def only(self, table: dict[str, Any], known: Sequence[str], place: str) -> None:
        for key in table:
            if key not in known:
                self.refuse(f"{place}.{key}".lstrip("."), f"there is no such key; there are {', '.join(known)}")

    def text(self, table: dict[str, Any], key: str, place: str) -> str:
        value = table.get(key)
        if not isinstance(value, str) or not value.strip():
            self.refuse(f"{place}.{key}".lstrip("."), "is missing" if value is None else f"must be text: got {value!r}")
        return str(value).strip()

    def texts(self, table: dict[str, Any], key: str, place: str) -> tuple[str, ...]:
        """() where the key is absent; an empty list would select nothing or everything, so it is refused."""
        value = table.get(key, ())
        values = [value] if isinstance(value, str) else value
        if key in table and (not isinstance(values, list) or not values or not all(isinstance(v, str) and v.strip() for v in values)):
            self.refuse(f"{place}.{key}", f"must be text, or a list of texts: got {value!r}")
        return tuple(sorted(values))

    def address(self, text: str, place: str) -> str:
        try:
            return str(uris.parse(text))
        except FaceanonError as error:
            self.refuse(place, str(error))

    def days(self, table: dict[str, Any], action: str, place: str) -> dict[str, int]:
        if action == "keep":
            for key in _DAYS:
                if key in table:
                    self.refuse(f"{place}.{key}", "a policy that keeps has no days")
            return {}
        for key in _DAYS:
            value = table.get(key)
            if type(value) is not int or not 0 <= value <= _MOST_DAYS:
                self.refuse(f"{place}.{key}", "is missing" if value is None else f"must be a whole number of days, 0 to {_MOST_DAYS}: got {value!r}")
        days = {key: table[key] for key in _DAYS}
        if days["min_days"] + days["grace_days"] > days["max_days"]:
            why = "must be at least min_days + grace_days, or everything would be overdue before it can go"
            self.refuse(f"{place}.max_days", f"{why}: got {days['max_days']}, which is below {days['min_days'] + days['grace_days']}")
        return days

    def cold(self, table: dict[str, Any], action: str, place: str) -> str:
        if action != "cold":
            if "cold" in table:
                self.refuse(f"{place}.cold", f'is for action = "cold": got action = {action!r}')
            return ""
        return self.address(self.text(table, "cold", place), f"{place}.cold")
