"""The keystore: a master key and a random salt per scope, from which labels, draws and sealing keys derive.

A key file is JSON {version, keystore_id, master, salts}, mode 0600. The driver makes it once; racing drivers agree, because link(2)
has one winner. Workers open it again from its path: a Keystore refuses to be pickled, so no key ever lies in a task's description.
`fingerprint` lets nodes find out that they hold different keys without showing any.

FACEANON_KEY is the path of the key file or, for containers, `base64:` and the base64 of a whole key file, which is then never written.
Destroying a scope's salt makes its labels impossible to derive and what was sealed for it impossible to read.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import hashlib
import hmac
import json
import logging
import os
import secrets
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from faceanon.core.errors import KeystoreUnavailable
from faceanon.core.records import SourceItem
from faceanon.core.settings import IdentitySettings, Settings

ENVIRONMENT = "FACEANON_KEY"
_VERSION = 1
_KEY_BYTES = 32
_SEALED = b"FASEAL1\n"
_NONCE_BYTES = 12
_PRESET_SCOPES = ("video", "archive")  # every keystore has these from the start, so a read-only one serves them

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Material:
    """What a key file holds."""

    keystore_id: str
    master: bytes
    salts: dict[str, bytes]

    def to_json(self) -> bytes:
        salts = {name: _b64(salt) for name, salt in sorted(self.salts.items())}
        return json.dumps({"version": _VERSION, "keystore_id": self.keystore_id, "master": _b64(self.master), "salts": salts}, indent=2).encode() + b"\n"


def scope_name(settings: Settings | IdentitySettings, item: SourceItem, video_id: str) -> str:
    """How far a person keeps one face: this video, the item's collection, or the whole archive."""
    scope = settings.identity.scope if isinstance(settings, Settings) else settings.scope
    return {"video": f"video:{video_id}", "collection": f"collection:{item.collection}", "archive": "archive"}[scope]


def salt_name(scope: str) -> str:
    """The salt that a scope uses: all videos share one, and their ids tell them apart."""
    return "video" if scope.startswith("video:") else scope


class Keystore:
    """An opened keystore. Keys stay inside; nothing of them is printed or pickled."""

    def __init__(self, material: _Material, path: Path | None) -> None:
        self._material = material
        self.path = path  # None: from the environment, read-only

    @classmethod
    def open(cls, path: Path | None, default: Path, *, create: bool = True) -> Keystore:
        """The keystore at `path`, else at FACEANON_KEY, else at `default`; made there if absent, unless `create` is False. Raises KeystoreUnavailable."""
        given = os.environ.get(ENVIRONMENT, "")
        if path is None and given.startswith("base64:"):
            return cls(_from_environment(given[7:]), None)
        target = Path(path or given or default).expanduser().absolute()
        if create and not target.exists():
            _make(target)
        return cls(_load(target), target)

    @property
    def keystore_id(self) -> str:
        """Random and public: tells keystores apart, says nothing of their keys."""
        return self._material.keystore_id

    def ensure_scopes(self, scopes: Iterable[str]) -> None:
        """Give every scope a salt, atomically beside other drivers. For the driver; workers open the keystore afterwards."""
        missing = sorted({salt_name(scope) for scope in scopes} - set(self._material.salts))
        if missing:
            self._change(lambda salts: {**{name: secrets.token_bytes(_KEY_BYTES) for name in missing}, **salts})

    def destroy(self, scope: str) -> None:
        """Forget a scope's salt for good. Other copies of the key file have to be destroyed by whoever made them."""
        self._change(lambda salts: {name: salt for name, salt in salts.items() if name != salt_name(scope)})

    def has_scope(self, scope: str) -> bool:
        return salt_name(scope) in self._material.salts

    def scopes(self) -> list[str]:
        """Names of all salts."""
        return sorted(self._material.salts)

    def scope_ref(self, scope: str) -> str:
        """16 hex digits that tell a scope's salt from any other, and nothing of it. Raises KeystoreUnavailable where there is none."""
        return _mac(self._material.master, b"ref", salt_name(scope).encode(), self._salt(salt_name(scope))).hex()[:16]

    def fingerprint(self, scopes: Iterable[str] = ()) -> str:
        """32 hex digits that are equal where the master key and these scopes' salts are."""
        names = sorted({salt_name(scope) for scope in scopes})
        return _mac(self._material.master, b"fingerprint", self.keystore_id.encode(), *(part for name in names for part in (name.encode(), self._salt(name)))).hex()[:32]

    def check(self, fingerprint: str, scopes: Iterable[str] = ()) -> None:
        """Raises KeystoreUnavailable where this node's keys are not the driver's."""
        if not hmac.compare_digest(fingerprint, self.fingerprint(scopes)):
            raise KeystoreUnavailable("holds other keys on this node than where the run was started", source=str(self.path or ENVIRONMENT))

    def label(self, scope: str, cluster_id: str) -> str:
        """The pseudonym of a person within a scope."""
        code = base64.b32encode(_mac(self._scope_key(scope), b"label", cluster_id.encode())[:10]).decode().lower()
        return f"person-{code}"  # 80 bits: 16 letters without padding

    def draw(self, scope: str, label: str, n: int) -> int:
        """The n-th number, 0 to 2**64 - 1, of a label's own keyed stream."""
        return int.from_bytes(_mac(self._scope_key(scope), b"draw", label.encode(), str(n).encode())[:8], "big")

    def evidence_seed(self) -> bytes:
        """32 secret bytes of which the key that signs the ledger's checkpoints is made, where the settings name no other."""
        return _mac(self._material.master, b"evidence")

    def credentials_seed(self) -> bytes:
        """32 secret bytes of which the chain that signs content credentials is made, where the settings name no other."""
        return _mac(self._material.master, b"credentials")

    def seal(self, data: bytes, context: str, *, scope: str = "") -> bytes:
        """`data` encrypted and bound to `context`; equal input gives equal bytes. With a scope it dies with the scope's salt."""
        key, nonce_key = self._sealing_keys(scope)
        nonce = _mac(nonce_key, context.encode(), data)[:_NONCE_BYTES]  # made of the message, so no nonce meets two messages
        return _SEALED + nonce + AESGCM(key).encrypt(nonce, data, context.encode())

    def open_sealed(self, sealed: bytes, context: str, *, scope: str = "") -> bytes:
        """What `seal` was given. Raises KeystoreUnavailable where the key, the context or a byte differs."""
        start = len(_SEALED) + _NONCE_BYTES
        if len(sealed) < start or not sealed.startswith(_SEALED):
            raise KeystoreUnavailable("is not sealed data", source=context)
        key, _ = self._sealing_keys(scope)
        try:
            return AESGCM(key).decrypt(sealed[len(_SEALED) : start], sealed[start:], context.encode())
        except InvalidTag as error:
            raise KeystoreUnavailable("was sealed with another key, or was changed", source=context) from error

    def __repr__(self) -> str:
        return f"Keystore({self.keystore_id}, {self.path or ENVIRONMENT})"

    def __reduce__(self):
        raise TypeError("a keystore is opened from its path on each node, never sent")

    def _salt(self, name: str) -> bytes:
        if name not in self._material.salts:
            raise KeystoreUnavailable(f"holds no salt for the scope {name!r}", source=str(self.path or ENVIRONMENT))
        return self._material.salts[name]

    def _scope_key(self, scope: str) -> bytes:
        return _mac(self._material.master, b"scope", scope.encode(), self._salt(salt_name(scope)))

    def _sealing_keys(self, scope: str) -> tuple[bytes, bytes]:
        root = self._scope_key(scope) if scope else self._material.master
        return _mac(root, b"seal"), _mac(root, b"nonce")

    def _change(self, change) -> None:
        """Rewrite the salts under a lock, starting from what the file holds now."""
        if self.path is None:
            raise KeystoreUnavailable(f"cannot be changed: {ENVIRONMENT} holds the keys themselves; use a key file to add or destroy scopes", source=ENVIRONMENT)
        try:
            handle = os.open(self.path.with_name(self.path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                now = _load(self.path)
                self._material = _Material(now.keystore_id, now.master, change(now.salts))
                aside = _write_aside(self.path, self._material)
                os.replace(aside, self.path)
            finally:
                os.close(handle)
        except OSError as error:
            raise KeystoreUnavailable(f"cannot be written: {error.strerror}", source=str(self.path)) from error


def _make(path: Path) -> None:
    """A new key file at `path`, unless another driver was first; then that one's counts."""
    salts = {name: secrets.token_bytes(_KEY_BYTES) for name in _PRESET_SCOPES}
    material = _Material(secrets.token_hex(8), secrets.token_bytes(_KEY_BYTES), salts)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        aside = _write_aside(path, material)
        try:
            os.link(aside, path)
        except FileExistsError:
            _log.debug("another driver made %s first", path)
        finally:
            aside.unlink()
    except OSError as error:
        raise KeystoreUnavailable(f"cannot be made: {error.strerror}", source=str(path)) from error


def _write_aside(path: Path, material: _Material) -> Path:
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(material.to_json())
        file.flush()
        os.fsync(file.fileno())
    return aside


def _load(path: Path) -> _Material:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read()
    except FileNotFoundError as error:
        raise KeystoreUnavailable("the key file does not exist on this node", source=str(path)) from error
    except OSError as error:
        raise KeystoreUnavailable(f"cannot be read: {error.strerror}", source=str(path)) from error
    if mode & 0o022:
        raise KeystoreUnavailable(f"others may write this key file (mode {mode:04o}): chmod 600 it", source=str(path))
    if mode & 0o044:
        _log.warning("others may read the key file %s (mode %04o): chmod 600 it", path, mode)
    return _parse(content, str(path))


def _from_environment(text: str) -> _Material:
    try:
        return _parse(base64.b64decode(text, validate=True), ENVIRONMENT)
    except binascii.Error as error:
        raise KeystoreUnavailable("is not base64 of a key file", source=ENVIRONMENT) from error


def _parse(content: bytes, source: str) -> _Material:
    """Never shows the content: it is the secret."""
    try:
        table = json.loads(content)
        version, salts = table["version"], {str(name): base64.b64decode(salt, validate=True) for name, salt in table["salts"].items()}
        material = _Material(str(table["keystore_id"]), base64.b64decode(table["master"], validate=True), salts)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise KeystoreUnavailable("is not a key file", source=source) from None
    if version != _VERSION:
        raise KeystoreUnavailable(f"is a key file of version {version}, this program reads {_VERSION}", source=source)
    if len(material.master) != _KEY_BYTES or any(len(salt) != _KEY_BYTES for salt in salts.values()):
        raise KeystoreUnavailable("is not a key file: a key has the wrong length", source=source)
    return material


def _mac(key: bytes, *parts: bytes) -> bytes:
    """HMAC-SHA256 over length-prefixed parts."""
    total = hmac.new(key, digestmod=hashlib.sha256)
    for part in parts:
        total.update(len(part).to_bytes(8, "big"))
        total.update(part)
    return total.digest()


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
