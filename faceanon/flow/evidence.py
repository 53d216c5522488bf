"""The ledger follows the records, and what it says is signed: by whom, and where signed checkpoints are kept besides OUT."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from faceanon.archive.locks import put_locked
from faceanon.archive.store import LocalStore, S3Store, open_store
from faceanon.core.errors import AlreadyExists, FaceanonError, StoreError
from faceanon.core.ports import Store
from faceanon.core.settings import Settings
from faceanon.flow.job import Context
from faceanon.identity.keystore import Keystore
from faceanon.ledger.evidence import checkpoint
from faceanon.ledger.evidence_note import Signer, parse_note
from faceanon.ledger.fold import fold
from faceanon.ledger.upkeep import compact, expire

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Notary:
    """mirror: None where the settings name none. lock_days: 0 for no lock."""

    signer: Signer
    mirror: LocalStore | S3Store | None
    lock_days: int

    @classmethod
    def of(cls, settings: Settings, keystore: Keystore) -> Notary:
        """The key that the settings name, else one that follows from the keystore: then every machine that holds the keystore signs as the same one."""
        told = settings.evidence
        signer = Signer.open(Path(told.key).expanduser()) if told.key else Signer.from_seed(keystore.evidence_seed())
        return cls(signer, open_store(told.mirror) if told.mirror else None, told.lock_days)

    def check(self) -> None:
        """That the mirror answers, before any work. Raises StoreError."""
        if self.mirror is not None:
            self.mirror.list(".probe")

    def seal(self, out: Store) -> dict[str, object]:
        """Sign the log of `out` and hand the checkpoint to the mirror. What to say of it: size, root, key, where. Raises StoreError."""
        sealed = checkpoint(out, self.signer)
        if sealed is None:
            return {}
        name, note = sealed
        read = parse_note(note)
        said = {"leaves": read.size, "root": read.root.hex(), "key": str(self.signer.public), "checkpoint": out.uri(name)}
        if self.mirror is None:
            return said
        kept = mirrored(read.origin, name)
        if self.lock_days:
            if not self.mirror.exists(kept):
                put_locked(self.mirror, kept, note, self.lock_days)
        else:
            with suppress(AlreadyExists):
                self.mirror.create(kept, note)
        if self.mirror.read(kept) != note:
            raise StoreError("the mirror holds another checkpoint of the same size: the evidence log was rewritten", source=self.mirror.uri(kept))
        return {**said, "mirror": self.mirror.uri(kept)}


def mirrored(origin: str, name: str) -> str:
    """What a checkpoint of a log is called in a mirror, which may hold those of many."""
    return f"{origin.rsplit('/', 1)[-1]}/{name.rsplit('/', 1)[-1]}"


def follow(context: Context, names: list[str] | None = None) -> dict[str, object]:
    """Fold (the records of these names, or all), and sign. With all, also look after the tables.

    What the summary says of the evidence; a log or a mirror that is not as it should be is {"problem": ...} and does not end the run, since no
    video is worse for it. Raises StoreError where the tables cannot be written.
    """
    out, settings = context.out, context.settings
    fold(out.root, out, names)
    if names is None:
        compact(out.root, out, settings.ledger.compact_files)
        expire(out.root, out, settings.ledger.boxes_days)
    try:
        return Notary.of(settings, context.keystore).seal(out)
    except FaceanonError as error:
        _log.warning("the evidence log is not signed: %s", error)
        return {"problem": str(error)}
