"""dlib's net out of dlib's own file gives dlib's own numbers."""

from __future__ import annotations

import dlib
import numpy as np
import pytest

from faceanon.core.errors import WeightsUnavailable
from faceanon.models import weights
from faceanon.models.dlib_net import CHIP_PX, DlibNet

pytestmark = pytest.mark.models


def test_the_same_descriptor_as_dlib():
    """Any picture will do: the net is compared, not faces."""
    path = weights.path_of("dlib_face")
    ours, theirs = DlibNet(path), dlib.face_recognition_model_v1(str(path))
    random = np.random.default_rng(3)
    chips = [np.full((CHIP_PX, CHIP_PX, 3), 90, np.uint8), *(random.integers(0, 256, (CHIP_PX, CHIP_PX, 3), np.uint8) for _ in range(2))]

    for chip in chips:
        assert np.abs(ours(chip) - np.array(theirs.compute_face_descriptor(chip))).max() < 1e-5


def test_another_file_is_refused_by_name(tmp_path):
    path = tmp_path / "other.dat"
    path.write_bytes(weights.path_of("dlib_points5").read_bytes()[:100_000])

    with pytest.raises(WeightsUnavailable, match="not dlib's face recognition net") as refused:
        DlibNet(path)

    assert refused.value.source == str(path)


def test_a_file_cut_short_is_refused(tmp_path):
    path = tmp_path / "short.dat"
    path.write_bytes(weights.path_of("dlib_face").read_bytes()[:3_000_000])

    with pytest.raises(WeightsUnavailable):
        DlibNet(path)
