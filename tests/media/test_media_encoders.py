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
from faceanon.media.encode import SegmentWriter
from faceanon.media.encoders import plan_encoder
from faceanon.media.guarded import read_pictures
from faceanon.media.planes import coded_box, to_frame
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


def with_faces(clip: Path, path: Path, boxes: list[tuple[int, int, int, int]], settings: EncodeSettings) -> list[bytes]:
    """The clip's packets when these boxes hold painted faces, at a rate that is a little short everywhere."""
    facts, _, segments = planned(clip, PlanSettings())
    with SegmentWriter(path, replace(facts, bit_rate=0), settings) as writer:
        for picture in read_pictures(clip, facts, segments[0]):
            writer.write(picture, boxes)
    return [packet.payload for packet in read_packets(path)]


def kept_inside(clip: Path, packets: list[bytes], box: tuple[int, int, int, int]) -> float:
    """SSIM against the source inside the box."""
    x0, y0, x1, y1 = box
    with av.open(str(clip)) as container:
        source = [luma(frame) for frame in container.decode(video=0)]
    return float(np.mean([ssim(a[y0:y1, x0:x1], b[y0:y1, x0:x1]) for a, b in zip(source, lumas(packets), strict=True)]))


def test_a_small_face_gets_more_bits(clip, tmp_path):
    """Inside the box more of the picture is kept than without it, the same bytes each time; a large face changes nothing."""
    settings, face, large = EncodeSettings(quality=32), (100, 60, 164, 124), (40, 20, 300, 220)

    plain, marked, again, wide = (with_faces(clip, tmp_path / f"{n}", boxes, settings) for n, boxes in enumerate(([], [face], [face], [large])))

    assert kept_inside(clip, marked, face) > kept_inside(clip, plain, face) + 0.02
    assert marked == again
    assert wide == plain
    assert sum(map(len, marked)) < 1.5 * sum(map(len, plain))


def test_an_encoder_that_cannot_be_told_ignores_faces(clip, tmp_path):
    """x264's ultrafast has no adaptive quantization: the box changes no byte, and nothing is complained of."""
    plain, marked = (with_faces(clip, tmp_path / f"{n}", boxes, EncodeSettings(preset="ultrafast")) for n, boxes in enumerate(([], [(100, 60, 164, 124)])))

    assert plain == marked


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_a_box_is_marked_where_it_is_coded(rotation):
    """What an upright picture shows in a box lies in the coded frame where the box is said to be."""
    upright = np.zeros((40, 60), np.uint8)
    x0, y0, x1, y1 = 5, 10, 20, 18
    upright[y0:y1, x0:x1] = 9
    frame = to_frame((upright,), "gray", rotation).to_ndarray()

    left, top, right, bottom = coded_box((x0, y0, x1, y1), 60, 40, rotation)

    assert (frame[top:bottom, left:right] == 9).all()
    assert frame.astype(int).sum() == 9 * (right - left) * (bottom - top)
