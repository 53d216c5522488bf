"""Stories as W3C PROV: sources, outputs, models and verdicts are entities, runs and segments activities, people and the program agents.

What was deleted later (`retention_events`) was invalidated. The document is a `prov` one; `prov_json` is its JSON form.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from prov.constants import PROV_LABEL, PROV_LOCATION, PROV_TYPE
from prov.model import ProvDocument

from faceanon.ledger.story import Story

_NAMESPACES = ("source", "output", "model", "verdict", "run", "segment", "agent", "software", "deletion")


def prov_json(stories: Sequence[Story], run_id: str = "") -> str:
    """run_id: only what this run did; "": everything about these names."""
    return document(stories, run_id).serialize(format="json", indent=1) or ""


def document(stories: Sequence[Story], run_id: str = "") -> ProvDocument:
    doc = ProvDocument()
    doc.add_namespace("fa", "urn:faceanon:")
    for word in _NAMESPACES:
        doc.add_namespace(word, f"urn:faceanon:{word}:")
    seen: set[str] = set()
    for story in stories:
        for decision in story["decisions"]:
            if decision["decision"] == "published" and run_id in ("", decision["run"]["run_id"]):
                _publication(doc, seen, story, decision)
        for row in story["audits"]:
            _audit(doc, seen, row)
        for row in story["retention"]:
            _deletion(doc, seen, story, row)
    return doc


def _publication(doc: ProvDocument, seen: set[str], story: Story, decision: Story) -> None:
    output, verdict = decision["output"], decision["verdict"]
    source, run, made = _source(doc, seen, story, decision), _run(doc, seen, decision), f"output:{output['output_id']}"
    facts: dict[Any, Any] = {PROV_LABEL: story["name"], PROV_LOCATION: output["out_uri"], **{f"fa:{word}": output[word] for word in ("sha256", "size", "state")}}
    doc.entity(made, {**facts, "fa:engine": decision["engine"], "fa:record": decision["record"]})
    doc.used(run, source)
    doc.wasGeneratedBy(made, run, time=decision["at"])
    doc.wasDerivedFrom(made, source, activity=run)
    for model in decision["models"]:
        name = f"model:{model['model_id']}"
        if _new(seen, name):
            doc.entity(name, {PROV_LABEL: model["name"], **({"fa:licence": model["licence"]} if model.get("licence") else {})})
        doc.used(run, name)
    for segment in decision["segments"]:
        part = f"segment:{output['output_id']}-{segment['segment_no']:06d}"
        doc.activity(part, other_attributes={"fa:state": segment["state"], "fa:frames": segment["frames"], "fa:sha256": segment["out_sha256"]})
        doc.used(part, source)
        doc.wasInformedBy(run, part)
    judged = f"verdict:{decision['record']}"
    doc.entity(judged, {"fa:decision": verdict["decision"], "fa:auditor": verdict["auditor"], "fa:framesSampled": verdict["frames_sampled"]})
    doc.wasGeneratedBy(judged, run)
    doc.wasDerivedFrom(judged, made)


def _source(doc: ProvDocument, seen: set[str], story: Story, decision: Story) -> str:
    source = decision["source"]
    name = f"source:{source['sha256'] or story['name']}"
    if _new(seen, name):
        doc.entity(name, {PROV_LOCATION: source["uri"], "fa:sha256": source["sha256"], "fa:size": source["size"], "fa:version": source["version"]})
    return name


def _run(doc: ProvDocument, seen: set[str], decision: Story) -> str:
    row = decision["run"]
    name, software, actor = f"run:{row['run_id']}", f"software:faceanon-{row['code_version']}", f"agent:{row['actor'] or 'unknown'}"
    if _new(seen, name):
        said = {"fa:settings": row["config_sha256"], "fa:hostClass": row["host_class"], "fa:state": row["state"]}
        doc.activity(name, _moment(row["started_at"]), _moment(row["ended_at"]), said)
        if _new(seen, software):
            commit: dict[Any, Any] = {"fa:gitCommit": row["git_commit"]} if row["git_commit"] else {}
            doc.agent(software, {PROV_TYPE: "prov:SoftwareAgent", **commit})
        if _new(seen, actor):
            doc.agent(actor)
        doc.wasAssociatedWith(name, software)
        doc.wasAssociatedWith(name, actor)
    return name


def _audit(doc: ProvDocument, seen: set[str], row: Story) -> None:
    """A later look at an output, by an auditor or a person."""
    name = f"verdict:{row['record_id']}"
    if _new(seen, name):
        doc.entity(name, {"fa:decision": row.get("decision", ""), "fa:auditor": row.get("auditor") or row.get("reviewer") or ""})
        if row.get("output_id"):
            doc.wasDerivedFrom(name, f"output:{row['output_id']}")


def _deletion(doc: ProvDocument, seen: set[str], story: Story, row: Story) -> None:
    """An original that retention deleted is no more."""
    if row.get("phase", "").casefold() != "deleted":
        return
    name = f"deletion:{row['record_id']}"
    if _new(seen, name):
        doc.activity(name, other_attributes={"fa:policy": row.get("policy_id", ""), "fa:reason": row.get("reason", "")})
        for source in sorted({f"source:{d['source']['sha256'] or story['name']}" for d in story["decisions"] if d["source"]["uri"] == row.get("uri")}):
            doc.wasInvalidatedBy(source, name, time=row.get("at"))


def _new(seen: set[str], name: str) -> bool:
    if name in seen:
        return False
    seen.add(name)
    return True


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
