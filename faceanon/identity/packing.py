"""Named arrays and a JSON header as one npz file of the same bytes every time: sorted names, fixed dates, nothing pickled."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file can say
_HEADER = "header.json"


def pack(header: Mapping[str, Any], arrays: Mapping[str, NDArray]) -> bytes:
    """`header` must be JSON; arrays of any numeric dtype."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        _put(archive, _HEADER, json.dumps(header, sort_keys=True).encode())
        for name in sorted(arrays):
            part = io.BytesIO()
            np.lib.format.write_array(part, np.ascontiguousarray(arrays[name]), allow_pickle=False)
            _put(archive, f"{name}.npy", part.getvalue())
    return buffer.getvalue()


def unpack(data: bytes) -> tuple[dict[str, Any], dict[str, NDArray]]:
    """What `pack` was given. Raises ValueError for anything else."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            header = json.loads(archive.read(_HEADER))
            names = [name for name in archive.namelist() if name.endswith(".npy")]
            return header, {name[:-4]: np.lib.format.read_array(io.BytesIO(archive.read(name)), allow_pickle=False) for name in names}
    except (zipfile.BadZipFile, KeyError) as error:
        raise ValueError(f"not a packed file: {error}") from error


def _put(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, _DATE)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3  # the same on every operating system
    archive.writestr(entry, data, compresslevel=1)
