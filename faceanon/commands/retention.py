"""`faceanon retention plan | run | hold | release | explain | report OUT --policy policy.toml`: which originals may go, and taking them there.

Nothing is deleted or moved without `run --execute`. Exit codes: 0 all well, 4 something is overdue (older than its policy allows, and still there),
1 a fault (an object that could not be looked at, a clock that is wrong, another run at work), 2 wrong usage or policy.
"""

from __future__ import annotations

import argparse
import getpass
import json
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path

from faceanon.archive import uri as uris
from faceanon.archive.store import LocalStore, S3Store
from faceanon.archive.versions import Shelf
from faceanon.commands.opened import open_out, settings_of
from faceanon.commands.sealing import fold_and_sign
from faceanon.core.errors import UsageError
from faceanon.core.settings import Settings
from faceanon.flow.host import is_dead, this_process
from faceanon.ledger.fold import fold
from faceanon.ledger.runinfo import new_run_id
from faceanon.retention import catalog, history, holds, metrics
from faceanon.retention.clock import StoreClock
from faceanon.retention.findings import Finding, Totals
from faceanon.retention.gates import Gatekeeper
from faceanon.retention.lease import Lease
from faceanon.retention.policy import load
from faceanon.retention.run import Retention, write_policies
from faceanon.retention.standing import State
from faceanon.retention.steps import Steps
from faceanon.retention.verdicts import Verdicts

_QUIET = {State.ACTIVE, State.KEPT, State.DELETED, State.MOVED}  # counted, not listed, unless something was done with them
OVERDUE = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Nothing is deleted or moved without `run --execute`. Exit codes: 0 all well; 4 something is overdue: older than its policy allows, and still there; "
        "1 a fault: an object that could not be looked at, a clock that is wrong, another run at work; 2 wrong usage or policy."
    )
    actions = ("plan", "run", "hold", "release", "explain", "report")
    parser.add_argument("action", choices=actions, help="plan and report look only; run reads files, and acts with --execute")
    parser.add_argument("out", metavar="OUT", help="where jobs wrote")
    what = "explain: an original; hold: collection:, prefix:, tag:, name: or uri: with a value; release: a hold's id"
    parser.add_argument("what", nargs="?", metavar="URI|SELECTOR|HOLD", help=what)
    parser.add_argument("--policy", type=Path, metavar="FILE.toml", help="what may go, when, and why (plan, run, explain, report)")
    parser.add_argument("--execute", action="store_true", help="run: do it; without, say what would be done")
    parser.add_argument("--case", default="", metavar="REF", help="hold: the case that it is for")
    parser.add_argument("--by", default="", metavar="WHO", help="hold, release: who says so (the user)")
    parser.add_argument("--reason", default="", help="hold, release: why, for the ledger")
    parser.add_argument("--review", type=date.fromisoformat, metavar="DATE", help="hold: when somebody should ask whether it is still needed")
    parser.add_argument("--metrics", type=Path, metavar="FILE", help="write a Prometheus textfile (plan, run, report)")
    parser.add_argument("--key-file", type=Path, help="keystore whose key signs the evidence after a run (FACEANON_KEY, or ~/.config/faceanon/keystore.json)")
    parser.add_argument("--settings", type=Path, metavar="FILE.toml", help="of the job: where the stores and the mirror are")
    parser.add_argument("--format", choices=("table", "json"), default="table")


def run(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments.settings)
    out = open_out(arguments.out)
    if arguments.action in ("hold", "release"):
        return _hold(arguments, out)
    if arguments.policy is None:
        raise UsageError(f"{arguments.action} needs --policy FILE.toml; there is no default policy")
    if arguments.execute and arguments.action != "run":
        raise UsageError("--execute is for run")
    if arguments.action == "explain":
        return _explain(arguments, _Desk.open(out, arguments.policy))
    return _run(arguments, settings, out)


@dataclass(frozen=True)
class _Desk:
    """All that is looked up before anything is decided."""

    out: LocalStore | S3Store
    history: history.History
    clock: StoreClock
    gatekeeper: Gatekeeper

    @classmethod
    def open(cls, out: LocalStore | S3Store, policy: Path) -> _Desk:
        policies = load(policy)
        past = history.read(out)
        clock = StoreClock(out.clock_s, past.newest)
        return cls(out, past, clock, Gatekeeper(out, Shelf(), policies, holds.Holds(out), Verdicts(out), clock))


def _run(arguments: argparse.Namespace, settings: Settings, out: LocalStore | S3Store) -> int:
    totals, listed, run_id = Totals(), [], new_run_id()
    with Lease(out, run_id, this_process(), is_dead=is_dead) if arguments.execute else nullcontext() as lease:
        if lease is not None:
            fold(out.root, out)  # tables answer in one question what events answer one by one
        desk = _Desk.open(out, arguments.policy)
        last_success = desk.history.last_success
        scribe = history.Scribe(desk.out, desk.clock, run_id) if lease is not None else None
        if scribe is not None:
            write_policies(scribe, desk.gatekeeper.policies)
        for finding in Retention(Steps(desk.gatekeeper, desk.history, arguments.action == "run", scribe, lease)).run():
            totals.add(finding)
            if finding.did or finding.state not in _QUIET:
                listed.append(finding)
        faults = totals.states[State.FAULT.value]
        if scribe is not None:
            ended = scribe.write("run", decision="faults" if faults else "done", reason=_counts(totals))
            last_success = last_success if faults else ended["at"]
    signed = fold_and_sign(out, settings, arguments.key_file) if arguments.execute else ""
    if arguments.metrics:
        metrics.write(arguments.metrics, metrics.as_text(totals, last_success))
    if arguments.format == "json":
        held = [{**vars(hold)} for hold in desk.gatekeeper.holds.active()]
        whole = {"executed": arguments.execute, "run_id": run_id, **metrics.as_numbers(totals, last_success), "states": totals.states, "did": totals.did}
        print(json.dumps({**whole, "holds": held, "originals": [vars(finding) for finding in listed]}, indent=1, default=_plain, ensure_ascii=False))
    else:
        print("\n".join(_told(arguments, desk, totals, listed, last_success, signed)))
    return 1 if faults else OVERDUE if totals.overdue else 0


def _told(arguments: argparse.Namespace, desk: _Desk, totals: Totals, listed: Sequence[Finding], last_success: datetime | None, signed: str) -> Iterator[str]:
    for finding in listed:
        late = f"OVERDUE by {finding.overdue_s / 86400:.1f} days; " if finding.overdue_s else ""
        gate = f"{finding.gate}: " if finding.gate else ""
        yield f"{finding.state.value:<9} {finding.did or '-':<9} {finding.uri}  {late}{gate}{finding.reason}"
    if arguments.action == "report":
        for hold in desk.gatekeeper.holds.active():
            review = f", to be reviewed by {hold.review_at:%Y-%m-%d}" if hold.review_at else ""
            yield f"hold      {hold.hold_id}  {hold.selector}, case {hold.case_ref or '-'}, since {hold.placed_at:%Y-%m-%d} by {hold.placed_by}{review}"
    yield _counts(totals)
    if totals.did and not arguments.execute:
        yield f"nothing was done: {', '.join(f'{count} x {did}' for did, count in sorted(totals.did.items()))} is what `run --execute` would do"
    elif totals.did:
        yield f"done: {', '.join(f'{count} x {did}' for did, count in sorted(totals.did.items()))}"
    yield f"last run that went through: {f'{last_success:%Y-%m-%d %H:%M} UTC' if last_success else 'none'}; overdue: {totals.overdue}" + (
        f", the oldest by {totals.oldest_overdue_s / 86400:.1f} days" if totals.overdue else ""
    )
    if signed:
        yield signed


def _counts(totals: Totals) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(totals.states.items())) or "no original is known"


def _explain(arguments: argparse.Namespace, desk: _Desk) -> int:
    """Everything that decides about one original: rule, holds, age, gates, and what was written down."""
    if not arguments.what:
        raise UsageError("explain needs the URI of an original")
    uri, keeper = str(uris.parse(arguments.what)), desk.gatekeeper
    original = catalog.named(desk.out, uri)
    if original is None:
        raise UsageError("is no original that this ledger knows", source=uri)
    findings = Retention(Steps(desk.gatekeeper, desk.history)).examine(original)
    rule = keeper.policies.rule(original.subjects)
    if arguments.format == "json":
        print(json.dumps({"rule": vars(rule), "versions": [vars(f) for f in findings], "events": _events(desk, uri)}, indent=1, default=_plain, ensure_ascii=False))
    else:
        print("\n".join(_explained(desk, original, rule.reason, findings)))
    return 1 if any(f.state is State.FAULT for f in findings) else OVERDUE if any(f.overdue_s for f in findings) else 0


def _explained(desk: _Desk, original: catalog.Original, reason: str, findings: Sequence[Finding]) -> Iterator[str]:
    yield original.uri
    for known in original.known:
        subject = known.subject
        tags = f", tags {' '.join(sorted(subject.tags))}" if subject.tags else ""
        yield f"  name      {subject.name}  collection {subject.collection or '-'}{tags}; newest decision: {known.state}; came in {known.ingested_at:%Y-%m-%d %H:%M} UTC"
    for policy in desk.gatekeeper.policies.all:
        fits = [known.subject.name for known in original.known if policy.fits(known.subject)]
        yield f"  policy    {policy.name}: {policy.selector()}; {'fits' if fits else 'does not fit'}"
    yield f"  rule      {reason}"
    hold = desk.gatekeeper.holds.on(original.subjects)
    if hold:
        yield f"  hold      {hold.hold_id} on {hold.selector}, case {hold.case_ref or '-'}, by {hold.placed_by}"
    for finding in findings:
        dates = f"; due {finding.due_at:%Y-%m-%d}, overdue from {finding.overdue_at:%Y-%m-%d}" if finding.due_at and finding.overdue_at else ""
        gate = f"gate {finding.gate} is closed: " if finding.gate else ""
        late = f" OVERDUE by {finding.overdue_s / 86400:.1f} days" if finding.overdue_s else ""
        then = f"; a run would write {finding.did}" if finding.did else ""
        yield f"  version   {finding.version_id or '-'}  {finding.state.value}{late}: {gate}{finding.reason}{dates}{then}"
    for event in _events(desk, original.uri):
        yield f"  event     {event['at']}  {event['phase']} {event['decision'] or ''}  {event['reason'] or ''}"


def _events(desk: _Desk, uri: str) -> list[dict[str, str]]:
    pasts = desk.history.at(uri).items()
    rows = [row for _, past in pasts for row in (*past.ends, past.intent, past.verified) if row is not None]
    words = ("phase", "decision", "reason", "version_id")
    return [{"at": row["at"].isoformat(timespec="seconds"), **{w: row[w] for w in words}} for row in sorted(rows, key=lambda row: row["at"])]


def _hold(arguments: argparse.Namespace, out: LocalStore | S3Store) -> int:
    by = arguments.by or _user()
    now = datetime.fromtimestamp(out.clock_s(), UTC)
    if arguments.action == "release":
        if not arguments.what:
            raise UsageError("release needs the id of a hold")
        hold = holds.release(out, arguments.what, by=by, now=now, reason=arguments.reason)
        print(f"released {hold.hold_id}, which was on {hold.selector}; a retention run begins anew with what it held")
        return 0
    if not arguments.what:
        raise UsageError("hold needs what it is on: collection:, prefix:, tag:, name: or uri: and a value")
    review = datetime.combine(arguments.review, time(), UTC) if arguments.review else None
    hold = holds.place(out, arguments.what, case_ref=arguments.case, by=by, now=now, review_at=review, reason=arguments.reason)
    print(f"{hold.hold_id}  {hold.selector} is held; nothing of it goes until `faceanon retention release OUT {hold.hold_id}`")
    return 0


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise UsageError("this system has no name for who asks; say --by WHO") from None


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else str(value)
