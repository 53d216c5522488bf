"""Runs as OpenLineage events: START, and COMPLETE or FAIL, with what was read, what was made, and facets for models and verdicts.

For one video the datasets are its files; for a whole run the folders that hold them, since a list of a million files helps nobody.
"""

from __future__ import annotations

import posixpath
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import RunFacet, dataset_version_dataset, output_statistics_output_dataset, processing_engine_run
from openlineage.client.serde import Serde

from faceanon.ledger.story import Story

PRODUCER = "https://pypi.org/project/faceanon"
JOB = "anonymize"
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def openlineage_json(stories: Sequence[Story], run_id: str = "") -> str:
    """One event a line, by run. run_id: this run, with its folders; "": every run of these names, with their files."""
    return "\n".join(Serde.to_json(event, ensure_ascii=False) for event in events(stories, run_id))


def events(stories: Sequence[Story], run_id: str = "") -> Iterator[RunEvent]:
    by_run: dict[str, list[tuple[str, Story]]] = {}
    for story in stories:
        for decision in story["decisions"]:
            if decision["decision"] == "published" and run_id in ("", decision["run"]["run_id"]):
                by_run.setdefault(decision["run"]["run_id"], []).append((story["name"], decision))
    for _, made in sorted(by_run.items()):
        yield from _of_run([decision for _, decision in made], whole=bool(run_id))


def run_uuid(run_id: str) -> str:
    """A ULID as the UUID of the same 128 bits; any other word as one that is made of it."""
    if len(run_id) == 26 and set(run_id) <= set(_CROCKFORD) and run_id[0] < "8":
        value = 0
        for letter in run_id:
            value = value << 5 | _CROCKFORD.index(letter)
        return str(uuid.UUID(int=value))
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:faceanon:run:{run_id}"))


def _of_run(made: Sequence[Story], whole: bool) -> Iterator[RunEvent]:
    row = made[0]["run"]
    inputs, outputs = (_folders if whole else _files)(made)
    facets = {"processing_engine": processing_engine_run.ProcessingEngineRunFacet(version=row["code_version"], name="faceanon"), "faceanon": _facet(made)}
    common: dict[str, Any] = {"run": Run(runId=run_uuid(row["run_id"]), facets=facets), "job": Job(namespace="faceanon", name=JOB), "producer": PRODUCER}
    yield RunEvent(eventType=RunState.START, eventTime=_moment(row["started_at"]), inputs=inputs, outputs=[], **common)
    if row["ended_at"]:
        ending = RunState.FAIL if row["state"] == "failed" else RunState.COMPLETE
        yield RunEvent(eventType=ending, eventTime=_moment(row["ended_at"]), inputs=inputs, outputs=outputs, **common)


def _facet(made: Sequence[Story]) -> RunFacet:
    """What OpenLineage has no words for."""
    row = made[0]["run"]
    models = {model["model_id"]: model["name"] for decision in made for model in decision["models"]}
    verdicts = Counter(decision["verdict"]["decision"] for decision in made)
    words = {"runId": row["run_id"], "settings": row["config_sha256"], "gitCommit": row["git_commit"], "hostClass": row["host_class"]}
    return cast(RunFacet, RunFacet().with_additional_properties(**words, models=models, verdicts=dict(sorted(verdicts.items()))))


def _files(made: Sequence[Story]) -> tuple[list[InputDataset], list[OutputDataset]]:
    version = dataset_version_dataset.DatasetVersionDatasetFacet
    inputs = {d["source"]["uri"]: InputDataset(*_place(d["source"]["uri"]), facets={"version": version(d["source"]["sha256"])}) for d in made}
    outputs = [OutputDataset(*_place(d["output"]["out_uri"]), facets={"version": version(d["output"]["sha256"])}, outputFacets=_statistics([d])) for d in made]
    return list(inputs.values()), outputs


def _folders(made: Sequence[Story]) -> tuple[list[InputDataset], list[OutputDataset]]:
    inputs = sorted({_place(posixpath.dirname(d["source"]["uri"])) for d in made})
    by_folder: dict[tuple[str, str], list[Story]] = {}
    for decision in made:
        by_folder.setdefault(_place(decision["output"]["out_uri"].rsplit("/objects/", 1)[0]), []).append(decision)
    return [InputDataset(*place) for place in inputs], [OutputDataset(*place, outputFacets=_statistics(some)) for place, some in sorted(by_folder.items())]


def _statistics(made: Sequence[Story]) -> dict:
    frames, size = sum(d["output"]["frames"] for d in made), sum(d["output"]["size"] for d in made)
    return {"outputStatistics": output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(rowCount=frames, size=size, fileCount=len(made))}


def _place(uri: str) -> tuple[str, str]:
    """(namespace, name) as OpenLineage names things: a bucket and a key, or this machine's files and a path."""
    scheme, found, rest = uri.partition("://")
    if not found:
        return "file", uri
    bucket, _, key = rest.partition("/")
    return f"{scheme}://{bucket}", key or "/"


def _moment(text: str) -> str:
    return datetime.fromisoformat(text).astimezone(UTC).isoformat()
