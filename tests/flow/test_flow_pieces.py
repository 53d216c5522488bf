"""The whole job on one segment with faces in the middle: its other GOPs are copied, the ledger says how many, and a repair keeps them."""

from __future__ import annotations

import base64
from pathlib import Path

import av
import numpy as np
import pytest
from support.browser import opened_page
from support.fake_archive import fake_models, frames, run_local

from faceanon.core.settings import Settings
from faceanon.ledger.query import query
from faceanon.media.clips import write_clip
from faceanon.media.decode import read_pictures
from faceanon.media.probe import probe

BLUR = Settings().with_values(render__engine="blur", detect__width_px=192)
FACES = range(70, 90)  # of 150 frames, GOPs of 15
_SHOWN = """async ([data, times]) => {
  const video = document.createElement('video');
  video.src = data;
  await new Promise((resolve, reject) => { video.onloadeddata = resolve; video.onerror = () => reject(video.error.message); });
  const canvas = Object.assign(document.createElement('canvas'), {width: video.videoWidth, height: video.videoHeight});
  const context = canvas.getContext('2d', {willReadFrequently: true});
  const drawn = () => {
    context.drawImage(video, 0, 0);
    return Array.from(context.getImageData(0, 0, canvas.width, canvas.height).data.filter((_, n) => n % 4 == 1));
  };
  const seen = [];
  let green = Array(canvas.width * canvas.height).fill(0);
  for (const time of times) {
    await new Promise(resolve => { video.onseeked = resolve; video.currentTime = time; });
    const before = green;  // black at first; where two frames are alike to the px, either will do
    for (let tries = 0; tries < 75 && green.every((value, n) => value == before[n]); tries++) {  // drawable only a little later
      if (tries) await new Promise(resolve => setTimeout(resolve, 20));
      green = drawn();
    }
    seen.push(green);
  }
  video.currentTime = 0;
  video.playbackRate = 4;
  await new Promise((resolve, reject) => { video.onended = resolve; video.onerror = () => reject(video.error.message); video.play(); });
  return seen;
}"""


def script(n: int) -> list:
    return [(20 + 3 * (n - FACES.start), 70, 44, 0)] if n in FACES else []


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "walk.mp4", frames(script, 150), gop=15)


@pytest.fixture(scope="module")
def out(clip, tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("job")
    assert run_local([str(clip)], home / "out", home / "key.json", BLUR)["published"] == 1
    return home / "out"


def same_frames(before: Path, after: Path) -> list[bool]:
    pairs = zip(*(read_pictures(path, probe(path, BLUR.plan)[0], None) for path in (before, after)), strict=True)
    return [all(np.array_equal(a, b) for a, b in zip(one.planes, two.planes, strict=True)) for one, two in pairs]


def test_only_gops_with_faces_are_encoded(clip, out):
    """Frames of other GOPs are the source's, bit by bit; every frame with a face is not; segments and outputs count the copied ones."""
    same = same_frames(clip, out / "videos/walk.mp4")

    (segment,) = query(str(out), "SELECT state, reason, frames, copied_frames FROM segments").to_pylist()
    assert same.count(True) == segment["copied_frames"] >= 90
    assert not any(same[n] for n in FACES)
    assert (segment["state"], segment["reason"], segment["frames"]) == ("encoded", "faces", 150)
    assert query(str(out), "SELECT copied_frames, copied_segments, encoded_segments FROM outputs").to_pylist() == [
        {"copied_frames": segment["copied_frames"], "copied_segments": 0, "encoded_segments": 1}
    ]


def test_what_cannot_be_joined_is_encoded_and_says_why(tmp_path):
    """In a codec whose packets do not mix no GOP is copied, and the ledger has the reason."""
    path = write_clip(tmp_path / "old.mp4", frames(script, 150), codec="mpeg4", gop=15, bframes=0)

    run_local([str(path)], tmp_path / "out", tmp_path / "key.json", BLUR)

    (segment,) = query(str(tmp_path / "out"), "SELECT state, reason, copied_frames FROM segments").to_pylist()
    assert (segment["state"], segment["copied_frames"]) == ("encoded", 0)
    assert segment["reason"].startswith("faces; ")
    assert "one header holds for the whole stream" in segment["reason"]


def test_a_repair_paints_in_a_gop_that_was_copied(clip, tmp_path):
    """Where the run's own detector is blind until frame 80, the auditor sees the face in a copied GOP, which is then encoded; the last GOPs stay copied."""
    seen: list[int] = []

    def late(settings, *, need):
        models = fake_models(settings, need=need)
        inner = models.detector.detect

        def detect(image):
            boxes, points, scores = inner(image)
            keep = boxes[:, 0] > image.shape[1] * 0.25
            seen.append(len(boxes))
            return boxes[keep], points[keep], scores[keep]

        models.detector.detect = detect
        return models

    path = write_clip(tmp_path / "walk.mp4", frames(lambda n: [(20, 70, 44, 0)] if n in range(40, 60) else script(n), 150), gop=15)
    summary = run_local([str(path)], tmp_path / "out", tmp_path / "key.json", BLUR.with_values(verify__every_s=0.2), loader=late)

    same = same_frames(path, tmp_path / "out/videos/walk.mp4")
    assert (summary["published"], summary["repairs"] > 0) == (1, True)
    assert not any(same[n] for n in [*range(40, 60), *FACES])
    assert all(same[-30:])


def test_a_browser_plays_what_was_joined(out):
    """Chromium shows, in copied and encoded GOPs and at their joints, what FFmpeg decodes, and plays to the end without an error."""
    path = out / "videos/walk.mp4"
    with av.open(str(path)) as container:
        shown = [(frame.time, frame.to_ndarray(format="rgb24")[..., 1]) for frame in container.decode(video=0)]
    wanted = [shown[n] for n in (0, 10, 59, 60, 74, 75, 80, 89, 90, 104, 105, 149)]
    data = "data:video/mp4;base64," + base64.b64encode(path.read_bytes()).decode()

    with opened_page() as (page, complaints):
        seen = page.evaluate(_SHOWN, [data, [time + 0.02 for time, _ in wanted]])

    assert complaints == []
    for (time, image), pixels in zip(wanted, seen, strict=True):
        assert np.abs(np.array(pixels).reshape(image.shape) - image.astype(int)).mean() < 6, time
