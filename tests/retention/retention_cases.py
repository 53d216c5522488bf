"""Made-up archives for retention: originals, outputs and the records that tie them together, on disk or in buckets. Nothing is anonymized."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "ledger"))

import ledger_cases

from faceanon.archive import uri as uris
from faceanon.archive.objects import filesystem
from faceanon.archive.store import open_store, version_of
from faceanon.archive.versions import Shelf
from faceanon.core.ids import audit_id, output_id, video_id
from faceanon.core.jsonable import to_json
from faceanon.core.settings import Settings
from faceanon.ledger.commit import commit_published
from faceanon.ledger.events import append_rows, events
from faceanon.retention import history, holds
from faceanon.retention.clock import StoreClock
from faceanon.retention.findings import Finding
from faceanon.retention.gates import Gatekeeper
from faceanon.retention.history import Scribe
from faceanon.retention.lease import Lease
from faceanon.retention.policy import from_table
from faceanon.retention.run import Retention, write_policies
from faceanon.retention.steps import Steps
from faceanon.retention.verdicts import Verdicts

MTCNN = "e" * 64
RUN = replace(ledger_cases.RUN, settings_json=json.dumps(to_json(Settings())))
POLICY = {"policy": {"cam": {"collection": "cam", "basis": "GDPR article 6(1)(f)", "min_days": 30, "max_days": 90, "grace_days": 0, "action": "delete"}}}


def policy(**changes: Any) -> dict[str, Any]:
    """The policy on collection cam with some values changed; None takes one out."""
    values = {**POLICY["policy"]["cam"], **changes}
    return {"policy": {"cam": {key: value for key, value in values.items() if value is not None}}}


@dataclass
class Archive:
    """sources: where originals lie; out: where a job wrote."""

    sources: str
    out_uri: str
    late: timedelta = field(default_factory=timedelta)  # how far the clock of `retain` is ahead

    @property
    def out(self):
        return open_store(self.out_uri)

    def uri(self, name: str) -> str:
        return str(uris.parse(f"{self.sources}/{name}"))

    def put(self, name: str, data: bytes) -> None:
        open_store(self.sources).replace(name, data)

    def add(
        self, name: str, *, days: float = 40, collection: str = "cam", tags: tuple[str, ...] = (), verdict: str = "pass", output: bytes | None = b"",
        settings: Settings | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """An original that came in `days` ago, its output (None: gone; b"": as it should be) and what an independent auditor said ("": nothing)."""
        if not (Path(self.uri(name)).exists() if self.uri(name).startswith("/") else False):
            self.put(name, b"original of " + name.encode())
        record = self.publish(name, days=days, collection=collection, tags=tags, output=output, settings=settings)
        if verdict:
            self.audit(record, verdict)
        return record

    def publish(
        self, name: str, *, days: int = 40, collection: str = "cam", tags: tuple[str, ...] = (), output: bytes | None = b"", settings: Settings | None = None
    ) -> dict[str, Any]:
        """A record about the bytes that lie there now."""
        size, word = version_of(self.uri(name))
        content = hashlib.sha256(self.read(name)).hexdigest()
        settings = settings or Settings()
        record = ledger_cases.published(name, settings=settings, run=RUN)
        video = video_id(name, content)
        made = b"output of " + name.encode() + settings.digest().encode()
        output_name = output_id(video, settings.digest(), "ks-1", "video")
        place = f"objects/{output_name[:2]}/{output_name}.mp4"
        record |= {
            "video_id": video, "output_id": output_name, "collection": collection, "tags": list(tags), "name": name,
            "source": {"uri": self.uri(name), "size": size, "version": word, "sha256": content, "fingerprint": ""},
            "ingested_at": (datetime.now(UTC) - timedelta(days)).isoformat(),
            "output": {**record["output"], "sha256": hashlib.sha256(made).hexdigest(), "object": place},
            "tracks": [], "segments": [], "shots": [],
        }  # fmt: skip
        commit_published(self.out, record)
        if output is not None:
            self.out.replace(place, output or made)
        return record

    def audit(self, record: dict[str, Any], decision: str = "pass", *, auditor: str = "mtcnn", model: str = MTCNN, frames: int = 5, at: datetime | None = None) -> None:
        at = at or datetime.now(UTC)
        told = audit_id(record["output_id"], record["output"]["sha256"], model, frames, decision, at.isoformat(timespec="microseconds"))
        row = {"verdict_id": told, "name": record["name"], "output_id": record["output_id"], "auditor": auditor, "auditor_model_id": model}
        append_rows(self.out, "verdicts", [{**row, "frames_sampled": frames, "decision": decision, "reason": "a face", "at": at}], key=told)

    def read(self, name: str) -> bytes:
        return open_store(self.sources).read(name)

    def has(self, name: str) -> bool:
        return open_store(self.sources).exists(name)

    def retain(self, table: dict[str, Any] = POLICY, *, execute: bool = True, read: bool = True) -> dict[str, Finding]:
        """One run over everything; what it found, by name (of several versions the last)."""
        policies, past, ahead = from_table(table), history.read(self.out), self.late
        clock = StoreClock(lambda: self.out.clock_s() + ahead.total_seconds(), past.newest, local=lambda: datetime.now(UTC) + ahead)
        keeper = Gatekeeper(self.out, Shelf(), policies, holds.Holds(self.out), Verdicts(self.out), clock)
        if not execute:
            return {f.names[0]: f for f in Retention(Steps(keeper, past, read)).run()}
        scribe = Scribe(self.out, clock, "01RETENTION")
        with Lease(self.out, "01RETENTION", {}) as lease:
            write_policies(scribe, policies)
            return {f.names[0]: f for f in Retention(Steps(keeper, past, True, scribe, lease)).run()}

    def told(self) -> list[tuple[str, str, str]]:
        """(name, phase, decision) of every event, in the order in which they were written."""
        return [(row["name"], row["phase"], row.get("decision") or "") for row in events(self.out, "retention_events")]


def bucket(name: str, *, versions: bool = False, locks: bool = False) -> str:
    """A new bucket of the test's server; its URI."""
    fs = filesystem()
    fs.call_s3("create_bucket", Bucket=name, **({"ObjectLockEnabledForBucket": True} if locks else {}))
    if versions and not locks:
        fs.call_s3("put_bucket_versioning", Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return f"s3://{name}"
