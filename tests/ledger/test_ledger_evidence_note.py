"""Checkpoints are signed notes: what the format's own library signed is verified, what was changed is not, and the key stays where it is."""

from __future__ import annotations

import base64
import pickle
import stat

import pytest

from faceanon.core.errors import KeystoreUnavailable, UsageError
from faceanon.ledger.evidence_note import PublicKey, Signer, parse_note, public_key

ROOT = bytes(range(32))
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"  # of golang.org/x/mod/sumdb/note, with the note it signed
GO_TEXT = b"If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_SIGNATURE = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="


@pytest.fixture
def signer(tmp_path):
    return Signer.open(tmp_path / "keys" / "evidence.key")


def test_a_note_of_the_reference_library_is_verified():
    """Key id, form of the key and signature are those of the format; one changed letter is not."""
    key, signature = public_key(GO_KEY), base64.b64decode(GO_SIGNATURE)

    assert (str(key), signature[:4]) == (GO_KEY, key.key_id)
    assert key.verifies(signature[4:], GO_TEXT)
    assert not key.verifies(signature[4:], GO_TEXT.replace(b"you", b"yau"))


def test_a_checkpoint_comes_back_as_it_was_signed(signer):
    """Origin, size, root and key; the same tree gives the same bytes."""
    note = signer.note("faceanon-ledger/ab", 7, ROOT)
    read = parse_note(note)

    assert (read.origin, read.size, read.root, read.key) == ("faceanon-ledger/ab", 7, ROOT, signer.public)
    assert read.is_signed_by(signer.public)
    assert signer.note("faceanon-ledger/ab", 7, ROOT) == note


def test_any_change_breaks_the_signature(signer):
    """Whatever letter of the text is changed: it is no note any more, or nobody signed it."""
    note = signer.note("faceanon-ledger/ab", 7, ROOT)
    for place in range(note.index(b"\n\n")):
        changed = note[:place] + bytes([note[place] ^ 1]) + note[place + 1 :]
        try:
            assert not parse_note(changed).is_signed_by(signer.public), place
        except UsageError:
            continue


def test_another_key_of_the_same_name_is_another(signer, tmp_path):
    """A name can be copied, an id and a signature cannot."""
    other = Signer.open(tmp_path / "other.key")
    forged = PublicKey(signer.public.name, other.public.raw)

    assert not parse_note(signer.note("x", 1, ROOT)).is_signed_by(forged)


SIGNATURE_LINE = b"\n\n\xe2\x80\x94 n AAAAAA==\n"


@pytest.mark.parametrize("note", [b"", b"x", b"a\n1\n\n", b"a\n1\nAAAA" + SIGNATURE_LINE, b"a\n-1\n" + base64.b64encode(ROOT) + SIGNATURE_LINE, b"\xff\n\n"])
def test_what_is_no_checkpoint_is_refused(note):
    """With a sentence, whatever the bytes are."""
    with pytest.raises(UsageError, match="checkpoint"):
        parse_note(note, "somewhere")


@pytest.mark.parametrize("text", ["", "a+b", "name+00000000+AQ==", GO_KEY.replace("c74f20a3", "c74f20a4"), GO_KEY.replace("+ARpc", "+AhPc")])
def test_what_is_no_public_key_is_refused(text):
    """A wrong id, a wrong kind, too few bytes."""
    with pytest.raises(UsageError, match="public key"):
        public_key(text)


def test_the_key_is_made_once_for_its_owner_only(signer, tmp_path):
    """Opening again finds the same key; its public half lies beside it, and the private one is never sent or shown."""
    path = tmp_path / "keys" / "evidence.key"

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Signer.open(path).public == signer.public
    assert public_key(path.with_name("evidence.key.pub").read_text()) == signer.public
    with pytest.raises(TypeError):
        pickle.dumps(signer)
    assert repr(signer) == f"Signer({signer.public.name})"


def test_a_key_from_a_seed_is_always_the_same():
    """Whoever holds the seed signs as the same one."""
    assert Signer.from_seed(ROOT).public == Signer.from_seed(ROOT).public != Signer.from_seed(ROOT[::-1]).public


@pytest.mark.parametrize("content", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_file_that_is_no_key_is_refused(tmp_path, content):
    """And never overwritten."""
    path = tmp_path / "evidence.key"
    path.touch(0o600)
    path.write_bytes(content)

    with pytest.raises(KeystoreUnavailable, match="not a key"):
        Signer.open(path)
    assert path.read_bytes() == content


def test_a_key_that_others_may_read_is_refused(signer, tmp_path):
    """Whoever can copy it can sign another history."""
    path = tmp_path / "keys" / "evidence.key"
    path.chmod(0o644)

    with pytest.raises(KeystoreUnavailable, match="chmod 600"):
        Signer.open(path)
