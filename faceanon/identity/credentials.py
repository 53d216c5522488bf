"""Who signs content credentials: a certificate chain and a key, from files, or a chain of our own that follows from the keystore.

Signatures are those of COSE, 64 bytes; both kinds of key always sign the same bytes in the same way. A chain of our own proves that outputs
come from one keystore; nobody else trusts it until they are told to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from faceanon.core.errors import KeystoreUnavailable

_FROM, _UNTIL = datetime(2026, 1, 1, tzinfo=UTC), datetime(2056, 1, 1, tzinfo=UTC)  # fixed, so that the chain is always the same


@dataclass(frozen=True)
class Credentials:
    """certificates: PEM, the signer's first. algorithm: ed25519 or es256. The key stays inside `sign`."""

    certificates: str
    algorithm: str
    sign: Callable[[bytes], bytes]


def own_credentials(seed: bytes) -> Credentials:
    """A chain of a root and a signer, made of secret bytes."""
    root, signer = (Ed25519PrivateKey.from_private_bytes(hashlib.sha256(seed + word).digest()) for word in (b"root", b"signer"))
    name = hashlib.sha256(_public(root)).hexdigest()[:16]
    own = _certificate(f"faceanon signer {name}", f"faceanon {name}", signer, root, is_root=False)
    return Credentials(own + _certificate(f"faceanon {name}", f"faceanon {name}", root, root, is_root=True), "ed25519", signer.sign)


def credentials_from(certificates: Path, key: Path) -> Credentials:
    """From PEM files: the chain, the signer's certificate first, and its key, Ed25519 or EC P-256. Raises KeystoreUnavailable."""
    try:
        chain, content = certificates.read_text(), key.read_bytes()
    except (OSError, UnicodeDecodeError) as error:
        raise KeystoreUnavailable(f"a certificate or its key cannot be read: {error}", source=str(key)) from error
    try:
        private = serialization.load_pem_private_key(content, None)
        first = x509.load_pem_x509_certificates(chain.encode())[0]
    except (ValueError, TypeError, IndexError):
        raise KeystoreUnavailable("is not a key, or its certificates are none", source=str(key)) from None
    if _public(first) != _public(private):
        raise KeystoreUnavailable("is not the key of the first certificate", source=str(key))
    if isinstance(private, Ed25519PrivateKey):
        return Credentials(chain, "ed25519", private.sign)
    if isinstance(private, ec.EllipticCurvePrivateKey) and isinstance(private.curve, ec.SECP256R1):
        return Credentials(chain, "es256", lambda data: _es256(private, data))
    raise KeystoreUnavailable("is a key of another kind than Ed25519 or EC P-256", source=str(key))


def _es256(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    """With a nonce that follows from key and data (RFC 6979)."""
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256(), deterministic_signing=True)))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _public(of: object) -> bytes:
    return of.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]


def _certificate(subject: str, issuer: str, key: Ed25519PrivateKey, by: Ed25519PrivateKey, *, is_root: bool) -> str:
    """As C2PA asks for: the signer's may sign, and nothing else."""
    usage = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only"), False)
    builder = (
        x509.CertificateBuilder(_name(issuer), _name(subject), key.public_key(), 1 if is_root else 2, _FROM, _UNTIL)
        .add_extension(x509.BasicConstraints(is_root, None), True)
        .add_extension(x509.KeyUsage(digital_signature=not is_root, key_cert_sign=is_root, crl_sign=is_root, **usage), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), False)
    )
    if not is_root:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
    return builder.sign(by, None).public_bytes(serialization.Encoding.PEM).decode()


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "faceanon"), x509.NameAttribute(NameOID.COMMON_NAME, common)])
