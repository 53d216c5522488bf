"""Work files come back as they went, and show nothing to whoever finds them. The gallery remembers across runs and races."""

from __future__ import annotations

import pickle
import threading
from dataclasses import fields, is_dataclass, replace
from fractions import Fraction

import numpy as np
import pytest

from faceanon.core.errors import AlreadyExists, KeystoreUnavailable, StoreError
from faceanon.core.records import Detections, FaceSamples, FaceViews, Identity, Persona, RegionTable, SegmentAnalysis, Track, VideoRegions
from faceanon.identity import gallery, sealed
from faceanon.identity.keystore import Keystore
from faceanon.identity.packing import pack, unpack
from faceanon.identity.people import Cluster, KnownPerson


class Memory:
    """A Store in memory: put-if-absent, as the port says."""

    root = "memory"

    def __init__(self):
        self.objects, self.lock = {}, threading.Lock()

    def uri(self, name):
        return f"memory/{name}"

    def read(self, name):
        if name not in self.objects:
            raise FileNotFoundError(name)
        return self.objects[name]

    def create(self, name, data):
        with self.lock:
            if name in self.objects:
                raise AlreadyExists("exists", source=name)
            self.objects[name] = data

    def list(self, prefix):
        return sorted(name for name in self.objects if name.startswith(prefix + "/"))

    def delete_tree(self, prefix):
        for name in self.list(prefix):
            del self.objects[name]


@pytest.fixture
def keystore(tmp_path):
    keys = Keystore.open(tmp_path / "key", tmp_path)
    keys.ensure_scopes(["collection:a"])
    return keys


def analysis(rows=7, samples=3, cuts=2, seed=0):
    rng = np.random.default_rng(seed)
    whole = Detections(
        np.arange(rows, dtype=np.int32),
        rng.random((rows, 4), np.float32),
        np.full((rows, 5, 2), np.nan, np.float32),
        rng.random(rows, np.float32),
        np.ones(rows, np.uint8),
        rng.random(rows, np.float32),
    )
    faces = FaceSamples(
        np.arange(samples, dtype=np.int32),
        rng.random((samples, 128), np.float32),
        rng.random(samples, np.float32),
        rng.random(samples, np.float32),
        np.full(samples, np.nan, np.float32),
        rng.random((samples, 3), np.float32),
    )
    return SegmentAnalysis("video-1", np.int64(3), whole, faces, np.arange(cuts, dtype=np.int32), rng.random(cuts, np.float32), 100, 25)


def regions(tracks=2):
    made = tuple(
        Track(
            i,
            0,
            np.arange(5 + i, 9 + 2 * i, dtype=np.int32),
            np.ones((4 + i, 4), np.float32),
            np.full((4 + i, 5, 2), np.nan, np.float32),
            np.ones(4 + i, np.float32),
            np.zeros(4 + i, np.uint8),
            np.arange(i, dtype=np.int32),
            i == 0,
        )
        for i in range(tracks)
    )
    people = (Identity(0, "person-abc", "c0", Persona(3, 4, 0.25, 1), (0,)), Identity(1, "person-déf", "c1", None, (1, 2)))
    counts = np.arange(3 * tracks, dtype=np.int32)
    boxes = np.tile(np.arange(4, dtype=np.float32), (3 * tracks, 1))
    bytes_ = np.zeros(3 * tracks, np.uint8)
    table = RegionTable(counts, counts, counts, boxes, boxes + 1, np.full((3 * tracks, 5, 2), np.nan, np.float32), bytes_, bytes_ + 1)
    return VideoRegions("video-1", people[:tracks], made, table)


def same(a, b):
    """Equal in every field, dtype and bit."""
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if is_dataclass(a):
        return type(a) is type(b) and all(same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    if isinstance(a, tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


@pytest.mark.parametrize("whole", [analysis(), analysis(0, 0, 0), analysis(samples=0)])
def test_analyses_come_back(whole):
    """An analysis survives packing, field for field, and packs to the same bytes again."""
    data = sealed.pack_analysis(whole)

    assert same(sealed.unpack_analysis(data), whole)
    assert sealed.pack_analysis(sealed.unpack_analysis(data)) == data


@pytest.mark.parametrize("tracks", [0, 1, 2])
def test_regions_come_back(tracks):
    """So do a video's regions, with its people and tracks."""
    whole = regions(tracks)
    data = sealed.pack_regions(whole)

    assert same(sealed.unpack_regions(data), whole)
    assert sealed.pack_regions(sealed.unpack_regions(data)) == data


def test_stored_files_show_nothing(keystore):
    """A stored analysis opens with the keystore alone; no embedding, id or header of the packed file lies in its bytes."""
    store, whole = Memory(), analysis()
    sealed.save_analysis(store, keystore, "work/v/a-3", whole)
    sealed.save_regions(store, keystore, "work/v/regions", regions())
    data = store.read("work/v/a-3")

    assert same(sealed.load_analysis(store, keystore, "work/v/a-3"), whole)
    assert same(sealed.load_regions(store, keystore, "work/v/regions"), regions())
    for secret in (whole.samples.embedding[0].tobytes()[:16], b"video-1", b"PK\x03\x04", b"header.json", b"NUMPY"):
        assert secret not in data
        assert secret not in store.read("work/v/regions")
    assert b"NUMPY" in sealed.pack_analysis(whole) or b"header.json" in sealed.pack_analysis(whole)  # the trap is set


def test_files_stay_in_their_place(keystore):
    """A sealed file that was moved to another name does not open; the first writer of a name wins."""
    store = Memory()
    sealed.save_analysis(store, keystore, "a", analysis(seed=1))
    sealed.save_analysis(store, keystore, "a", analysis(seed=2))
    store.create("b", store.read("a"))

    assert same(sealed.load_analysis(store, keystore, "a"), analysis(seed=1))
    with pytest.raises(KeystoreUnavailable):
        sealed.load_analysis(store, keystore, "b")


def test_other_data_is_refused():
    """Regions are not an analysis, and a pickle is nothing at all."""
    for data in (sealed.pack_regions(regions()), b"", b"PK", pack({}, {}), pickle.dumps(1)):
        with pytest.raises(StoreError):
            sealed.unpack_analysis(data)
    with pytest.raises((ValueError, TypeError)):
        pack({}, {"x": np.array([Fraction(1, 2)], object)})
    assert unpack(pack({"a": [1]}, {"x": np.arange(3)}))[0] == {"a": [1]}


def cluster(name, vector, known=None, members=None):
    return Cluster(name, (("v", 0),), np.asarray(vector, np.float32), 1.0, 0.0, 0.5, 30.0, (60.0, 10.0, 15.0), frozenset(members or {name}), known)


def person(name):
    return gallery.remember(cluster(name, [1.0, 2.0]), f"person-{name}", Persona(1, 2, 0.5))


def test_a_gallery_remembers(keystore):
    """People saved in many small steps are all there, exactly, and scopes do not see each other."""
    store, seen = Memory(), gallery.Gallery(0, ())
    for i in range(70):
        seen = gallery.save(store, keystore, "collection:a", seen, [*seen.people, person(f"{i:03d}")])
    loaded = gallery.load(store, keystore, "collection:a")

    assert loaded.version == 70
    assert [p.cluster_id for p in loaded.people] == [f"{i:03d}" for i in range(70)]
    assert all(same(a, b) for a, b in zip(loaded.people, seen.people, strict=True))
    assert gallery.load(store, keystore, "archive") == gallery.Gallery(0, ())
    assert gallery.save(store, keystore, "collection:a", seen, seen.people) is seen


def test_old_steps_are_not_needed(keystore, monkeypatch):
    """Every 64th object (here: every 8th) holds everybody, so a load reads at most as many."""
    store = Memory()
    monkeypatch.setattr(gallery, "_WHOLE_EVERY", 8)
    for i in range(10):
        gallery.update(store, keystore, "archive", lambda people, i=i: [*people, person(f"{i:03d}")])
    for name in store.list("gallery")[:7]:
        del store.objects[name]

    assert len(gallery.load(store, keystore, "archive").people) == 10


def test_racing_writers_lose_nobody(keystore):
    """Writers that meet read again; everyone's people are there in the end."""
    store = Memory()

    def write(worker):
        for i in range(5):
            gallery.update(store, keystore, "archive", lambda people, i=i: [*people, person(f"{worker}-{i}")])

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(gallery.load(store, keystore, "archive").people) == 20
    assert len(store.list("gallery")) == 20


def test_a_lost_reply_is_not_a_lost_race(keystore):
    """A writer that meets its own object has succeeded; one that meets another's is told."""
    store, empty = Memory(), gallery.Gallery(0, ())
    first = gallery.save(store, keystore, "archive", empty, [person("a")])

    again = gallery.save(store, keystore, "archive", empty, [person("a")])

    assert same(again, first)
    with pytest.raises(AlreadyExists):
        gallery.save(store, keystore, "archive", empty, [person("b")])


def test_gallery_files_show_nothing(keystore):
    """No label or embedding lies open, and without the scope's salt nobody can read them."""
    store = Memory()
    gallery.update(store, keystore, "collection:a", lambda people: [person("anna")])
    (name,) = store.list("gallery")

    assert b"anna" not in store.read(name)
    assert np.array([1.0, 2.0], np.float32).tobytes() not in store.read(name)
    assert "collection" not in name
    keystore.destroy("collection:a")
    with pytest.raises(KeystoreUnavailable):
        gallery.load(store, keystore, "collection:a")
    gallery.forget(store, keystore, "collection:a")
    assert store.objects == {}


def test_known_people_keep_what_they_were_given():
    """New sightings move the mean and nothing else; sightings that were counted are not counted again."""
    first = gallery.remember(cluster("a", [0.0, 0.0]), "person-a", Persona(1, 2, 0.5))
    more = gallery.remember(cluster("a", [1.0, 0.0], known=first, members={"b"}), "person-other", Persona(9, 9, 0.1))

    assert (more.label, more.persona, more.cluster_id, more.count) == ("person-a", Persona(1, 2, 0.5), "a", 2)
    assert (list(more.embedding), more.weight, more.spread) == ([0.5, 0.0], 2.0, 0.25)
    assert gallery.remember(cluster("a", [5.0, 0.0], known=more, members={"b"}), "x", None) is more
    unseen = KnownPerson("u", "person-u", None, None, 0.0, 0.0, 1, frozenset({"u"}))
    later = gallery.remember(replace(cluster("u", [1.0, 1.0], members={"w"}), known=unseen), "person-u", Persona(3, 3, 0.0))
    assert (later.persona, list(later.embedding)) == (Persona(3, 3, 0.0), [1.0, 1.0])


def test_views_come_back_and_are_sealed_to_their_name(tmp_path):
    """Small pictures of faces lie in the work store under the key alone."""
    store, keystore = Memory(), Keystore.open(tmp_path / "key.json", tmp_path / "key.json")
    jpeg = np.frombuffer(b"\xff\xd8 picture of a face", np.uint8)
    views = FaceViews(np.array([8], np.int32), np.ones((1, 4), np.float32), np.ones((1, 5, 2), np.float32), np.ones((1, 4), np.float32), np.array([len(jpeg)]), jpeg)

    sealed.save_views(store, keystore, "a.sealed", views)
    sealed.save_views(store, keystore, "a.sealed", views)

    assert same(sealed.load_views(store, keystore, "a.sealed"), views)
    assert b"picture of a face" not in store.read("a.sealed")
    store.create("b.sealed", store.read("a.sealed"))
    with pytest.raises(KeystoreUnavailable):
        sealed.load_views(store, keystore, "b.sealed")
