"""C2PA content credentials in an mp4: signed words that say what was done to its faces. No thumbnail, and nothing of the original but that there was one.

The library salts every assertion at random, so that two signings of one file differ. Here the salts follow from the output's id, hashes and signature
are computed anew, and the same input gives the same bytes. The result is read back by the library and has to be valid.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Callable
from pathlib import Path

from faceanon import __version__
from faceanon.core.errors import UsageError, VerificationFailed

FORMATS = {"mp4": "video/mp4", "mov": "video/quicktime"}  # by container
_COMPOSITE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
_SALT = re.compile(rb"\x00\x00\x00\x18c2sh(.{16})", re.DOTALL)  # a JUMBF box of 24 bytes
_BOX = b"jumb"
_LOOKED_AT = 1 << 20  # bytes of a file in which its manifest begins
_SIGNATURE_BYTES = 64

Sign = Callable[[bytes], bytes]


def check_available() -> None:
    """Raises UsageError where the library is not installed."""
    try:
        import c2pa  # noqa: F401
    except ImportError as error:
        raise UsageError("c2pa.sign needs a package that is not installed: pip install 'faceanon[c2pa]'") from error


def sign_credentials(
    path: Path, out: Path, container: str, *, output_id: str, replaced: int, obscured: int, certificates: str, algorithm: str, sign: Sign
) -> str:
    """Writes `out`: `path` with credentials. replaced, obscured: how many faces were painted which way, in frames. Returns the SHA-256 of the manifest.

    container: one of FORMATS. sign: 64 bytes for bytes, always the same. Raises VerificationFailed where the result is not valid.
    """
    import c2pa

    signed: list[bytes] = []

    def keep(data: bytes) -> bytes:
        signed.append(bytes(data))
        return sign(bytes(data))

    form = FORMATS[container]
    settings = c2pa.Settings.from_dict({"builder": {"thumbnail": {"enabled": False}}})
    words = json.dumps(manifest(form, output_id, replaced, obscured))
    kind = {"ed25519": c2pa.C2paSigningAlg.ED25519, "es256": c2pa.C2paSigningAlg.ES256}[algorithm]
    try:
        with (
            c2pa.Signer.from_callback(keep, kind, certificates, None) as signer,
            c2pa.Context(settings) as context,
            c2pa.Builder(words, context) as builder,
            path.open("rb") as source,
            out.open("w+b") as target,
        ):
            made = bytes(builder.sign(signer, form, source, target))
        settled = _settled(made, signed[-1], output_id, sign)
        _put(out, made, settled)
        with out.open("rb") as file, c2pa.Reader(form, file) as reader:
            state = reader.get_validation_state()
    except c2pa.C2paError as error:
        raise VerificationFailed(f"content credentials cannot be written: {error}") from error
    if state not in ("Valid", "Trusted"):
        raise VerificationFailed(f"the content credentials that were written are not valid: {state}")
    return hashlib.sha256(settled).hexdigest()


def manifest(form: str, output_id: str, replaced: int, obscured: int) -> dict:
    """What is said. Ids follow from the output's id."""
    done: dict = {"action": "c2pa.edited"}
    if replaced:
        and_obscured = ", or obscured where that was not possible" if obscured else ""
        done |= {"digitalSourceType": _COMPOSITE, "description": f"Faces of people were replaced by synthetic ones{and_obscured}."}
    elif obscured:
        done["description"] = "Faces of people were obscured."
    else:
        done = {"action": "c2pa.repackaged", "description": "No face was found that had to be covered."}
    actions = [{"action": "c2pa.opened", "parameters": {"ingredientIds": ["original"]}}, done]
    original = {"title": "original", "format": form, "relationship": "parentOf", "label": "original", "instance_id": f"xmp:iid:{_uuid(output_id, 'original')}"}
    return {
        "claim_generator_info": [{"name": "faceanon", "version": __version__}],
        "format": form,
        "label": f"urn:c2pa:{_uuid(output_id, 'manifest')}",
        "instance_id": f"xmp:iid:{_uuid(output_id, 'output')}",
        "ingredients": [original],
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions}}],
    }


def _uuid(output_id: str, word: str) -> uuid.UUID:
    return uuid.UUID(bytes=hashlib.sha256(f"c2pa {word} {output_id}".encode()).digest()[:16], version=4)


def _settled(made: bytes, signed: bytes, output_id: str, sign: Sign) -> bytes:
    """The manifest with salts of our own. signed: the bytes under its signature, which hold the same hashes as the manifest does."""
    boxes = [_box_around(made, match.start()) for match in _SALT.finditer(made)]
    before = [hashlib.sha256(made[start + 8 : stop]).digest() for start, stop in boxes]
    now = bytearray(made)
    for number, match in enumerate(_SALT.finditer(made)):
        now[match.start(1) : match.end(1)] = hashlib.sha256(f"c2pa salt {number} {output_id}".encode()).digest()[:16]
    for (start, stop), old in zip(boxes, before, strict=True):  # an assertion speaks of earlier ones only
        new = hashlib.sha256(now[start + 8 : stop]).digest()
        now, signed = now.replace(old, new), signed.replace(old, new)
    now[-_SIGNATURE_BYTES:] = sign(signed)  # it stands at the manifest's end
    return bytes(now)


def _box_around(made: bytes, place: int) -> tuple[int, int]:
    """The innermost JUMBF superbox that holds the byte at `place`."""
    start = made.rfind(_BOX, 0, place) - 4
    return start, start + int.from_bytes(made[start : start + 4], "big")


def _put(path: Path, made: bytes, settled: bytes) -> None:
    with path.open("r+b") as file:
        place = file.read(_LOOKED_AT + len(made)).find(made)
        if place < 0 or len(made) != len(settled):
            raise VerificationFailed("the content credentials do not stand where they should")
        file.seek(place)
        file.write(settled)
