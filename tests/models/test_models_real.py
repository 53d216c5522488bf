"""Real weights on synthetic people: each model does what its port promises, the same twice.

The portraits are made here by the generator, at 512 px. Where points lie in them was looked at once; tests allow for some px.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from faceanon.core.geometry import iou
from faceanon.core.settings import ModelSettings, Settings
from faceanon.models import detectors, weights
from faceanon.models.catalog import load_models
from faceanon.models.detectors import YUNET_SIDES_PX, make_detector
from faceanon.models.stylegan import StyleGan

pytestmark = pytest.mark.models

MODELS = ModelSettings()
WOMAN, MAN, OTHER_MAN = 1, 3, 10  # rows of the noise below
UNKNOWN = np.full((5, 2), np.nan, np.float32)


@cache
def portraits() -> dict[int, NDArray[np.uint8]]:
    """Three people, (512, 512, 3) uint8 BGR on a plain ground."""
    generator = StyleGan(*(weights.path_of(f"mobilestylegan_{net}_{part}") for net in ("mapping", "synthesis") for part in ("xml", "bin")))
    noise = np.random.default_rng(7).standard_normal((24, 512)).astype(np.float32)
    styles = generator.map(noise)
    mean = styles.mean(0)
    rows = (WOMAN, MAN, OTHER_MAN)
    return {row: cv2.resize(generator.synthesize(mean + np.float32(0.6) * (styles[row] - mean)), (512, 512), interpolation=cv2.INTER_AREA) for row in rows}


@cache
def models():
    return load_models(Settings(), need=frozenset({"detector", "auditor", "mesh", "embedder", "attributes", "segmenter"}))


def sight(row: int):
    boxes, points, _ = models().detector.detect(portraits()[row])
    return portraits()[row], points[0], boxes[0]


@pytest.mark.parametrize("name", ["yunet", "centerface", "mtcnn", "yunet+centerface"])
def test_each_detector_finds_the_one_face(name):
    """A portrait has one face, whose points lie where they are named: left before right, eyes above nose above mouth."""
    detector = make_detector(name, threshold=0.6, models=MODELS)
    first = detector.detect(portraits()[MAN])
    second = detector.detect(portraits()[MAN])

    boxes, points, scores = first
    assert len(boxes) == 1
    assert scores[0] > 0.8
    left_eye, right_eye, nose, left_mouth, right_mouth = points[0]
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_mouth[0] < nose[0] < right_mouth[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_detectors_of_two_families_agree():
    """YuNet, CenterFace and MTCNN draw one face in one place, and mark the same points within a tenth of its width."""
    faces = [make_detector(name, threshold=0.6, models=MODELS).detect(portraits()[WOMAN]) for name in ("yunet", "centerface", "mtcnn")]
    boxes, points = np.concatenate([face[0] for face in faces]), np.concatenate([face[1] for face in faces])

    assert iou(boxes, boxes).min() > 0.6
    assert np.abs(points - points.mean(0)).max() < 0.1 * (boxes[0, 2] - boxes[0, 0])


@pytest.mark.parametrize("name", ["yunet", "centerface", "mtcnn"])
@pytest.mark.parametrize(("width", "height"), [(1, 1), (16, 16), (5, 300), (300, 5), (33, 17)])
def test_any_size_is_looked_at(name, width, height):
    """No size is too small or too odd; a plain picture has no face."""
    boxes, points, scores = make_detector(name, threshold=0.6, models=MODELS).detect(np.full((height, width, 3), 128, np.uint8))

    assert (boxes.shape, points.shape, scores.shape) == ((0, 4), (0, 5, 2), (0,))


@pytest.mark.parametrize("size", [(320, 320), (333, 217), (64, 96)])
def test_yunet_is_decoded_as_opencv_decodes_it(monkeypatch, tmp_path, size):
    """Boxes (but for the constant that moves their sides), points and scores are those of OpenCV's own reader of the same net."""
    monkeypatch.setattr(detectors, "has_bf16", lambda: False)
    path = tmp_path / "yunet.onnx"
    path.write_bytes(weights.path_of("yunet").read_bytes())
    image = cv2.resize(portraits()[WOMAN], size, interpolation=cv2.INTER_AREA)

    (theirs,) = cv2.FaceDetectorYN.create(str(path), "", size, 0.6, 0.3, 5000).detect(image)[1]
    boxes, points, scores = make_detector("yunet", threshold=0.6, models=MODELS).detect(image)

    edges = np.concatenate([theirs[:2], theirs[:2] + theirs[2:4]]) + YUNET_SIDES_PX
    assert boxes[0] == pytest.approx(np.clip(edges, 0, [*size, *size]), abs=0.01)
    assert points[0].ravel() == pytest.approx(theirs[4:14], abs=0.01)
    assert scores[0] == pytest.approx(theirs[14], abs=1e-4)


@pytest.mark.parametrize("name", ["yunet", "centerface"])
@pytest.mark.parametrize("size", [(320, 320), (333, 217)])
def test_a_detector_sees_the_same_in_bfloat16(monkeypatch, name, size):
    """The net that takes pictures as they are finds what onnxruntime's finds: the same face within a px, with about the same score."""
    image = cv2.resize(portraits()[WOMAN], size, interpolation=cv2.INTER_AREA)
    seen = []
    for has in (True, False):
        monkeypatch.setattr(detectors, "has_bf16", lambda has=has: has)
        seen.append(make_detector(name, threshold=0.6, models=MODELS).detect(image))
    ours, theirs = seen

    assert len(ours[0]) == len(theirs[0]) == 1
    assert ours[0] == pytest.approx(theirs[0], abs=1)
    assert ours[1] == pytest.approx(theirs[1], abs=1)
    assert ours[2] == pytest.approx(theirs[2], abs=0.02)


def test_small_faces_are_found():
    """Faces of 20 px are found by both default detectors, in a box that holds the face."""
    image = np.full((240, 320, 3), 120, np.uint8)
    face, _, box = sight(WOMAN)
    scale = 20 / (box[2] - box[0])
    small = cv2.resize(face, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    image[100 : 100 + small.shape[0], 130 : 130 + small.shape[1]] = small
    truth = box * scale + np.array([130, 100, 130, 100])

    seen = [detector.detect(image)[0] for detector in (models().detector, models().auditor)]

    assert all(iou(boxes, truth[None].astype(np.float32)).max() > 0.5 for boxes in seen)


def test_the_mesh_meets_the_points():
    """The mesh's eyes, nose and mouth corners lie at the detector's points; with a box alone it comes out the same."""
    image, points, box = sight(MAN)

    mesh, score = models().mesh.fit(image, points, box)
    boxed, boxed_score = models().mesh.fit(image, UNKNOWN, box)

    marks = np.stack([(mesh[33] + mesh[133]) / 2, (mesh[263] + mesh[362]) / 2, mesh[1], mesh[61], mesh[291]])[:, :2]
    width = box[2] - box[0]
    assert min(score, boxed_score) > 0.95
    assert np.abs(marks - points).max() < 0.08 * width
    assert np.abs(mesh - boxed)[:, :2].mean() < 0.015 * width
    assert mesh[1, 2] < mesh[234, 2]  # the nose is nearer than the ear


def test_the_mesh_turns_with_the_face():
    """A face that is turned by 40 degrees has the mesh of the upright one, turned."""
    image, points, box = sight(MAN)
    upright, _ = models().mesh.fit(image, points, box)
    turn = cv2.getRotationMatrix2D((256, 256), 40, 0.8).astype(np.float32)
    turned_points = points @ turn[:, :2].T + turn[:, 2]
    middle, half = (box[:2] + box[2:]) / 2 @ turn[:, :2].T + turn[:, 2], (box[2:] - box[:2]) * 0.8 / 2
    turned = cv2.warpAffine(image, turn, (512, 512), borderMode=cv2.BORDER_REPLICATE)

    mesh, score = models().mesh.fit(turned, turned_points, np.concatenate([middle - half, middle + half]))

    expected = upright[:, :2] @ turn[:, :2].T + turn[:, 2]
    assert score > 0.95
    assert np.linalg.norm(mesh[:, :2] - expected, axis=1).mean() < 0.02 * (box[2] - box[0])


def test_what_is_no_face_has_no_mesh():
    """A plain wall scores far below every threshold."""
    image = np.full((200, 200, 3), 180, np.uint8)

    _, score = models().mesh.fit(image, UNKNOWN, np.array([50, 50, 150, 150], np.float32))

    assert score < 0.1


def test_one_person_is_near_and_others_are_far():
    """The same face smaller, darker and turned is within 0.6 of itself; other people are not."""
    embed = models().embedder.embed
    image, points, box = sight(MAN)
    smaller = cv2.convertScaleAbs(cv2.resize(image, (200, 200), interpolation=cv2.INTER_AREA), alpha=0.7)
    turn = cv2.getRotationMatrix2D((256, 256), 25, 0.7).astype(np.float32)

    original = embed(image, points, box)
    again = [
        embed(smaller, points * (200 / 512), box * (200 / 512)),
        embed(cv2.warpAffine(image, turn, (512, 512)), points @ turn[:, :2].T + turn[:, 2], box),
        embed(image, UNKNOWN, box),
    ]
    others = [embed(*sight(row)) for row in (WOMAN, OTHER_MAN)]

    assert original.shape == (128,)
    assert original.dtype == np.float32
    assert max(np.linalg.norm(original - vector) for vector in again) < 0.45
    assert min(np.linalg.norm(original - vector) for vector in others) > 0.6
    assert np.array_equal(original, embed(image, points, box))


def test_attributes_are_those_one_sees():
    """Apparent sex, an adult age and a skin colour, each within what a person would say of the portrait."""
    woman, man = models().attributes.read(*sight(WOMAN)), models().attributes.read(*sight(MAN))

    assert woman[0] > 0.9
    assert man[0] < 0.1
    assert 15 < woman[1] < man[1] < 70
    for _, _, (light, a, b) in (woman, man):
        assert 45 < light < 90
        assert 5 < a < 30
        assert 5 < b < 35


def test_skin_is_hardly_moved_by_a_shadow():
    """A shadow on the lower half of one cheek changes a* and b* by less than 4."""
    image, points, box = sight(WOMAN)
    shaded = image.copy()
    x, y = points[3].astype(int)
    shaded[y - 40 : y, x - 60 : x] = (shaded[y - 40 : y, x - 60 : x] * 0.3).astype(np.uint8)

    plain, dark = (models().attributes.read(picture, points, box)[2] for picture in (image, shaded))

    assert np.abs(np.array(plain[1:]) - dark[1:]).max() < 4


def test_the_person_stands_out():
    """The mask holds the face and leaves out the upper corners."""
    image, _, box = sight(MAN)

    mask = models().segmenter.mask(image)

    x0, y0, x1, y1 = box.astype(int)
    assert mask.shape == (512, 512)
    assert mask.dtype == np.float32
    assert mask[y0:y1, x0:x1].mean() > 0.9
    assert max(mask[:60, :60].mean(), mask[:60, -60:].mean()) < 0.1


def test_transnet_sees_cuts_and_dissolves():
    """A hard cut is marked on the last frame of its shot, a dissolve somewhere within it, and nothing else."""
    shot_net = load_models(Settings().with_values(shots__detector="transnet"), need=frozenset({"shot_net"})).shot_net
    small = [cv2.resize(portraits()[row], (48, 27), interpolation=cv2.INTER_AREA) for row in (WOMAN, MAN, OTHER_MAN)]
    weight = np.clip((np.arange(130) - 70) / 20, 0, 1)[:, None, None, None]
    blend = (small[1] * (1 - weight) + small[2] * weight).astype(np.uint8)
    frames = [np.roll(picture, number // 8, axis=1) for number, picture in enumerate([small[0]] * 40 + list(blend[40:]))]

    scores = shot_net(frames)

    marked = np.flatnonzero(scores > 0.5)
    assert scores.shape == (130,)
    assert 39 in marked
    assert all(number == 39 or 68 <= number <= 92 for number in marked)
    assert (marked > 39).any()
