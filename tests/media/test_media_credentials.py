"""Content credentials: valid for the library that reads them, the same for the same input, broken by any change, and silent about the original."""

from __future__ import annotations

import hashlib
import io
import json
import sys
from pathlib import Path

import c2pa
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from faceanon.core.errors import UsageError, VerificationFailed
from faceanon.core.settings import PlanSettings
from faceanon.identity.credentials import _certificate, credentials_from, own_credentials
from faceanon.media import credentials
from faceanon.media.clips import write_clip
from faceanon.media.credentials import sign_credentials
from faceanon.media.decode import read_pictures
from faceanon.media.probe import probe

CHAIN = own_credentials(b"a seed")
SIGNER = {"certificates": CHAIN.certificates, "algorithm": CHAIN.algorithm, "sign": CHAIN.sign}


@pytest.fixture(params=["mp4", "mov"])
def clip(request, tmp_path) -> Path:
    return write_clip(tmp_path / f"secret-name.{request.param}", [np.full((72, 96, 3), 90 + n, np.uint8) for n in range(20)])


def sign(clip: Path, name: str = "signed", **more) -> tuple[Path, str]:
    out = clip.with_name(f"{name}{clip.suffix}")
    words = {"output_id": "o" * 32, "replaced": 3, "obscured": 0, **SIGNER, **more}
    return out, sign_credentials(clip, out, clip.suffix[1:], **words)


def read(path: Path) -> tuple[str, dict]:
    """(what the library thinks of it, its manifest)"""
    with c2pa.Reader(credentials.FORMATS[path.suffix[1:]], io.BytesIO(path.read_bytes())) as reader:
        whole = json.loads(reader.json())
        return reader.get_validation_state(), whole["manifests"][whole["active_manifest"]]


def test_what_was_done_is_said_and_signed(clip):
    """Opened, and edited as a composite with trained algorithmic media; one manifest, and the pictures are what they were."""
    out, sha256 = sign(clip)
    state, manifest = read(out)
    actions = next(a for a in manifest["assertions"] if a["label"].startswith("c2pa.actions"))["data"]["actions"]
    facts, _ = probe(out, PlanSettings())

    assert (state, manifest["signature_info"]["alg"], len(sha256)) == ("Valid", "Ed25519", 64)
    assert [a["action"] for a in actions] == ["c2pa.opened", "c2pa.edited"]
    assert actions[1]["digitalSourceType"].endswith("/compositeWithTrainedAlgorithmicMedia")
    assert len(list(read_pictures(out, facts, None))) == 20


@pytest.mark.parametrize(
    ("replaced", "obscured", "action", "word"),
    [(2, 1, "c2pa.edited", "or obscured"), (0, 4, "c2pa.edited", "obscured"), (0, 0, "c2pa.repackaged", "No face")],
)
def test_nothing_is_claimed_that_was_not_done(clip, replaced, obscured, action, word):
    """Only what was given a synthetic face is called synthetic."""
    state, manifest = read(sign(clip, replaced=replaced, obscured=obscured)[0])
    done = manifest["assertions"][-1]["data"]["actions"][1]

    assert (state, done["action"], word in done["description"], "digitalSourceType" in done) == ("Valid", action, True, replaced > 0)


def test_the_same_input_gives_the_same_bytes(clip):
    """Salts, ids and signature follow from the output's id and the key; another id gives others."""
    one, two, three = sign(clip, "one")[0], sign(clip, "two")[0], sign(clip, "three", output_id="p" * 32)[0]

    assert one.read_bytes() == two.read_bytes() != three.read_bytes()


def test_a_certificate_of_your_own_signs(clip):
    """EC P-256 from files, as authorities issue them; the same bytes each time."""
    root, key = Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())
    chain = _certificate("you", "authority", key, root, is_root=False) + _certificate("authority", "authority", root, root, is_root=True)
    (clip.parent / "chain.pem").write_text(chain)
    (clip.parent / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    yours = credentials_from(clip.parent / "chain.pem", clip.parent / "key.pem")
    words = {"certificates": yours.certificates, "algorithm": yours.algorithm, "sign": yours.sign}
    one, two = sign(clip, "one", **words)[0], sign(clip, "two", **words)[0]

    assert (read(one)[0], read(one)[1]["signature_info"]["alg"]) == ("Valid", "Es256")
    assert one.read_bytes() == two.read_bytes()


def test_nothing_of_the_original_is_carried(clip):
    """No thumbnail, no name, no digest of the file it was made of."""
    out, _ = sign(clip)
    data = out.read_bytes()
    _, manifest = read(out)

    assert "thumbnail" not in json.dumps(manifest)
    assert set(manifest["ingredients"][0]) == {"title", "format", "instance_id", "relationship", "label"}
    assert b"secret-name" not in data
    assert hashlib.sha256(clip.read_bytes()).digest() not in data


def test_any_change_breaks_it(clip):
    """One bit of the pictures, one letter of the words."""
    out, _ = sign(clip)
    data = out.read_bytes()
    middle, word = data.rindex(b"mdat") + 200, data.index(b"Faces of people")
    for place in (middle, word):
        out.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        assert read(out)[0] == "Invalid", place


def test_what_is_not_valid_is_never_published(clip):
    """A signer whose key is not the certificate's."""
    with pytest.raises(VerificationFailed, match="content credentials"):
        sign(clip, sign=own_credentials(b"another").sign)


def test_without_the_library_the_job_does_not_start(monkeypatch):
    """Said before any work, with what to install."""
    monkeypatch.setitem(sys.modules, "c2pa", None)

    with pytest.raises(UsageError, match=r"faceanon\[c2pa\]"):
        credentials.check_available()
