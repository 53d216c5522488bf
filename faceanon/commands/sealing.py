"""What jobs that write rows of their own do at their end: the rows into the tables and the evidence log, and the log signed."""

from __future__ import annotations

from pathlib import Path

from faceanon.archive.store import LocalStore, S3Store
from faceanon.core.errors import KeystoreUnavailable
from faceanon.core.settings import Settings
from faceanon.flow.evidence import Notary
from faceanon.flow.job import open_keystore
from faceanon.ledger.fold import fold


def fold_and_sign(out: LocalStore | S3Store, settings: Settings, key_file: Path | None) -> str:
    """What to say of it. Signed where a keystore is at hand: an account that may delete originals need not hold the key. Raises StoreError, KeystoreUnavailable."""
    fold(out.root, out)
    try:
        keystore = open_keystore(str(key_file.absolute()) if key_file else "", create=False)
    except KeystoreUnavailable as error:
        if key_file:
            raise
        return f"the evidence log is not signed here ({error.reason}); the next job that holds the keystore signs it"
    said = Notary.of(settings, keystore).seal(out)
    return f"signed: {said['leaves']} leaves, {said['checkpoint']}"
