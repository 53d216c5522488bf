"""Rows of a region table by frame."""

from __future__ import annotations

import numpy as np

from faceanon.core.records import RegionTable


def rows_at(regions: RegionTable, frame: int) -> range:
    """Row numbers of one frame."""
    low, high = np.searchsorted(regions.frame, [frame, frame + 1])
    return range(int(low), int(high))
