"""Checkpoints of the evidence log: a tree's size and root, signed, as a signed note.

The form is C2SP signed-note and tlog-checkpoint: origin, size, root in base64, further lines, an empty line, and a line for each signature,
"— <key name> <base64 of four bytes of key id and an ed25519 signature over the text>". One of the further lines holds the public key,
"key <name>+<key id>+<base64>", which says who signed but proves nothing by itself: whoever checks compares it with a key that they hold.
The private key is a PEM file (PKCS 8), mode 0600, made once; beside it lies the public one as FILE.pub.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from faceanon.core.errors import KeystoreUnavailable, UsageError

_ED25519 = b"\x01"
_SIGNATURE = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})")


@dataclass(frozen=True)
class PublicKey:
    """Who signs. name: without blanks and without +."""

    name: str
    raw: bytes  # 32 bytes

    @property
    def key_id(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.raw).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(_ED25519 + self.raw).decode()}"

    def verifies(self, signature: bytes, text: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, text)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class Checkpoint:
    """What a note says. key: its own further line, None where it has none. signatures: (name, key id, signature)."""

    origin: str
    size: int
    root: bytes
    key: PublicKey | None
    text: bytes
    signatures: tuple[tuple[str, bytes, bytes], ...]

    def is_signed_by(self, key: PublicKey) -> bool:
        return any((name, key_id) == (key.name, key.key_id) and key.verifies(signature, self.text) for name, key_id, signature in self.signatures)


class Signer:
    """An opened signing key. It stays inside; nothing of it is printed or pickled."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        raw = private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        self.public = PublicKey(f"faceanon-{hashlib.sha256(raw).hexdigest()[:16]}", raw)

    @classmethod
    def open(cls, path: Path) -> Signer:
        """The key at `path`, made there if absent. Raises KeystoreUnavailable."""
        try:
            if not path.exists():
                _make(path)
            mode = stat.S_IMODE(path.stat().st_mode)
            content = path.read_bytes()
        except OSError as error:
            raise KeystoreUnavailable(f"the key that signs checkpoints cannot be made or read: {error.strerror}", source=str(path)) from error
        if mode & 0o077:
            raise KeystoreUnavailable(f"others may read or write the key that signs checkpoints (mode {mode:04o}): chmod 600 it", source=str(path))
        try:
            private = serialization.load_pem_private_key(content, None)
        except (ValueError, TypeError):
            raise KeystoreUnavailable("is not a key that signs checkpoints", source=str(path)) from None
        if not isinstance(private, Ed25519PrivateKey):
            raise KeystoreUnavailable("is a key of another kind than ed25519", source=str(path))
        return cls(private)

    @classmethod
    def from_seed(cls, seed: bytes) -> Signer:
        """The key that 32 secret bytes stand for."""
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    def note(self, origin: str, size: int, root: bytes) -> bytes:
        """A signed checkpoint; the same for the same tree."""
        text = f"{origin}\n{size}\n{base64.b64encode(root).decode()}\nkey {self.public}\n"
        signature = self.public.key_id + self._private.sign(text.encode())
        return f"{text}\n— {self.public.name} {base64.b64encode(signature).decode()}\n".encode()

    def __repr__(self) -> str:
        return f"Signer({self.public.name})"

    def __reduce__(self):
        raise TypeError("a signing key is opened from its path, never sent")


def parse_note(note: bytes, source: str = "") -> Checkpoint:
    """Raises UsageError where these bytes are no checkpoint. Nothing is verified yet."""
    try:
        text, _, signed = note.decode().rpartition("\n\n")
        origin, size, root, *further = text.split("\n")
        found = [_SIGNATURE.fullmatch(line) for line in signed.removesuffix("\n").split("\n")]
        decoded = [(match[1], base64.b64decode(match[2], validate=True)) for match in found if match]
        keys = [public_key(line.removeprefix("key ")) for line in further if line.startswith("key ")]
        checkpoint = Checkpoint(
            origin, int(size), base64.b64decode(root, validate=True), keys[0] if keys else None, f"{text}\n".encode(),
            tuple((name, data[:4], data[4:]) for name, data in decoded),
        )  # fmt: skip
    except ValueError as error:  # bad UTF-8, base64 and numbers are of this kind, too
        raise UsageError("is not a checkpoint: a signed note has an origin, a size, a root and signatures", source=source) from error
    if not origin or not all(found) or not decoded or len(checkpoint.root) != 32 or checkpoint.size < 0 or str(checkpoint.size) != size:
        raise UsageError("is not a checkpoint: a signed note has an origin, a size, a root and signatures", source=source)
    return checkpoint


def public_key(text: str, source: str = "") -> PublicKey:
    """From name+id+base64, as a note and FILE.pub hold it. Raises UsageError."""
    try:
        name, key_id, data = text.strip().split("+", 2)
        raw = base64.b64decode(data, validate=True)
        key = PublicKey(name, raw[1:])
        Ed25519PublicKey.from_public_bytes(key.raw)
    except ValueError as error:
        raise UsageError("is not a public key: expected name+id+base64, as in the file that ends in .pub", source=source) from error
    if raw[:1] != _ED25519 or key.key_id.hex() != key_id:
        raise UsageError("is not a public key: its id does not fit", source=source)
    return key


def _make(path: Path) -> None:
    """A new key, unless another process was first; then that one's counts."""
    signer = Ed25519PrivateKey.generate()
    pem = signer.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(aside, path)
            path.with_name(path.name + ".pub").write_text(f"{Signer(signer).public}\n")
    finally:
        aside.unlink()
