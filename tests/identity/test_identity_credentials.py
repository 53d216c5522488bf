"""Who signs content credentials: a chain that follows from the keystore, or one from files, which has to fit its key."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from faceanon.core.errors import KeystoreUnavailable
from faceanon.identity import credentials
from faceanon.identity.credentials import credentials_from, own_credentials
from faceanon.identity.keystore import Keystore


def write(folder, private, public=None):
    """Files of a key and a certificate for it, or for another."""
    by = Ed25519PrivateKey.generate()
    name = credentials._name("somebody")
    made = x509.CertificateBuilder(name, name, (public or private).public_key(), 1, credentials._FROM, credentials._UNTIL).sign(by, None)
    (folder / "chain.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return folder / "chain.pem", folder / "key.pem"


def test_a_chain_follows_from_the_keystore(tmp_path):
    """The same on every machine, another for another keystore; its links fit each other."""
    keystores = [Keystore.open(tmp_path / name, tmp_path) for name in ("a.json", "a.json", "b.json")]
    one, again, other = (own_credentials(k.credentials_seed()) for k in keystores)
    signer, root = x509.load_pem_x509_certificates(one.certificates.encode())

    assert (one.certificates, one.sign(b"x")) == (again.certificates, again.sign(b"x"))
    assert one.certificates != other.certificates
    signer.verify_directly_issued_by(root)
    root.verify_directly_issued_by(root)
    signer.public_key().verify(one.sign(b"x"), b"x")


def test_a_curve_signs_the_same_every_time(tmp_path):
    """EC P-256 from files, in the form of COSE: 64 bytes."""
    private = ec.generate_private_key(ec.SECP256R1())
    found = credentials_from(*write(tmp_path, private))
    signature = found.sign(b"x")

    assert (found.algorithm, len(signature), found.sign(b"x")) == ("es256", 64, signature)
    private.public_key().verify(encode_dss_signature(*(int.from_bytes(signature[n : n + 32], "big") for n in (0, 32))), b"x", ec.ECDSA(hashes.SHA256()))


def test_a_key_from_files(tmp_path):
    """Ed25519."""
    private = Ed25519PrivateKey.generate()
    found = credentials_from(*write(tmp_path, private))

    assert (found.algorithm, found.sign(b"x")) == ("ed25519", private.sign(b"x"))


@pytest.mark.parametrize("case", ["missing", "foreign", "kind", "nonsense"])
def test_what_cannot_sign_is_refused(tmp_path, case):
    """A missing file, a key of another certificate or of another kind, and what is no key."""
    private = rsa.generate_private_key(65537, 2048) if case == "kind" else Ed25519PrivateKey.generate()
    chain, key = write(tmp_path, private, Ed25519PrivateKey.generate() if case == "foreign" else None)
    if case == "missing":
        key.unlink()
    if case == "nonsense":
        key.write_text("no key")

    with pytest.raises(KeystoreUnavailable):
        credentials_from(chain, key)
