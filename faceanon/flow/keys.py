"""Keys of scopes, from their first use to their end, as rows of `subject_keys`; and the end itself: crypto-shredding.

Destroying a scope's salt makes its labels impossible to derive from anything, its gallery unreadable wherever a copy lies, and its people strangers to
every later run. What is published stays as it is, and so does the ledger: labels become words that lead nowhere, and the evidence still verifies. The
intent is in the ledger before the act, and who finds an intent without an end finishes it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from faceanon.archive.store import LocalStore, S3Store
from faceanon.core.errors import UsageError
from faceanon.core.ports import Store
from faceanon.flow import layout
from faceanon.flow.host import is_dead
from faceanon.identity import gallery
from faceanon.identity.keystore import Keystore, salt_name
from faceanon.ledger.commit import now
from faceanon.ledger.events import append_rows, event_path, events
from faceanon.ledger.query import query

TABLE = "subject_keys"
_LABELS = """SELECT count(DISTINCT t.label) AS n FROM tracks t JOIN videos v ON v.record_id = t.record_id
WHERE t.label <> '' AND (v.scope_name = $scope OR ($scope = 'video' AND v.scope = 'video'))"""


@dataclass(frozen=True)
class Doomed:
    """What goes with a scope. key_ref: which key it was, without saying anything of it. half_made: work folders of videos that were never finished."""

    scope: str
    key_ref: str
    labels: int
    gallery: tuple[str, ...]
    half_made: tuple[str, ...]


def note_scopes(out: Store, keystore: Keystore, scopes: Iterable[str], actor: str) -> None:
    """A row for each key that this OUT has not heard of. One listing, and no write in the usual case."""
    there = set(out.list(f"ledger/events/{TABLE}/"))
    for scope in sorted({salt_name(scope) for scope in scopes}):
        ref = keystore.scope_ref(scope)
        if event_path(TABLE, f"active {ref}") not in there:
            append_rows(out, TABLE, [_row(scope, ref, "active", actor, created_at=now())], key=f"active {ref}")


def doomed(out: LocalStore | S3Store, work: Store, keystore: Keystore, scope: str) -> Doomed:
    """Looked up before anything is destroyed. Raises UsageError where the scope is none, or a run lives that may still use it."""
    if scope != salt_name(scope):
        raise UsageError("all videos share one key; name the scope `video` to destroy it for all of them", source=scope)
    ref = keystore.scope_ref(scope) if keystore.has_scope(scope) else _unfinished(out, scope)
    if not ref:
        raise UsageError(f"the keystore holds no key for this scope; it has {', '.join(keystore.scopes())}", source=scope)
    alive = sorted(_living(out, work))
    if alive:
        reason = "has not ended, or died on another machine (`faceanon sweep` removes its mark after some days)"
        raise UsageError(f"a run may be using the key: {alive[0]} {reason}", source=out.root)
    labels = query(out.root, _LABELS, {"scope": scope})["n"][0].as_py()
    return Doomed(scope, ref, labels, tuple(gallery.objects(work, keystore, scope)), tuple(sorted(_half_made(work, scope))))


def destroy(out: LocalStore | S3Store, work: Store, keystore: Keystore, what: Doomed, *, actor: str, reason: str) -> None:
    """For good. Repeatable: a second call finishes what a first one began."""
    append_rows(out, TABLE, [_row(what.scope, what.key_ref, "destroying", actor, reason=reason, labels=what.labels)], key=f"destroying {what.key_ref}")
    gallery.forget(work, keystore, what.scope)
    for folder in what.half_made:
        work.delete_tree(folder)
    if keystore.has_scope(what.scope) and keystore.scope_ref(what.scope) == what.key_ref:
        keystore.destroy(what.scope)
    append_rows(out, TABLE, [_row(what.scope, what.key_ref, "destroyed", actor, reason=reason, labels=what.labels, destroyed_at=now())], key=f"destroyed {what.key_ref}")


def _row(scope: str, ref: str, state: str, actor: str, **more: str | int | datetime) -> dict:
    return {"event_id": f"{state} {ref}", "scope": scope, "key_ref": ref, "state": state, "actor": actor, **more}


def _unfinished(out: Store, scope: str) -> str:
    """The key whose destruction was begun and whose end is not in the ledger; "" for none."""
    rows = [row for row in events(out, TABLE) if row["scope"] == scope]
    ended = {row["key_ref"] for row in rows if row["state"] == "destroyed"}
    return next((row["key_ref"] for row in rows if row["state"] == "destroying" and row["key_ref"] not in ended), "")


def _living(out: Store, work: Store) -> Iterator[str]:
    """Runs whose mark is there and whose process is not certainly dead."""
    for store, names in ((out, out.list("runs/")), (work, work.list("attempts/"))):
        for name in names:
            if name.endswith((layout.MARK, "/driver.json")) and not is_dead(json.loads(store.read(name))):
                yield name.removeprefix("runs/").removeprefix("attempts/").removesuffix(layout.MARK).removesuffix("/driver.json")


def _half_made(work: Store, scope: str) -> Iterator[str]:
    """Folders with sealed embeddings of the scope's people. The key of such work is the keystore's own, so it has to go by itself."""
    for folder in {"/".join(name.split("/")[:2]) for name in work.list("videos/")}:
        try:
            collection = json.loads(work.read(f"{folder}/plan.json"))["item"]["collection"]
        except FileNotFoundError:
            yield folder  # whose it was cannot be told: it hides more to let it go
            continue
        if scope in ("video", "archive", f"collection:{collection}"):
            yield folder
