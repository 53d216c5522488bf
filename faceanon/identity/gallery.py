"""The identity cache of a scope: who was published under which label and persona, so that later videos find them again.

A log of sealed objects `gallery/<scope>/<number>.sealed` in the work store, written by put-if-absent: number n holds the people
that changed since n - 1, every 64th holds all. Whoever loses the race for a number reads again and decides again. Objects are bound
to their name and sealed under the scope's salt: destroying that makes them unreadable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from faceanon.core.errors import AlreadyExists, StoreUnavailable
from faceanon.core.ids import digest
from faceanon.core.ports import Store
from faceanon.core.records import Code, Persona
from faceanon.identity.keystore import Keystore
from faceanon.identity.packing import pack, unpack
from faceanon.identity.people import Cluster, KnownPerson
from faceanon.identity.sealed import persona_of, persona_row

_WHOLE_EVERY = 64
_MAX_RACES = 100

Change = Callable[[tuple[KnownPerson, ...]], Sequence[KnownPerson]]


@dataclass(frozen=True)
class Gallery:
    """version: number of the last object read, 0 for none. people: sorted by cluster id."""

    version: int
    people: tuple[KnownPerson, ...]


def load(store: Store, keystore: Keystore, scope: str) -> Gallery:
    """The gallery as it is now; empty where there is none."""
    folder = _folder(keystore, scope)
    numbers = sorted(int(name.rsplit("/", 1)[1].split(".")[0]) for name in store.list(folder) if name.endswith(".sealed"))
    if not numbers:
        return Gallery(0, ())
    people: dict[str, KnownPerson] = {}
    for number in range(_last_whole(numbers[-1]), numbers[-1] + 1):
        name = _name(folder, number)
        people.update((person.cluster_id, person) for person in _unpack(keystore.open_sealed(store.read(name), name, scope=scope)))
    return Gallery(numbers[-1], tuple(people[key] for key in sorted(people)))


def save(store: Store, keystore: Keystore, scope: str, seen: Gallery, people: Iterable[KnownPerson]) -> Gallery:
    """`seen` with `people` added or renewed, as its next number. Raises AlreadyExists where another writer was first: load and decide again."""
    before = {person.cluster_id: person for person in seen.people}
    changed = [person for person in people if before.get(person.cluster_id) is not person]
    if not changed:
        return seen
    after = {**before, **{person.cluster_id: person for person in changed}}
    number = seen.version + 1
    kept = [after[key] for key in sorted(after)] if number == _last_whole(number) else sorted(changed, key=lambda person: person.cluster_id)
    name = _name(_folder(keystore, scope), number)
    data = keystore.seal(_pack(kept), name, scope=scope)
    try:
        store.create(name, data)
    except AlreadyExists:
        if store.read(name) != data:  # else a lost reply made a retry meet our own object
            raise
    return Gallery(number, tuple(after[key] for key in sorted(after)))


def update(store: Store, keystore: Keystore, scope: str, change: Change) -> Gallery:
    """Apply `change` to the people as they are, again for as long as other writers come first. It returns people to add or renew."""
    for _ in range(_MAX_RACES):
        seen = load(store, keystore, scope)
        try:
            return save(store, keystore, scope, seen, change(seen.people))
        except AlreadyExists:
            continue
    raise StoreUnavailable(f"the gallery could not be written: {_MAX_RACES} times another writer came first", source=store.uri(_folder(keystore, scope)))


def objects(store: Store, keystore: Keystore, scope: str) -> list[str]:
    """Names of the objects in which the gallery lies."""
    return store.list(_folder(keystore, scope))


def forget(store: Store, keystore: Keystore, scope: str) -> None:
    """Remove the objects themselves; the keystore's `destroy` makes copies of them unreadable."""
    store.delete_tree(_folder(keystore, scope))


def remember(cluster: Cluster, label: str, persona: Persona | None, codes: Mapping[str, Code] | None = None) -> KnownPerson:
    """A cluster as a known person: a new one, or its known person with new tracks and codes added. Names, faces and codes that were given stay."""
    known = cluster.known
    if known is None:
        tracks = len(cluster.tracks)
        return KnownPerson(cluster.cluster_id, label, persona, cluster.embedding, cluster.weight, cluster.spread, tracks, cluster.members, dict(codes or {}))
    persona, codes = known.persona or persona, {**(codes or {}), **known.codes}
    if cluster.members <= known.members:
        return known if (persona, codes) == (known.persona, known.codes) else replace(known, persona=persona, codes=codes)
    embedding, weight, spread = _add(known, cluster)
    members = known.members | cluster.members
    return replace(known, persona=persona, embedding=embedding, weight=weight, spread=spread, count=len(members), members=members, codes=codes)


def _add(known: KnownPerson, cluster: Cluster):
    """Mean, weight and spread of both together."""
    if known.embedding is None or cluster.embedding is None:
        one = cluster if known.embedding is None else known
        return one.embedding, one.weight, one.spread
    weight = known.weight + cluster.weight
    share = cluster.weight / weight
    step = cluster.embedding.astype(np.float64) - known.embedding.astype(np.float64)
    spread = (1 - share) * known.spread + share * cluster.spread + share * (1 - share) * float(step @ step)
    return (known.embedding + share * step).astype(np.float32), weight, spread


def _folder(keystore: Keystore, scope: str) -> str:
    return f"gallery/{digest('gallery', keystore.keystore_id, scope)[:32]}"


def _name(folder: str, number: int) -> str:
    return f"{folder}/{number:08d}.sealed"


def _last_whole(number: int) -> int:
    """The last number, at most `number`, whose object holds everybody."""
    return max(1, number // _WHOLE_EVERY * _WHOLE_EVERY)


def _pack(people: list[KnownPerson]) -> bytes:
    rows = [[p.cluster_id, p.label, persona_row(p.persona), p.weight, p.spread, p.count, sorted(p.members), *_codes_row(p)] for p in people]
    vectors = [p.embedding for p in people if p.embedding is not None]
    seen = np.array([p.embedding is not None for p in people], bool)
    return pack({"people": rows}, {"seen": seen, "embedding": np.stack(vectors).astype(np.float32) if vectors else np.zeros((0, 0), np.float32)})


def _unpack(data: bytes) -> list[KnownPerson]:
    header, arrays = unpack(data)
    vectors = iter(arrays["embedding"])
    embeddings = [next(vectors) if seen else None for seen in arrays["seen"]]
    rows = zip(header["people"], embeddings, strict=True)
    return [KnownPerson(*row[:2], persona_of(row[2]), embedding, *row[3:6], frozenset(row[6]), _codes_of(row[7:])) for row, embedding in rows]


def _codes_row(person: KnownPerson) -> list:
    """Nothing for somebody without codes: such a gallery is as it was before there were any."""
    return [{kind: list(person.codes[kind]) for kind in sorted(person.codes)}] if person.codes else []


def _codes_of(row: list) -> dict[str, Code]:
    return {kind: tuple(code) for kind, code in row[0].items()} if row else {}
