"""Where the detector looks, and what is followed where it does not see."""

import cv2
import numpy as np
import pytest
from analyze_scenes import HEIGHT, WIDTH, MeanColourEmbedder, RedDiscDetector, draw_face, five_points, picture_of, segment, texture

from faceanon.analyze.detect import Watcher, look_at_image, view_widths
from faceanon.analyze.follow import follow
from faceanon.analyze.joining import join
from faceanon.analyze.samples import crop, frontality, mesh_fit
from faceanon.analyze.segment import analyze_segment
from faceanon.analyze.track import build_tracks
from faceanon.core.geometry import covered
from faceanon.core.picture import Picture, PlaneFormat
from faceanon.core.records import Origin
from faceanon.core.settings import DetectSettings, Settings

QUICK_ONLY = DetectSettings(width_px=480, far_width_px=480, every=4, far_every=8)


def looked_at(images, settings=QUICK_ONLY, content=None):
    watcher = Watcher(RedDiscDetector(), settings, WIDTH, HEIGHT)
    looks = [look for f, image in enumerate(images) for look in watcher.feed(picture_of(f, image), content[f] if content else 0.0)]
    return [look.frame for look in looks + watcher.finish()]


def scene_with(face_from, face_to, num=17):
    images = []
    for f in range(num):
        image = texture(3).copy()
        if face_from <= f < face_to:
            draw_face(image, 100 + 2 * f, 120, 50)
        images.append(image)
    return images


def test_a_calm_clip_is_looked_at_on_every_fourth_frame_and_the_last():
    """Where nothing comes or goes the schedule is every `every`-th frame."""
    assert looked_at(scene_with(0, 99, 19)) == [0, 4, 8, 12, 16, 18]


def test_where_a_face_appears_its_first_frame_is_found_by_halving():
    """Between looks that disagree, frames are looked at until neighbours do."""
    assert looked_at(scene_with(6, 99)) == [0, 4, 5, 6, 8, 12, 16]


def test_both_sides_of_a_sudden_change_are_looked_at():
    """The last frame before a cut and the first after it are always seen."""
    content = [0.0] * 17
    content[10] = 40.0

    assert {9, 10} <= set(looked_at(scene_with(0, 99), content=content))


@pytest.mark.parametrize(
    ("size", "views"),
    [((1920, 1080), (640, 1920)), ((1280, 720), (640, 1280)), ((640, 360), (640, 1280)), ((400, 300), (400, 800)), ((16, 16), (32, 32)), ((7680, 4320), (640, 1920))],
)
def test_views_are_as_wide_as_faces_of_a_few_px_need(size, views):
    """Wide pictures shrink to the settings' widths, narrow ones are doubled for small faces, tiny ones always."""
    assert view_widths(*size, DetectSettings()) == views


def test_a_mirrored_view_gives_boxes_and_points_in_the_picture():
    """What the detector sees mirrored comes back to where it is, left points left."""
    image = texture(4).copy()
    draw_face(image, 300, 100, 40)
    box, points, _ = look_at_image(image, RedDiscDetector(), DetectSettings())

    assert len(box) == 1
    assert box[0] == pytest.approx([280, 80, 320, 120], abs=3)
    assert points[0] == pytest.approx(five_points(box)[0], abs=3)


def test_following_keeps_to_a_face_that_moves_and_stops_at_a_sudden_change():
    """Appearance leads from frame to frame until a cut or the end."""
    images = scene_with(0, 99, 30)
    greys = {f: cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) for f, image in enumerate(images)}
    path = follow(greys, np.float32([75, 95, 125, 145]), range(30), {20}, {})

    assert [frame for frame, _, _ in path] == list(range(1, 20))
    assert path[-1][1] == pytest.approx([75 + 38, 95, 125 + 38, 145], abs=3)


def test_following_ends_where_the_face_is_found_again():
    """A detection that it meets takes over."""
    images = scene_with(0, 99, 10)
    greys = {f: cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) for f, image in enumerate(images)}
    path = follow(greys, np.float32([75, 95, 125, 145]), range(10), set(), {4: np.float32([[83, 95, 133, 145]])})

    assert [frame for frame, _, _ in path] == [1, 2, 3]


class LateDetector(RedDiscDetector):
    """Blind to faces left of x = 160, as if they were turned away there."""

    def detect(self, image):
        box, points, score = super().detect(image)
        seen = box[:, 0] / image.shape[1] * WIDTH > 160
        return box[seen], points[seen], score[seen]


def test_a_face_that_is_found_late_is_covered_from_where_it_came():
    """Frames before the detector found a face are followed back to."""
    images = []
    for f in range(64):
        image = texture(3).copy()
        draw_face(image, 100 + 3 * f, 120, 50, seed=2)
        images.append(image)
    pictures = (picture_of(f, image) for f, image in enumerate(images))
    analysis = analyze_segment(pictures, segment(0, 64), detector=LateDetector(), mesh=None, embedder=MeanColourEmbedder(), reader=None, settings=Settings())
    (track,) = build_tracks(join([analysis], 64), Settings())

    assert track.frame[0] <= 12
    for f in range(14, 64):
        box = np.float32([[75 + 3 * f, 95, 125 + 3 * f, 145]])
        assert covered(box, track.box[track.frame == f])[0] > 0.7
    assert Origin.FOLLOWED in track.origin


class OffMesh:
    """Sure of itself, with its points where it is told."""

    def __init__(self, shift_px):
        self.shift_px = shift_px

    def fit(self, image, points, box):
        mesh = np.zeros((468, 3), np.float32)
        for vertices, point in zip(((33, 133), (263, 362), (1,), (61,), (291,)), points, strict=True):
            mesh[list(vertices), :2] = point + self.shift_px
        return mesh, 0.99


def test_a_mesh_that_contradicts_the_detector_does_not_fit():
    """The mesh's score counts only where its eyes, nose and mouth are the detector's."""
    box = np.float32([[100, 100, 160, 160]])
    view = crop(picture_of(0, texture(5)), box[0], five_points(box)[0])

    assert mesh_fit(OffMesh(0), view) == pytest.approx(0.99)
    assert mesh_fit(OffMesh(30), view) == 0


def test_a_face_seen_from_the_side_is_less_frontal():
    """The nose beside the middle of the eyes tells a turned head."""
    straight = five_points(np.float32([[0, 0, 100, 100]]))[0]
    turned = straight.copy()
    turned[2, 0] += 18

    assert frontality(straight) > 0.95 > 0.5 > frontality(turned)


@pytest.mark.parametrize(("width", "height", "frames"), [(16, 16, 1), (17, 9, 3), (2, 2, 20), (4200, 16, 2)])
def test_odd_pictures_are_analysed(width, height, frames):
    """One frame, a few px, and very wide pictures give an empty analysis, not an error."""
    fmt = PlaneFormat(8, (2, 2), False, "bt601")
    luma, chroma = np.full((height, width), 90, np.uint8), np.full((-(-height // 2), -(-width // 2)), 128, np.uint8)
    pictures = [Picture(f, f, (luma, chroma, chroma), fmt) for f in range(frames)]
    analysis = analyze_segment(iter(pictures), segment(0, frames), detector=RedDiscDetector(), mesh=None, embedder=None, reader=None, settings=Settings())

    assert analysis.num_frames_decoded == frames
    assert len(analysis.detections) == 0
