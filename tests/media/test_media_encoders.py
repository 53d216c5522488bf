"""What the default encoder settings promise: detail is kept, files do not grow, and an audit has few frames to decode."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from media_support import encoded, planned

from faceanon.core.settings import EncodeSettings, PlanSettings
from faceanon.media.clips import write_clip
from faceanon.media.encoders import plan_encoder
from faceanon.media.staging import read_packets

FRAMES = 60


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """A ground that a camera passes slowly, with a box before it that moves otherwise."""
    rng = np.random.default_rng(1)
    ground = cv2.GaussianBlur(cv2.resize(rng.integers(0, 255, (72, 160, 3), np.uint8), (640, 288)), (0, 0), 1.0)
    images = []
    for n in range(FRAMES):
        image = np.ascontiguousarray(ground[16:256, 20 + n : 340 + n])
        cv2.rectangle(image, (260 - 3 * n, 90), (320 - 3 * n, 170), (40, 90, 200), -1)
        images.append(image)
    path = tmp_path_factory.mktemp("encoders") / "pan.mp4"
    write_clip(path, iter(images))
    return path


def coded(clip: Path, tmp_path: Path, settings: EncodeSettings) -> list[bytes]:
    """Packets without the ceiling that comes from the source's own bit rate."""
    facts, _, segments = planned(clip, PlanSettings())
    assert len(segments) == 1
    return [packet.payload for packet in read_packets(encoded(clip, replace(facts, bit_rate=0), segments[0], tmp_path / "coded", settings))]


def lumas(packets: list[bytes], skip: str = "DEFAULT") -> list[np.ndarray]:
    decoder = av.CodecContext.create("h264", "r")
    decoder.skip_frame = skip
    frames = [frame for packet in [*packets, None] for frame in decoder.decode(packet and av.Packet(packet))]
    return [luma(frame) for frame in frames]


def luma(frame: av.VideoFrame) -> np.ndarray:
    """As it is stored: made grey, it would be stretched by what tags say of its range."""
    return frame.to_ndarray()[: frame.height]


def ssim(one: np.ndarray, other: np.ndarray) -> float:
    """Wang et al., 2004, mean over the picture."""
    a, b = one.astype(np.float64), other.astype(np.float64)
    mean_a, mean_b, aa, bb, ab = (cv2.GaussianBlur(x, (11, 11), 1.5) for x in (a, b, a * a, b * b, a * b))
    var_a, var_b, cov = aa - mean_a**2, bb - mean_b**2, ab - mean_a * mean_b
    return float((((2 * mean_a * mean_b + 6.5025) * (2 * cov + 58.5225)) / ((mean_a**2 + mean_b**2 + 6.5025) * (var_a + var_b + 58.5225))).mean())


def test_the_default_preset_keeps_detail_in_files_like_veryfast_s(clip, tmp_path):
    """SSIM against the source at most .005 below what x264's veryfast keeps, in a file at most half as large again."""
    quick, slow = (coded(clip, tmp_path, settings) for settings in (EncodeSettings(), EncodeSettings(preset="veryfast")))
    with av.open(str(clip)) as container:
        source = [luma(frame) for frame in container.decode(video=0)]
    kept = [np.mean([ssim(a, b) for a, b in zip(source, lumas(packets), strict=True)]) for packets in (quick, slow)]

    assert quick != slow
    assert kept[0] >= kept[1] - 0.005
    assert sum(map(len, quick)) <= 1.5 * sum(map(len, slow))


def test_most_frames_are_none_that_others_refer_to(clip, tmp_path):
    """An audit that decodes only frames that others refer to decodes about a quarter of them."""
    assert len(lumas(coded(clip, tmp_path, EncodeSettings()), "NONREF")) <= 0.3 * FRAMES


@pytest.mark.parametrize(("preset", "crf"), [("superfast", "18.5"), ("ultrafast", "18.5"), ("veryfast", "20"), ("medium", "20")])
def test_only_the_quick_presets_take_a_finer_step(clip, preset, crf):
    """A preset that somebody chose for its quality is left as it is."""
    options = plan_encoder(planned(clip)[0], EncodeSettings(preset=preset)).options

    assert options["crf"] == crf
    assert ("mbtree=1" in options["x264-params"]) == (crf != "20")
