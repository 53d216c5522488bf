"""The log of a name: made once, in order, whoever races."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import ledger_cases as cases
import pytest

from faceanon.archive.store import open_store
from faceanon.core.errors import AlreadyExists, StoreError
from faceanon.core.records import SourceVersion
from faceanon.ledger.commit import RECORDS, commit_published, commit_quarantined, read_record
from faceanon.ledger.known import known

BLUR = cases.Settings().with_values(render__engine="blur")


@pytest.fixture
def store(tmp_path):
    return open_store(str(tmp_path / "out"))


def test_a_second_commit_of_the_same_is_a_success_and_changes_nothing(store):
    """Committing twice leaves one record; the second call says that it made none."""
    made = [commit_published(store, cases.published()) for _ in range(2)]

    assert made == [True, False]
    assert len(store.list(RECORDS)) == 1


def test_the_same_output_with_other_bytes_is_an_error(store):
    """Equal work that gave unequal bytes is reported, never overwritten."""
    commit_published(store, cases.published())

    with pytest.raises(StoreError, match="committed before with other content"):
        commit_published(store, cases.published(sha256="7" * 64))


def test_a_superseded_output_may_come_back_with_other_bytes(store):
    """Going back to earlier settings on another kind of machine is a new entry, not an error."""
    commit_published(store, cases.published())
    commit_published(store, cases.published(settings=BLUR))

    assert commit_published(store, cases.published(sha256="7" * 64)) is True
    assert known(store).current["a.mp4"].sha256 == "7" * 64


def test_one_of_many_racers_makes_the_record(store):
    """Of eight writers of one output exactly one made it, and all succeed."""
    with ThreadPoolExecutor(8) as racers:
        made = list(racers.map(lambda _: commit_published(store, cases.published()), range(8)))

    assert (sum(made), len(store.list(RECORDS))) == (1, 1)


def test_racers_with_different_settings_line_up(store):
    """Two outputs of one name race: both are kept, in one order, and the later names the earlier."""
    with ThreadPoolExecutor(2) as racers:
        list(racers.map(lambda s: commit_published(store, cases.published(settings=s)), [cases.Settings(), BLUR]))

    first, second = (read_record(store, p) for p in store.list(RECORDS))
    assert (first["seq"], second["seq"], first["supersedes"]) == (1, 2, None)
    assert second["supersedes"] == {"record_id": first["record_id"], "output_id": first["output_id"]}


def test_going_back_to_earlier_settings_makes_them_current_again(store):
    """swap, blur, swap: the last wins although its output id was committed before."""
    for settings in (cases.Settings(), BLUR, cases.Settings()):
        commit_published(store, cases.published(settings=settings))

    current = known(store).current["a.mp4"]
    assert (current.seq, current.settings_digest) == (3, cases.Settings().digest())


def test_an_answer_that_was_lost_is_a_commit(store):
    """A client that sent its write twice meets its own object and has made the record."""

    class Twice:
        def __getattr__(self, name):
            return getattr(store, name)

        def create(self, name, data):
            store.create(name, data)
            raise AlreadyExists("exists", source=name)

    assert commit_published(Twice(), cases.published()) is True
    assert len(store.list(RECORDS)) == 1


def test_known_tells_published_from_quarantined(store):
    """Each name has its newest decision, compared by source version, settings, key and scope."""
    commit_published(store, cases.published())
    commit_quarantined(store, cases.refused(source=SourceVersion("/src/bad.mp4", 3, "9", "")))

    seen = known(store)
    source, digest = cases.plan().source, cases.Settings().digest()
    assert seen.is_published("a.mp4", source, digest, "ks-1", "video")
    assert seen.is_published("a.mp4", SourceVersion(source.uri, source.size, source.version, ""), digest, "ks-1", "video")
    assert not seen.is_published("a.mp4", source, BLUR.digest(), "ks-1", "video")
    assert not seen.is_published("a.mp4", source, digest, "ks-2", "video")
    assert not seen.is_published("a.mp4", SourceVersion(source.uri, source.size, "124", ""), digest, "ks-1", "video")
    assert seen.is_quarantined("bad.mp4", SourceVersion("/src/bad.mp4", 3, "9", ""), digest, "ks-1", "video")
    assert not seen.is_quarantined("bad.mp4", SourceVersion("/src/bad.mp4", 3, "10", ""), digest, "ks-1", "video")
    assert (seen.quarantined["bad.mp4"].stage, seen.quarantined["bad.mp4"].reason) == ("probe", "not a video")


def test_a_repeated_quarantine_is_written_once(store):
    """The same reason for the same version is no news; another reason is."""
    made = [commit_quarantined(store, cases.refused(reason=r)) for r in ("not a video", "not a video", "truncated")]

    assert made == [True, False, True]


def test_a_quarantine_does_not_unpublish_the_same_work(store):
    """Where another run published this very version, a late failure changes nothing."""
    record = cases.published()
    commit_published(store, record)

    assert commit_quarantined(store, cases.refused("a.mp4", video=record["video_id"])) is False
    assert not known(store).quarantined


def test_a_refused_new_version_leaves_the_old_output_standing(store):
    """A source that went bad is quarantined, and what was published before stays what the name shows."""
    commit_published(store, cases.published())
    commit_quarantined(store, cases.refused("a.mp4", source=SourceVersion("/src/a.mp4", 0, "125", "")))

    seen = known(store)
    assert (seen.current["a.mp4"].sha256[:8], seen.quarantined["a.mp4"].seq) == (cases.Settings().digest()[:8], 2)
    assert not seen.is_published("a.mp4", cases.plan().source, cases.Settings().digest(), "ks-1", "video")


def test_a_private_value_stops_the_commit(store):
    """The guard stands before the store."""
    record = cases.published()
    record["tracks"][0]["label"] = "A9f+" * 60

    with pytest.raises(StoreError, match="tracks"):
        commit_published(store, record)
    assert store.list(RECORDS) == []


def test_a_broken_record_is_named(store):
    """An object that is no record is an error with its place, not a silent gap."""
    store.create(f"{RECORDS}abc/000001.json", b"{")

    with pytest.raises(StoreError, match=r"abc/000001\.json"):
        known(store)
