"""Exports are what their own libraries read back, and say what the ledger says."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime

import ledger_cases as cases
import pytest
from openlineage.client.event_v2 import RunEvent
from prov.model import ProvActivity, ProvDerivation, ProvDocument, ProvEntity, ProvInvalidation

from faceanon.archive.store import open_store
from faceanon.cli import main
from faceanon.core.records import SourceVersion
from faceanon.ledger.commit import commit_published, commit_quarantined
from faceanon.ledger.events import append_rows
from faceanon.ledger.export_openlineage import events, run_uuid
from faceanon.ledger.fold import fold
from faceanon.ledger.runinfo import new_run_id
from faceanon.ledger.runs import write_summary
from faceanon.ledger.story import story

AT = datetime(2026, 3, 5, tzinfo=UTC)


@pytest.fixture
def root(tmp_path):
    store = open_store(str(tmp_path / "out"))
    for name in ("cam/a.mp4", "cam/b.mp4"):
        commit_published(store, cases.published(name))
    commit_quarantined(store, cases.refused(source=SourceVersion("/src/bad.mp4", 5, "1", "")))
    deleted = {"event_id": "e", "name": "cam/a.mp4", "uri": "/src/cam/a.mp4", "phase": "deleted", "policy_id": "p1", "at": AT}
    append_rows(store, "retention_events", [deleted], key="e")
    append_rows(store, "verdicts", [{"verdict_id": "v", "name": "cam/a.mp4", "auditor": "mtcnn", "decision": "pass", "at": AT}], key="v")
    write_summary(store, "01RUN", {"state": "done", "ended_at": "2026-03-01T11:00:00+00:00"}, cases.RUN)
    fold(store.root, store)
    return store.root


def exported(capsys, *arguments: str) -> str:
    assert main(["export", *arguments]) == 0
    return capsys.readouterr().out


def test_one_video_as_prov(root, capsys):
    """The library reads it back: an output derived from a source by a run, models, verdicts, segments, and the end of the original."""
    doc = ProvDocument.deserialize(content=exported(capsys, root, "--video", "/src/cam/a.mp4"), format="json")

    entities = {str(e.identifier).split(":")[0] for e in doc.get_records(ProvEntity)}
    assert entities == {"source", "output", "model", "verdict"}
    assert sorted(str(a.identifier).split(":")[0] for a in doc.get_records(ProvActivity)) == ["deletion", "run", "segment", "segment"]
    assert [str(d.args[1]) for d in doc.get_records(ProvDerivation)].count(f"source:{'1' * 64}") == 1
    assert len(list(doc.get_records(ProvInvalidation))) == 1
    run = next(a for a in doc.get_records(ProvActivity) if str(a.identifier) == "run:01RUN")
    assert (run.get_startTime().isoformat(), run.get_endTime().isoformat()) == ("2026-03-01T10:00:00+00:00", "2026-03-01T11:00:00+00:00")


def test_a_run_as_prov(root, capsys):
    """Both videos, one run; the quarantined one made nothing."""
    doc = ProvDocument.deserialize(content=exported(capsys, root, "--run", "01RUN"), format="json")

    assert sum(str(e.identifier).startswith("output:") for e in doc.get_records(ProvEntity)) == 2
    assert [str(a.identifier) for a in doc.get_records(ProvActivity)].count("run:01RUN") == 1


def test_one_video_as_openlineage(root, capsys):
    """A START and a COMPLETE of one run, with its files by digest, and facets for models and verdicts."""
    start, complete = (json.loads(line) for line in exported(capsys, root, "--video", f"{root}/videos/cam/a.mp4", "--format", "openlineage").splitlines())

    assert (start["eventType"], complete["eventType"], start["run"]["runId"]) == ("START", "COMPLETE", complete["run"]["runId"])
    assert [(d["namespace"], d["name"], d["facets"]["version"]["datasetVersion"]) for d in complete["inputs"]] == [("file", "/src/cam/a.mp4", "1" * 64)]
    assert [d["outputFacets"]["outputStatistics"]["size"] for d in complete["outputs"]] == [4800]
    assert (complete["run"]["facets"]["faceanon"]["models"], complete["run"]["facets"]["faceanon"]["verdicts"]) == ({"d" * 64: "centerface"}, {"pass": 1})


def test_a_run_as_openlineage(root, capsys):
    """Folders, not files; the library takes each event as one of its own."""
    lines = exported(capsys, root, "--run", "01RUN", "--format", "openlineage").splitlines()
    complete = json.loads(lines[1])
    store = open_store(root)

    assert [(d["namespace"], d["name"]) for d in complete["inputs"]] == [("file", "/src/cam")]
    assert [(d["name"], d["outputFacets"]["outputStatistics"]["fileCount"]) for d in complete["outputs"]] == [(root, 2)]
    assert all(isinstance(event, RunEvent) for event in events([story(root, store, "cam/a.mp4")]))


def test_a_run_that_has_not_ended_has_only_begun(tmp_path):
    """No COMPLETE before its time."""
    store = open_store(str(tmp_path / "out"))
    commit_published(store, cases.published())
    fold(store.root, store)

    assert [event.eventType.value for event in events([story(store.root, store, "a.mp4")])] == ["START"]


def test_run_ids_are_uuids():
    """The same bits, in the order of time."""
    earlier, later = "01M8N2WWN5PDRJAWVR72HVEEKN", "01M8N2WWN6PDRJAWVR72HVEEKN"

    assert run_uuid(earlier) < run_uuid(later)
    assert all(uuid.UUID(run_uuid(i)) for i in (earlier, later, new_run_id(), "01RUN"))
    assert run_uuid("7ZZZZZZZZZZZZZZZZZZZZZZZZZ") == "ffffffff-ffff-ffff-ffff-ffffffffffff"


@pytest.mark.parametrize("arguments", [[], ["--video", "/never.mp4"], ["--run", "never"], ["--run", "01RUN", "--video", "/src/cam/a.mp4"]])
def test_what_cannot_be_exported_is_wrong_usage(root, arguments):
    """Exit 2."""
    assert main(["export", root, *arguments]) == 2
