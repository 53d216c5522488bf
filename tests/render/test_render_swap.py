"""What the swap engine promises, with fake people: no region unpainted, no flicker, the same bytes twice."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from render_scenes import FORMATS, copied, noise_picture, plain_swap, regions

from faceanon.core.errors import SettingsError
from faceanon.core.records import Method, Painted, Persona, RegionTable
from faceanon.core.settings import RenderSettings
from faceanon.models.fakes import FakeEmbedder, FakeMesh, FakePeople, mean_mesh
from faceanon.render import align, check, follow
from faceanon.render import topology as topo
from faceanon.render.engines import make_engine
from faceanon.render.expression import Demand
from faceanon.render.follow import Sight
from faceanon.render.paint import make_patch
from faceanon.render.texture import prepare

SETTINGS = RenderSettings()
BOX = (40.0, 30.0, 90.0, 90.0)


def _painted(scores: list[float], settings: RenderSettings = SETTINGS) -> list[Painted]:
    table = regions(range(len(scores)), [BOX] * len(scores))
    engine = plain_swap(settings, scores)
    return [rows[0].painted for _, rows in engine.paint((noise_picture(140, 120, index=i) for i in range(len(scores))), table)]


@pytest.mark.parametrize("seed", range(30))
def test_a_face_never_flickers_between_swapped_and_obscured(seed):
    """However the mesh jumps about, a face that is shown stays for RUN frames at least, and one that is hidden for more than GAP."""
    random = np.random.default_rng(seed)
    good = np.repeat(random.choice([False, True], 80, p=[0.3, 0.7]), random.integers(1, 9, 80))
    sights = [Sight(None, np.zeros(4, np.float32), bool(g), bool(g)) for g in good]
    states: list[bool] = []

    for i in range(len(sights)):
        coming = sights[i : i + follow.LOOKAHEAD + 1]
        states.append(follow.shows_face(states[-1] if states else None, coming, len(coming) > follow.LOOKAHEAD))

    borders = [0, *(i for i in range(1, len(states)) if states[i] != states[i - 1]), len(states)]
    assert any(states)
    for start, stop in list(pairwise(borders))[1:-1]:
        assert stop - start >= (follow.RUN if states[start] else follow.GAP + 1)


def test_a_short_gap_is_bridged_and_a_long_one_obscured():
    """Up to GAP bad frames between good ones keep the face; one more hides it from the first of them on."""
    good, bad = [0.9] * 12, [0.1]

    bridged, hidden = _painted(good + bad * follow.GAP + good), _painted(good + bad * (follow.GAP + 1) + good)

    assert set(bridged) == {Painted.FACE}
    assert [s == Painted.OBSCURED for s in hidden] == [False] * 12 + [True] * (follow.GAP + 1) + [False] * 12


def test_a_track_that_ends_in_doubt_is_obscured():
    """Nothing tells where a face went that is not seen again: the last bad frames are obscured, however few."""
    states = _painted([0.9] * 12 + [0.1] * 2)

    assert states == [Painted.FACE] * 12 + [Painted.OBSCURED] * 2


@pytest.mark.parametrize(
    ("change", "box"),
    [({"min_face_px": 60}, BOX), ({"min_mesh_score": 0.95}, BOX), ({}, (60.0, 30.0, 70.0, 42.0)), ({}, (-45.0, 30.0, 5.0, 90.0))],
    ids=["small by settings", "low score", "small", "outside"],
)
def test_what_cannot_be_swapped_well_is_obscured(change, box):
    """Small faces, bad fits and faces cut off by the border are obscured in every frame."""
    table = regions(range(10), [box] * 10)
    engine = plain_swap(replace(SETTINGS, **change), [0.9] * 10)

    rows = [r for _, rows in engine.paint((noise_picture(140, 120, index=i) for i in range(10)), table) for r in rows]

    assert [r.painted for r in rows] == [Painted.OBSCURED] * 10
    assert all(r.box != (0, 0, 0, 0) for r in rows)


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_a_new_face_changes_the_face_and_nothing_outside_the_reported_box(fmt):
    """In every pixel format: eyes, nose and mouth of the old face are gone, the picture around is untouched."""
    table = regions(range(9), [BOX] * 9)
    pictures = [noise_picture(141, 121, fmt, index=i) for i in range(9)]
    before = [copied(p) for p in pictures]

    out = list(plain_swap(SETTINGS, [0.9] * 9).paint(pictures, table))

    for (picture, (row,)), old in zip(out, before, strict=True):
        assert row.painted == Painted.FACE
        x0, y0, x1, y1 = row.box
        changed = picture.planes[0] != old[0]
        assert changed[50:82, 50:80].mean() > 0.97  # brows to mouth
        changed[y0:y1, x0:x1] = False
        assert not changed.any()


def test_every_region_of_a_crowd_is_painted_whatever_is_asked():
    """Faces that are swapped, obscured, unknown, or found by the verifier: each region of each frame has one row, in order of track."""
    faces = [regions(range(12), [BOX] * 12), regions(range(5, 12), [(100.0, 20.0, 135.0, 70.0)] * 7, [1] * 7)]
    others = [regions(range(12), [(5.0, 80.0, 30.0, 110.0)] * 12, [7] * 12), regions([3], [(90.0, 80.0, 120.0, 110.0)], [8], Method.REPAIR)]
    table = RegionTable.concatenate(faces + others)

    out = list(plain_swap(SETTINGS, [0.9] * 19).paint((noise_picture(140, 120, index=i) for i in range(12)), table))

    assert [(p.index, r.track) for p, rows in out for r in rows] == list(zip(table.frame.tolist(), table.track.tolist(), strict=True))
    assert {r.painted for p, rows in out for r in rows if r.track in (7, 8)} == {Painted.OBSCURED}  # nobody has identity 7 or 8


def test_the_same_input_gives_the_same_bytes():
    """Two engines, or one engine twice, paint the same bytes."""
    table = regions(range(14), [(40.0 + i, 30.0, 90.0 + i, 90.0) for i in range(14)])
    engine = plain_swap(SETTINGS, [0.9] * 28)

    runs = [[copied(p) for p, _ in e.paint([noise_picture(140, 120, index=i) for i in range(14)], table)] for e in (engine, engine, plain_swap(SETTINGS, [0.9] * 14))]

    for other in runs[1:]:
        assert all(np.array_equal(a, b) for one, two in zip(runs[0], other, strict=True) for a, b in zip(one, two, strict=True))


class Embeddings(FakeEmbedder):
    """Gives what a test sets, call by call, along one axis; the last ones again and again."""

    def __init__(self, *along: float, again: int = 1) -> None:
        self._along, self._again = list(along), again

    def embed(self, image, points, box):
        vector = np.zeros(8, np.float32)
        vector[0] = self._along[0]
        first = self._along.pop(0)
        if len(self._along) < self._again:
            self._along.append(first)
        return vector


@pytest.mark.parametrize(("distance", "shown"), [(0.70, 36), (0.62, 0), (0.50, 0)])
def test_a_face_too_near_its_original_is_never_shown(distance, shown):
    """The check comes before the first frame leaves, asks a first look for more than a mean of many, and what it says holds."""
    portraits = {0: FakePeople().portrait(Persona(0, 1, 0.2))}
    engine = make_engine(SETTINGS, mesh=_sure_mesh(), embedder=Embeddings(0.0, distance, again=2), segmenter=None, portraits=portraits)

    list(engine.paint((noise_picture(140, 120, index=i) for i in range(36)), regions(range(36), [BOX] * 36)))

    (paint,) = engine.summary()
    assert (paint.num_face, paint.num_obscured, paint.strengthened) == (shown, 36 - shown, shown == 0)
    assert np.isnan(paint.distance_to_original) == (shown == 0)


def _verdicts(distances: list[float]) -> list[bool]:
    """Whether a track is near after each comparison with an original at 0."""
    picture, box, points = noise_picture(140, 120), np.float32(BOX), regions([0], [BOX]).points[0]
    comparisons = check.Check(FakeEmbedder(), 12)
    verdicts = []
    for distance in distances:
        comparisons._embedder = Embeddings(0.0)
        comparisons.see_original(0, picture, box, points)
        comparisons._embedder = Embeddings(distance)
        comparisons.judge(0, picture, box, points)
        verdicts.append(comparisons.is_near(0))
    return verdicts


def test_one_look_among_many_ends_no_face():
    """A track is judged by its mean: a single near look leaves the face as it is, a run of them does not."""
    assert not any(_verdicts([0.75, 0.75, 0.75, 0.75, 0.55, 0.75]))
    assert _verdicts([0.75] * 3 + [0.5] * 6)[-1]


def test_many_looks_are_asked_for_less_than_few():
    """What is a little over the limit is too little for the first look and enough for a mean of forty."""
    assert _verdicts([0.62])[-1]
    assert not _verdicts([0.75] * 4 + [0.62] * 40)[-1]


def test_an_open_mouth_changes_nothing_of_the_person_but_the_mouth():
    """The texture of a wide open mouth is that of the shut one but between the lips, whatever the generator made of the rest."""
    plain = FakePeople().portrait(Persona(0, 1, 0.2))
    drifting = replace(plain, images=(plain.images[0], np.roll(255 - plain.images[1], 7, axis=1)))

    texture = prepare(drifting)

    shut, wide = (image.astype(int) for image in texture.faces[0])
    lips = texture.layout[list(topo.OUTER_LIPS)]
    rows, columns = np.nonzero(np.any(shut != wide, axis=2))
    assert lips[:, 0].min() < columns.min() < columns.max() < lips[:, 0].max()
    assert lips[:, 1].min() < rows.min() < rows.max() < lips[:, 1].max()


def test_a_dark_mouth_shows_no_grey_teeth():
    """Stripes between the lips stay where the frame's mouth is light; where it is dark they run into one, however dark they are made."""
    plain = FakePeople().portrait(Persona(0, 1, 0.2))
    toothed = [plain.images[0], *(image.copy() for image in plain.images[1:])]
    for image, mesh in zip(toothed[1:], plain.meshes[1:], strict=True):
        lips = mesh[list(topo.OUTER_LIPS), :2].astype(int)
        (left, top), (right, bottom) = lips.min(0), lips.max(0)
        image[top:bottom, left:right] = np.where(np.arange(right - left) // 4 % 2, 230, 90)[None, :, None].astype(np.uint8)
    texture = prepare(replace(plain, images=tuple(toothed)))
    size = 300
    mesh = texture.mesh(0.3) - np.append(texture.mesh(0.3)[:, :2].min(0), 0)
    mesh = (mesh * (200 / np.ptp(mesh[:, 0])) + np.array([50, 40, 0])).astype(np.float32)

    contrast = []
    for light in (0.9, 0.1):
        patch = make_patch(noise_picture(size, size), mesh, texture, 0.7, Demand(mouth=light))
        lips = mesh[list(topo.INNER_LIPS), :2] - (patch.x0, patch.y0)
        (left, top), (right, bottom) = lips.min(0), lips.max(0)
        inside = patch.image[int(top + bottom) // 2, int(0.7 * left + 0.3 * right) : int(0.3 * left + 0.7 * right)].mean(1)
        contrast.append(np.ptp(inside) / inside.mean())

    assert contrast[0] > 0.3
    assert contrast[1] < 0.5 * contrast[0]


def _sure_mesh() -> FakeMesh:
    class Sure(FakeMesh):
        def fit(self, image, points, box):
            return super().fit(image, points, box)[0], 0.9

    return Sure()


def test_an_engine_without_what_it_needs_says_so():
    """swap without a mesh is refused with a reason."""
    with pytest.raises(SettingsError, match="mesh"):
        make_engine(SETTINGS, mesh=None, embedder=None, segmenter=None, portraits={})


def test_steady_motion_passes_the_smoothing_and_jitter_does_not():
    """A mesh that moves, grows and turns evenly comes out where it was; noise on it shrinks to less than half."""
    base = mean_mesh() * 100
    path = [_turned(base, 0.01 * t) * (1 + 0.01 * t) + np.array([3.0 * t, 0.05 * t * t, 0]) for t in range(11)]
    random = np.random.default_rng(3)
    noisy = [p + random.normal(0, 0.8, p.shape) for p in path]

    settled = {name: follow.settled_mesh(5, {t: _sight(m) for t, m in enumerate(meshes)}) for name, meshes in (("even", path), ("noisy", noisy))}

    assert np.abs(settled["even"] - path[5])[:, :2].max() < 0.1
    slow = np.setdiff1d(np.arange(468), (*topo.LIPS, *topo.RIGHT_EYE, *topo.LEFT_EYE))
    assert np.std((settled["noisy"] - path[5])[slow, :2]) < 0.45 * 0.8


def _turned(mesh: np.ndarray, angle: float) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    return mesh @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])


def _sight(mesh: np.ndarray) -> Sight:
    box = np.concatenate([mesh[:, :2].min(0), mesh[:, :2].max(0)]).astype(np.float32)
    return Sight(mesh.astype(np.float32), box, True, True)


def test_a_turned_head_is_measured_whatever_its_roll():
    """The yaw grows with the turn of a mesh in space, past what is swapped; a rolled head has none."""
    mesh = mean_mesh()
    yaws = [align.yaw_deg(_yawed(mesh, angle)) for angle in (0, 15, 30, 45)]

    assert yaws == sorted(yaws)
    assert yaws[1:] == pytest.approx([15 * align.FLATNESS, 30 * align.FLATNESS, 45 * align.FLATNESS], abs=9)
    assert yaws[-1] > SETTINGS.max_yaw_deg + 5
    assert align.yaw_deg(_turned(mesh, 0.5)) < 9


def _yawed(mesh: np.ndarray, degrees: float) -> np.ndarray:
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return mesh @ np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])


@pytest.mark.parametrize(("score", "apart", "starts"), [(0.97, 0.0, True), (0.7, 0.0, False), (0.97, 0.42, True), (0.7, 0.42, False)])
def test_a_turned_head_is_shown_only_where_the_mesh_is_sure(score, apart, starts):
    """A head turned by 44 degrees is swapped, points beside the mesh or not, as long as the mesh is sure of itself."""
    mesh = (_yawed(mean_mesh(), 44 / align.FLATNESS) * 100 + np.array([150, 150, 0])).astype(np.float32)
    box = np.concatenate([mesh[:, :2].min(0), mesh[:, :2].max(0)]).astype(np.float32)
    points = _points_beside(mesh, apart)

    sight = follow.judge(mesh, score, box, points, (300, 300), SETTINGS)

    assert sight.starts == starts


def _points_beside(mesh: np.ndarray, share: float) -> np.ndarray:
    """The detector's points, off by a share of the eye distance."""
    own = [mesh[list(topo.RIGHT_EYE), :2].mean(0), mesh[list(topo.LEFT_EYE), :2].mean(0), mesh[topo.NOSE_TIP, :2], mesh[61, :2], mesh[291, :2]]
    return np.array(own, np.float32) + np.float32([share * topo.eye_distance(mesh), 0])
