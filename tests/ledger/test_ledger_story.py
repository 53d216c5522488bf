"""`faceanon trace`: one story, whichever end it is asked from, before a fold and after, and a proof that an auditor can compute."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import ledger_cases as cases
import pytest

from faceanon.archive.store import open_store
from faceanon.cli import main
from faceanon.ledger import evidence
from faceanon.ledger.commit import commit_published, commit_quarantined
from faceanon.ledger.events import append_rows
from faceanon.ledger.evidence_note import Signer, parse_note
from faceanon.ledger.evidence_tree import root_from
from faceanon.ledger.fold import fold
from faceanon.ledger.runs import write_summary
from faceanon.ledger.story import names_of, story

BLUR = cases.Settings().with_values(render__engine="blur")
AT = datetime(2026, 3, 5, tzinfo=UTC)


@pytest.fixture
def store(tmp_path):
    store = open_store(str(tmp_path / "out"))
    for settings in (BLUR, cases.Settings()):
        commit_published(store, cases.published("cam/a.mp4", settings=settings))
    commit_published(store, cases.published("b.mp4"))
    commit_quarantined(store, cases.refused())
    append_rows(store, "verdicts", [{"verdict_id": "v", "name": "cam/a.mp4", "auditor": "mtcnn", "decision": "pass", "at": AT}], key="v")
    append_rows(store, "retention_events", [{"event_id": "e", "name": "cam/a.mp4", "phase": "intent", "decision": "delete", "at": AT}], key="e")
    write_summary(store, "01RUN", {"state": "done", "ended_at": "2026-03-01T11:00:00+00:00"}, cases.RUN)
    return store


def uris_of(store) -> dict[str, str]:
    objects = cases.published("cam/a.mp4")["output"]["object"]
    return {"source": "/src/cam/a.mp4", "view": store.uri("videos/cam/a.mp4"), "object": store.uri(objects)}


@pytest.mark.parametrize("folded", [False, True])
def test_every_end_leads_to_the_same_name(store, folded):
    """Source, view and object; whether the tables know it or only the records. A stranger leads nowhere."""
    if folded:
        fold(store.root, store)

    assert {end: names_of(store.root, store, uri) for end, uri in uris_of(store).items()} == {end: ["cam/a.mp4"] for end in ("source", "view", "object")}
    assert names_of(store.root, store, "/src/bad.mp4") == ["bad.mp4"]
    assert names_of(store.root, store, "/src/never.mp4") == names_of(store.root, store, store.uri("videos/never.mp4")) == []


def test_a_story_goes_from_output_to_source(store):
    """Each decision with output, segments, people, models, run and source; and what came later."""
    fold(store.root, store)
    told = story(store.root, store, "cam/a.mp4")
    old, new = told["decisions"]

    assert [(d["engine"], d["output"]["state"]) for d in (old, new)] == [("blur", "superseded"), ("swap", "current")]
    assert (new["source"]["uri"], new["source"]["sha256"], new["source"]["version"]) == ("/src/cam/a.mp4", "1" * 64, "123")
    assert (new["run"]["run_id"], new["run"]["state"], new["run"]["config_sha256"]) == ("01RUN", "done", cases.Settings().digest())
    assert [m["model_id"] for m in new["models"]] == ["d" * 64]
    assert [(s["segment_no"], s["state"]) for s in new["segments"]] == [(0, "encoded"), (1, "copied")]
    assert [(p["label"], p["frames_face"]) for p in new["people"] if p["label"]] == [("p-4f2a", 18)]
    assert ([a["auditor"] for a in told["audits"]], [r["phase"] for r in told["retention"]]) == (["mtcnn"], ["intent"])


def test_a_proof_leads_to_what_was_signed(store):
    """Leaf, place and hashes give the root of the checkpoint; a decision after it has none yet."""
    fold(store.root, store)
    name, note = evidence.checkpoint(store, Signer.from_seed(bytes(32)))
    commit_published(store, cases.published("cam/a.mp4", "2"))
    fold(store.root, store)
    places = [d["evidence"] for d in story(store.root, store, "cam/a.mp4", proven=True)["decisions"]]

    for place in places[:2]:
        assert root_from(evidence.hash_of(place["leaf"]), place["index"], place["leaves"], [bytes.fromhex(h) for h in place["proof"]]) == parse_note(note).root
        assert place["checkpoint"] == store.uri(name)
    assert (places[2]["checkpoint"], places[2]["proof"]) == (None, None)


def test_the_command_tells_it(store, capsys):
    """From below OUT without saying where OUT is, from a source with it; as text and as JSON."""
    uris = uris_of(store)
    assert main(["trace", uris["view"]]) == 0
    text = capsys.readouterr().out
    assert all(word in text for word in ("/src/cam/a.mp4", "01RUN", "d" * 64, "superseded", "p-4f2a", "1 copied, 1 encoded"))
    assert main(["trace", uris["source"], "--output", store.root, "--format", "json", "--proof"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["name"] == "cam/a.mp4"
    assert main(["trace", "/src/bad.mp4", "--output", store.root]) == 0
    assert "because   probe: not a video" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"), [(["/src/cam/a.mp4"], "say which one with --output"), (["/never.mp4", "--output", "OUT"], "neither an output nor a source")]
)
def test_what_cannot_be_traced_is_wrong_usage(store, capsys, arguments, said):
    """Exit 2, and what to do."""
    assert main(["trace", *(a.replace("OUT", store.root) for a in arguments)]) == 2
    assert said in capsys.readouterr().err
