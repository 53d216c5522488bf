"""Our numbers on Ray's Prometheus endpoint: equal to the run's summary, and known to the dashboard."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from faceanon.archive.store import open_store
from faceanon.ledger.query import query
from faceanon.rayflow.metrics import METRICS, Meter

TESTS = Path(__file__).parents[1]
RAYS_OWN = {"Component", "NodeAddress", "SessionName", "Version", "WorkerId", "JobId", "otel_scope_name", "otel_scope_schema_url", "otel_scope_version"}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple[dict, list, Path]:
    """The summary, the samples of ours that were scraped over HTTP, and OUT."""
    folder = tmp_path_factory.mktemp("metered")
    ray = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_metrics_report_interval_ms": "500"}
    command = [sys.executable, str(Path(__file__).parent / "metered_run.py"), str(folder)]
    environment = {**os.environ, **ray, "PYTHONPATH": f"{TESTS}:{TESTS.parent}"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    told = json.loads(done.stdout.splitlines()[-1])
    samples = [s for family in text_string_to_metric_families(told["metrics"]) for s in family.samples if s.name.startswith("ray_faceanon_")]
    return told["summary"], samples, folder / "out"


def total(samples: list, metric: str, **labels: str) -> float:
    """The sum of a metric's series that carry these labels."""
    return sum(s.value for s in samples if s.name == f"ray_faceanon_{metric}" and labels.items() <= s.labels.items())


@pytest.mark.ray
@pytest.mark.timeout(280)
def test_the_endpoint_says_what_the_summary_says(run):
    """After a real run on Ray every count on the node's metrics port equals the summary's, with one broken video among the sources."""
    summary, samples, _ = run

    assert (total(samples, "videos_total", outcome="published"), total(samples, "videos_total", outcome="quarantined")) == (3, 1)
    assert total(samples, "videos_total") == summary["requested"] == 4
    assert total(samples, "quarantined_total", stage="probe") == len(summary["quarantined"]) == 1
    assert total(samples, "frames_total", phase="publish") == total(samples, "frames_total", phase="redact") == summary["frames"] > 0
    assert total(samples, "faces_total") == summary["faces"] > 0
    assert total(samples, "face_frames_total", method="obscured") == summary["face_frames_obscured"]
    assert total(samples, "repairs_total") == summary["repairs"]
    assert total(samples, "video_seconds_total") == pytest.approx(summary["video_seconds"], abs=0.01)
    assert total(samples, "runs_total", state="done") == 1
    assert total(samples, "failures_total", phase="probe") == 1
    assert total(samples, "units_left") == 0
    for stage, seconds in summary["cpu_seconds"].items():
        assert total(samples, "cpu_seconds_total", stage=stage) == pytest.approx(seconds, abs=0.01)


@pytest.mark.ray
def test_bytes_and_segments_are_those_of_the_ledger(run):
    """Written bytes are the published files', and each published segment was redacted or copied once."""
    _, samples, out = run
    store = open_store(str(out))

    assert total(samples, "bytes_total", direction="written") == sum(len(store.read(name)) for name in store.list("videos"))
    segments = query(str(out), "SELECT count(*) AS n FROM segments WHERE state <> 'quarantined'").to_pylist()[0]["n"]
    assert total(samples, "segments_total", phase="redact") == segments > 3
    assert total(samples, "segments_total", phase="redact", outcome="copied") >= 1


@pytest.mark.ray
def test_labels_are_few_and_name_nobody(run):
    """Beside Ray's own labels a series carries only those that its metric declares, and no value holds a video's name."""
    _, samples, _ = run
    declared = {name: set(m.labels) for m in METRICS for name in (m.exposed, f"{m.exposed}_bucket", f"{m.exposed}_sum", f"{m.exposed}_count")}

    assert {s.name for s in samples if not s.name.endswith("_created")} <= declared.keys()
    for sample in samples:
        ours = sample.labels.keys() - RAYS_OWN - {"le"}
        assert ours == declared[sample.name], sample
        assert not any(word in value for value in sample.labels.values() for word in ("walk", "two", "empty", "broken", ".mp4", "cam"))
    assert len({(s.name, *sorted(s.labels.items())) for s in samples}) < 150


class Heard:
    """A recorder that adds up, and a progress that only listens."""

    def __init__(self) -> None:
        self.totals: Counter = Counter()
        self.notes: list[str] = []

    def __call__(self, name, value, labels):
        assert set(labels) == set(next(m for m in METRICS if m.name == name).labels)
        self.totals[(name, *labels.values())] += value

    def phase(self, name, total):
        pass

    def advance(self, row):
        pass

    def note(self, text):
        self.notes.append(text)


def test_quarantine_is_counted_as_the_run_ends():
    """Failed segments are counted as they come; how many videos that put into quarantine, and by which step, the summary decides."""
    heard = Heard()
    meter = Meter(heard, heard)

    meter.phase("probe", 1)
    meter.advance({"kind": "failed", "unit_id": "u", "stage": "probe", "reason": "no"})
    meter.phase("analyze", 2)
    for number in range(2):
        meter.advance({"kind": "failed", "unit_id": f"o-{number}", "output_id": "o", "stage": "analyze", "reason": "no"})
    refused = [{"stage": "probe"}, {"stage": "analyze"}, {"stage": "manifest"}]
    meter.settle({"unchanged": 5, "quarantined": refused, "cpu_seconds": {}})

    assert {key[1]: value for key, value in heard.totals.items() if key[0] == "faceanon_failures"} == {"probe": 1, "analyze": 2}
    assert {key[1]: value for key, value in heard.totals.items() if key[0] == "faceanon_quarantined"} == {"probe": 1, "analyze": 1, "manifest": 1}
    assert heard.totals["faceanon_segments", "analyze", "failed"] == 2
    assert (heard.totals["faceanon_videos", "unchanged"], heard.totals["faceanon_videos", "quarantined"]) == (5, 3)


def test_repairs_and_cpu_time_add_up():
    """A published row's repairs are counted, and CPU time that only the summary knows is added once."""
    heard = Heard()
    meter = Meter(heard, heard)
    row = {"kind": "done", "output_id": "o", "duration_s": 4.0, "source": {"size": 100}, "cpu": {"probe": 1.0}}
    counts = {"frames": 9, "tracks": 2, "painted": 7, "obscured": 1, "repairs": 2, "bytes": 90}
    published = {"kind": "done", "output_id": "o", **counts, "cpu": {"publish": 2.0}}

    meter.phase("probe", 1)
    meter.advance(row)
    meter.phase("publish", 1)
    meter.advance(published)
    meter.settle({"unchanged": 0, "quarantined": [], "cpu_seconds": {"probe": 1.0, "publish": 2.0, "ledger": 0.5}})

    assert heard.totals["faceanon_repairs",] == 2
    assert heard.totals["faceanon_video_seconds",] == 4.0
    assert {key[1]: value for key, value in heard.totals.items() if key[0] == "faceanon_cpu_seconds"} == {"probe": 1.0, "publish": 2.0, "ledger": 0.5}
    assert (heard.totals["faceanon_bytes", "read"], heard.totals["faceanon_bytes", "written"]) == (100, 90)


DASHBOARD = json.loads((TESTS.parent / "manifests/grafana/faceanon.json").read_text())
WORDS = {"sum", "max", "rate", "increase", "by", "le", "time", "histogram_quantile", "m"}


def unknown_words(dashboard: dict) -> set[str]:
    """What the dashboard's queries name that no run exposes: metrics, labels and, behind a label, its metric."""
    known = {name: set(m.labels) for m in METRICS for name in ((f"{m.exposed}_bucket",) if m.kind == "histogram" else (m.exposed,))}
    found = set()
    for panel in dashboard["panels"]:
        for expression in (target["expr"] for target in panel["targets"]):
            asked = set(re.findall(r"ray_\w+", expression))
            labels = {word for name in asked for word in known.get(name, ())}
            others = set(re.findall(r"[a-zA-Z_]\w*", re.sub(r'"[^"]*"|ray_\w+|\[\d+m\]', "", expression)))
            found |= (asked - known.keys()) | (others - labels - WORDS)
    return found


def test_the_dashboard_asks_for_what_there_is():
    """Every metric and label that a panel queries is exposed, every metric is shown, and every query closes its brackets."""
    queries = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]

    assert unknown_words(DASHBOARD) == set()
    assert [m.name for m in METRICS if not any(re.search(rf"\b{m.exposed}(_bucket)?\b", query) for query in queries)] == []
    assert all(query.count(left) == query.count(right) for query in queries for left, right in ("()", "[]", "{}"))
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


@pytest.mark.parametrize(("word", "wrong"), [("ray_faceanon_repairs_total", "ray_faceanon_repair_total"), ("stage", "stages")])
def test_a_misspelt_query_is_caught(word, wrong):
    """A metric or a label that nothing exposes would show an empty panel; it is named."""
    text = json.dumps(DASHBOARD)
    assert word in text

    assert unknown_words(json.loads(re.sub(rf"\b{word}\b", wrong, text))) == {wrong}
