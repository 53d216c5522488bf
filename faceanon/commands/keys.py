"""`faceanon keys show | destroy`: which keys there are, and making one scope's people unlinkable for good."""

from __future__ import annotations

import argparse
import getpass
from pathlib import Path

from faceanon.archive.store import open_store
from faceanon.commands.opened import open_out, settings_of
from faceanon.core.errors import UsageError
from faceanon.core.settings import Settings
from faceanon.flow.evidence import Notary
from faceanon.flow.job import open_keystore
from faceanon.flow.keys import destroy, doomed
from faceanon.identity.keystore import Keystore
from faceanon.ledger.fold import fold


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("show", "destroy"))
    parser.add_argument("out", nargs="?", metavar="OUT", help="destroy: where jobs wrote; its ledger keeps that the key was destroyed, when, by whom and why")
    parser.add_argument("--scope", metavar="S", help="archive, collection:NAME, or video for all videos that were anonymized each by itself")
    parser.add_argument("--reason", default="", help="why, for the ledger")
    parser.add_argument("--yes", action="store_true", help="destroy: do it. Without it, only what would go is said")
    parser.add_argument("--work", metavar="URI", help="half-made things and galleries (OUT/.work)")
    parser.add_argument("--key-file", type=Path, help="keystore (FACEANON_KEY, or ~/.config/faceanon/keystore.json)")
    parser.add_argument("--settings", type=Path, metavar="FILE.toml", help="of the job: where stores and mirror are")


def run(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments.settings)
    keystore = open_keystore(str(arguments.key_file.absolute()) if arguments.key_file else "", create=False)
    if arguments.action == "show":
        _show(settings, keystore)
        return 0
    if not arguments.out or not arguments.scope:
        raise UsageError("say which: faceanon keys destroy OUT --scope S")
    return _destroy(arguments, settings, keystore)


def _show(settings: Settings, keystore: Keystore) -> None:
    print(f"keystore   {keystore.keystore_id}  {keystore.path or 'from the environment'}")
    print(f"signs as   {Notary.of(settings, keystore).signer.public}")
    for scope in keystore.scopes():
        print(f"scope      {scope}  {keystore.scope_ref(scope)}")


def _destroy(arguments: argparse.Namespace, settings: Settings, keystore: Keystore) -> int:
    out = open_out(arguments.out)
    work = open_store(arguments.work or out.uri(".work"))
    what = doomed(out, work, keystore, arguments.scope)
    went = f"the key {what.key_ref} of scope {what.scope}, {len(what.gallery)} objects of its gallery, {len(what.half_made)} half-made videos"
    went += f"; {what.labels} labels then lead nowhere"
    if not arguments.yes:
        raise UsageError(f"this would destroy {went}. Nothing was destroyed; add --yes to do it, for good")
    destroy(out, work, keystore, what, actor=getpass.getuser(), reason=arguments.reason)
    fold(out.root, out)
    Notary.of(settings, keystore).seal(out)
    print(f"destroyed: {went}")
    print("copies of the key file, on other nodes and in backups, hold it still: replace or delete them")
    return 0
