"""Work files that hold biometric data: analyses, views and regions, packed to the same bytes every time and sealed with the keystore.

A file is bound to its name, so none can be put in another's place. First writer wins: a second one has worked out the same.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faceanon.core.errors import AlreadyExists, StoreError
from faceanon.core.ports import Store
from faceanon.core.records import Detections, FaceSamples, FaceViews, Identity, Persona, RegionTable, SegmentAnalysis, Track, VideoRegions
from faceanon.identity.keystore import Keystore
from faceanon.identity.packing import pack, unpack

_VERSION = 1
_TRACK_ARRAYS = ("frame", "box", "points", "score", "origin", "detection_rows")


def save_analysis(store: Store, keystore: Keystore, name: str, analysis: SegmentAnalysis) -> None:
    _save(store, keystore, name, pack_analysis(analysis))


def load_analysis(store: Store, keystore: Keystore, name: str) -> SegmentAnalysis:
    """Raises FileNotFoundError, KeystoreUnavailable or StoreError."""
    return unpack_analysis(keystore.open_sealed(store.read(name), name))


def save_views(store: Store, keystore: Keystore, name: str, views: FaceViews) -> None:
    _save(store, keystore, name, pack({"kind": "views", "version": _VERSION}, _columns("views", views)))


def load_views(store: Store, keystore: Keystore, name: str) -> FaceViews:
    """Raises FileNotFoundError, KeystoreUnavailable or StoreError."""
    _, arrays = _unpack(keystore.open_sealed(store.read(name), name), "views")
    return FaceViews(**_below("views", arrays))


def save_regions(store: Store, keystore: Keystore, name: str, regions: VideoRegions) -> None:
    _save(store, keystore, name, pack_regions(regions))


def load_regions(store: Store, keystore: Keystore, name: str) -> VideoRegions:
    """Raises FileNotFoundError, KeystoreUnavailable or StoreError."""
    return unpack_regions(keystore.open_sealed(store.read(name), name))


def pack_analysis(analysis: SegmentAnalysis) -> bytes:
    header = {"kind": "analysis", "version": _VERSION, **_scalars(analysis, ("video_id", "segment_no", "num_frames_decoded", "num_frames_detected"))}
    arrays = {**_columns("detections", analysis.detections), **_columns("samples", analysis.samples), "cut_frame": analysis.cut_frame, "cut_score": analysis.cut_score}
    return pack(header, arrays)


def unpack_analysis(data: bytes) -> SegmentAnalysis:
    header, arrays = _unpack(data, "analysis")
    return SegmentAnalysis(
        header["video_id"],
        header["segment_no"],
        Detections(**_below("detections", arrays)),
        FaceSamples(**_below("samples", arrays)),
        arrays["cut_frame"],
        arrays["cut_score"],
        header["num_frames_decoded"],
        header["num_frames_detected"],
    )


def pack_regions(regions: VideoRegions) -> bytes:
    """Tracks lie end to end in shared columns, with their lengths beside them."""
    header = {
        "kind": "regions",
        "version": _VERSION,
        "video_id": regions.video_id,
        "identities": [_identity_row(identity) for identity in regions.identities],
        "tracks": [_scalars(track, ("track_no", "shot_no", "trusted")) for track in regions.tracks],
    }
    arrays = _columns("regions", regions.regions)
    for name in _TRACK_ARRAYS if regions.tracks else ():
        parts = [getattr(track, name) for track in regions.tracks]
        arrays[f"tracks.{name}"] = np.concatenate(parts)
        arrays[f"lengths.{name}"] = np.array([len(part) for part in parts], np.int64)
    return pack(header, arrays)


def unpack_regions(data: bytes) -> VideoRegions:
    header, arrays = _unpack(data, "regions")
    columns = {name: np.split(arrays[f"tracks.{name}"], np.cumsum(arrays[f"lengths.{name}"])[:-1]) for name in _TRACK_ARRAYS if f"tracks.{name}" in arrays}
    tracks = tuple(Track(**{**scalars, **{name: columns[name][i] for name in _TRACK_ARRAYS}}) for i, scalars in enumerate(header["tracks"]))
    identities = tuple(_identity(row) for row in header["identities"])
    return VideoRegions(header["video_id"], identities, tracks, RegionTable(**_below("regions", arrays)))


def persona_row(persona: Persona | None) -> list | None:
    """A persona as JSON takes it."""
    return None if persona is None else [getattr(persona, f.name) for f in fields(persona)]


def persona_of(row: list | None) -> Persona | None:
    return None if row is None else Persona(*row)


def _save(store: Store, keystore: Keystore, name: str, data: bytes) -> None:
    try:
        store.create(name, keystore.seal(data, name))
    except AlreadyExists:
        return


def _unpack(data: bytes, kind: str) -> tuple[dict[str, Any], dict[str, NDArray]]:
    try:
        header, arrays = unpack(data)
    except ValueError as error:
        raise StoreError(str(error)) from error
    if (header.get("kind"), header.get("version")) != (kind, _VERSION):
        raise StoreError(f"holds {header.get('kind')!r} of version {header.get('version')!r}, not {kind!r} of version {_VERSION}")
    return header, arrays


def _scalars(record: object, names: tuple[str, ...]) -> dict[str, Any]:
    """Plain values of a record; numpy's own scalars become Python's."""
    values = {name: getattr(record, name) for name in names}
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in values.items()}


def _columns(prefix: str, record: Detections | FaceSamples | FaceViews | RegionTable) -> dict[str, NDArray]:
    return {f"{prefix}.{f.name}": getattr(record, f.name) for f in fields(record)}


def _below(prefix: str, arrays: dict[str, NDArray]) -> dict[str, NDArray]:
    return {name[len(prefix) + 1 :]: array for name, array in arrays.items() if name.startswith(prefix + ".")}


def _identity_row(identity: Identity) -> dict[str, Any]:
    row = _scalars(identity, ("identity_no", "label", "cluster_id"))
    code = {} if identity.code is None else {"code": list(identity.code)}
    return {**row, "persona": persona_row(identity.persona), "tracks": [int(track) for track in identity.tracks], **code}


def _identity(row: dict[str, Any]) -> Identity:
    code = tuple(row["code"]) if "code" in row else None
    return Identity(row["identity_no"], row["label"], row["cluster_id"], persona_of(row["persona"]), tuple(row["tracks"]), code)
