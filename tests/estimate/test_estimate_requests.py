"""The requests that the committed rates name are those that the job makes."""

from __future__ import annotations

from collections import Counter

import pytest
from counted_store import CountedStore
from support.fake_archive import Silent, fake_models, frames, spec_of

from faceanon.archive import fetch
from faceanon.core.settings import Settings
from faceanon.estimate import rates
from faceanon.flow import driver, job
from faceanon.flow.job import Context
from faceanon.flow.local import LocalExecutor
from faceanon.media.clips import write_clip

SHORT, LONG = 2, 5  # segments of a second


@pytest.fixture
def count(tmp_path, monkeypatch):
    """Requests of a job over so many videos of so many painted segments, with those for the source's version."""
    requests = Counter()
    for module in (fetch, job):
        monkeypatch.setattr(module, "version_of", _counted(module.version_of, requests))

    def run(videos: int, segments: int) -> Counter:
        home = tmp_path / f"{videos}-{segments}"
        (home / "in").mkdir(parents=True)
        for number in range(videos):
            write_clip(home / f"in/{number}.mp4", frames(lambda n: [(90, 70, 50, 0)], segments * 25, seed=number), gop=25)
        settings = Settings().with_values(render__engine="blur", plan__segment_seconds=1.0, detect__width_px=192)
        spec, work = spec_of(home / "out", settings, home / "key.json", [str(home / "in")])
        requests.clear()
        with Context(spec, fake_models) as context:
            context.out, context.work = CountedStore(context.out, requests), CountedStore(context.work, requests)
            assert driver.run(context, LocalExecutor(context), work, Silent())["published"] == videos
        return Counter(requests)

    return run


def _counted(action, requests: Counter):
    def look(uri: str):
        requests["HEAD"] += 1
        return action(uri)

    return look


def test_the_committed_requests_are_those_of_the_job(count):
    """A segment more, and a video more, cost what the rates say, to one request of a kind."""
    table = rates.load()

    short, long, two = count(1, SHORT), count(1, LONG), count(2, SHORT)

    segment = {kind: (long[kind] - short[kind]) / (LONG - SHORT) for kind in long}
    video = {kind: two[kind] - short[kind] - SHORT * segment[kind] for kind in long}
    assert segment == {kind: pytest.approx(table.requests_a_segment.get(kind, 0), abs=1) for kind in long}
    assert video == {kind: pytest.approx(table.requests_a_video.get(kind, 0), abs=1) for kind in long}
