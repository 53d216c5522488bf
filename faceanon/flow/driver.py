"""The whole pipeline, on one screen: `run`. What carries it out, this process or Ray, is an Executor.

Per wave of videos (a scope's videos stay in one wave):

  probe    per source    reads it once; digest, packets, plan of segments          1 CPU
  analyze  per segment   decode, shots, detect, embed                              1 CPU or a share of a GPU
  link     per scope     tracks, people, personas, regions: the barrier            1 CPU
  redact   per segment   decode, paint, encode; or a promise to copy               1 CPU or a share of a GPU
  publish  per video     stitch, compare, audit, repair, commit                    1 CPU

Every step leaves its result in the work store before it answers, so that a run that dies is taken up where it was.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from faceanon.archive.plan import Requested
from faceanon.core.errors import StoreError, StoreUnavailable
from faceanon.core.ids import digest
from faceanon.core.jsonable import from_json, to_json
from faceanon.core.records import Quarantined, SourceItem, SourceVersion
from faceanon.flow import analyze, evidence, keys, layout, link, others, probe, publish, redact
from faceanon.flow.job import Context
from faceanon.flow.outcome import Row, Step
from faceanon.flow.request import Work
from faceanon.ledger.commit import commit_quarantined
from faceanon.ledger.records import quarantine
from faceanon.ledger.runs import write_summary

BYTES_A_SECOND = 250_000  # of a video of few bits, to guess from its size how long it may take to read

ROUNDS, PAUSE_S = 5, 2.0  # tries at videos that another run clears away meanwhile, s between them

STEPS: dict[str, Step] = {"probe": probe.run, "analyze": analyze.run, "link": link.run, "redact": redact.run, "publish": publish.run}


_SHOWN = ("name", "sha256", "frames", "tracks", "people", "painted", "obscured", "repairs", "copied_segments")
_SUMMED = ("frames", "tracks", "faces", "obscured", "repairs", "duration_s")
_LISTED = 10_000  # published videos that a summary names; the ledger names all
_FOLD_VIDEOS, _FOLD_S = 4096, 60.0  # the tables follow once so many videos, or so long, after they last did


class Executor(Protocol):
    """Carries out one phase: every unit through the phase's step; one row each, in any order."""

    def map(self, phase: str, units: Sequence[Row]) -> Iterable[Row]: ...


class Progress(Protocol):
    """Told what happens; shows it to a person or to nobody."""

    def phase(self, name: str, total: int) -> None: ...

    def advance(self, row: Row) -> None: ...

    def note(self, text: str) -> None: ...


@dataclass
class Tally:
    """What became of everything that was asked for. requested = published + unchanged + quarantined."""

    requested: int = 0
    published: int = 0
    videos: list[Row] = field(default_factory=list)  # the first ones that were published
    sums: Counter[str] = field(default_factory=Counter)  # over all that were published
    unchanged: list[str] = field(default_factory=list)
    quarantined: list[dict[str, str]] = field(default_factory=list)
    cpu_s: Counter[str] = field(default_factory=Counter)
    detected_frames: int = 0
    people: int = 0
    confined: set[str] = field(default_factory=set)  # how readers of foreign bytes were, in words; more than one where nodes differ
    vanished: dict[str, Row] = field(default_factory=dict)  # of the wave: names whose half-made work another run has cleared away
    again: bool = False  # the wave is asked for again

    def balances(self) -> bool:
        return self.requested == self.published + len(self.unchanged) + len(self.quarantined)

    def publish(self, row: Row) -> None:
        self.published += 1
        self.sums.update({key: row[key] for key in _SUMMED})
        if len(self.videos) < _LISTED:
            self.videos.append({key: row[key] for key in _SHOWN})


def run(context: Context, executor: Executor, work: Work, progress: Progress) -> dict[str, Any]:
    """Everything in `work`, wave by wave; returns the summary that is also written to OUT/runs/. Nothing is raised for a bad video."""
    run_id = context.spec.run.run_id
    write_summary(context.out, run_id, {"state": "running", "out": context.spec.out_uri, "requested": work.requested}, context.spec.run)
    others.mark(context)
    try:
        return _run(context, executor, work, progress)
    except BaseException as error:
        state = {"state": "failed", "ended_at": _now(), "reason": f"{type(error).__name__}: {error}", "out": context.spec.out_uri, "requested": work.requested}
        with suppress(StoreError):  # it may be what ends the run
            write_summary(context.out, run_id, state, context.spec.run)
        if isinstance(error, StoreUnavailable):
            raise StoreUnavailable(f"{error.reason}; the run stops here, nothing of it is lost, and the same command takes it up", source=error.source) from error
        raise
    finally:
        with suppress(StoreError):
            others.unmark(context)


def _run(context: Context, executor: Executor, work: Work, progress: Progress) -> dict[str, Any]:
    began = time.monotonic()
    tally = Tally(requested=work.requested)
    keys.note_scopes(context.out, context.keystore, context.spec.scopes, context.spec.run.actor)
    _show(context, work)
    tally.unchanged += work.done
    _refuse(context, tally, work.rejected)
    tally.quarantined += [{"name": q.item.name, "uri": q.item.uri, "stage": q.stage, "reason": q.reason} for q in work.refused]
    behind: list[str] = []
    folded_s = time.monotonic()
    for wave in _waves(work.new, context.settings.identity.scope, context.settings.run.wave_videos):
        _settle(context, executor, wave, work, progress, tally)
        behind += [wanted.item.name for wanted in wave]
        if len(behind) >= _FOLD_VIDEOS or time.monotonic() - folded_s >= _FOLD_S:
            _fold(context, tally, behind)
            behind, folded_s = [], time.monotonic()
    if behind:
        _fold(context, tally, behind)
    summary = _summary(context, tally, work.skipped, time.monotonic() - began)
    write_summary(context.out, context.spec.run.run_id, summary, context.spec.run)
    with _counted(tally, "ledger"):
        summary["evidence"] = evidence.follow(context)
    summary["cpu_seconds"]["ledger"] = round(tally.cpu_s["ledger"], 3)
    if "problem" in summary["evidence"]:
        summary["exit_code"] = 1
    others.clear(context, [wanted.item.name for wanted in work.new])
    return summary


def _fold(context: Context, tally: Tally, names: list[str]) -> None:
    with _counted(tally, "ledger"):
        evidence.follow(context, names)


@contextmanager
def _counted(tally: Tally, stage: str) -> Iterator[None]:
    began = time.process_time()
    yield
    tally.cpu_s[stage] += time.process_time() - began


def _waves(items: Sequence[Requested], scope: str, size: int) -> Iterator[list[Requested]]:
    """For scope "video" any cut will do; a collection, or the archive, is linked as a whole and so stays together."""
    if scope == "archive":
        yield from [list(items)] if items else []
        return
    groups: dict[str, list[Requested]] = {}
    for item in items:
        groups.setdefault(item.item.collection if scope == "collection" else "", []).append(item)
    for _, group in sorted(groups.items()):
        step = size if scope == "video" else len(group)
        for start in range(0, len(group), step):
            yield group[start : start + step]


def _settle(context: Context, executor: Executor, wave: list[Requested], work: Work, progress: Progress, tally: Tally) -> None:
    """The wave, and again those of its videos that another run has worked on at the same time, until each is decided by one of the two."""
    tally.vanished = {wanted.item.name: {} for wanted in wave}
    for round_no in range(ROUNDS):
        names, tally.vanished, tally.again = set(tally.vanished), {}, round_no > 0
        _wave(context, executor, [wanted for wanted in wave if wanted.item.name in names], work, progress, tally)
        if not tally.vanished:
            return
        time.sleep(PAUSE_S * round_no)
    for wanted in wave:
        if wanted.item.name in tally.vanished:
            row = tally.vanished[wanted.item.name]
            _refuse(context, tally, [Quarantined(wanted.item, "", row["stage"], row["reason"], None)])


def _wave(context: Context, executor: Executor, wanted: list[Requested], work: Work, progress: Progress, tally: Tally) -> None:
    alive: dict[str, Row] = {}
    for row in _phase(context, executor, "probe", [_probe_unit(w) for w in wanted], progress, tally):
        tally.confined.add(row.get("confined", ""))
        if row["output_id"] in work.shown or (tally.again and others.published_meanwhile(context, row["name"], row["output_id"])):
            # the same bytes under a new date, or another run was quicker: nothing new to publish
            tally.unchanged.append(row["name"])
            context.work.delete_tree(layout.video_folder(row["output_id"]))
        else:
            alive[row["output_id"]] = row
    segments = [(row, number) for _, row in sorted(alive.items()) for number in range(row["segments"])]
    for row in _phase(context, executor, "analyze", [_segment_unit(row, n) for row, n in segments], progress, tally, alive):
        tally.detected_frames += row.get("detected_frames", 0)
    scopes: dict[str, list[str]] = {}
    for output, row in sorted(alive.items()):
        scopes.setdefault(row["scope_name"], []).append(output)
    units = [_scope_unit(scope, outputs, alive) for scope, outputs in sorted(scopes.items())]
    for row in _phase(context, executor, "link", units, progress, tally, alive):
        tally.people += row["people"]
    segments = [(row, number) for _, row in sorted(alive.items()) for number in range(row["segments"])]
    list(_phase(context, executor, "redact", [_segment_unit(row, n) for row, n in segments], progress, tally, alive))
    units = [{"unit_id": output, "name": row["name"], "output_id": output, "item": row["item"], "seconds": row["duration_s"]} for output, row in sorted(alive.items())]
    for row in _phase(context, executor, "publish", units, progress, tally, alive):
        tally.publish({**row, "duration_s": alive[row["output_id"]]["duration_s"]})
        context.work.delete_tree(layout.video_folder(row["output_id"]))


def _probe_unit(wanted: Requested) -> Row:
    source = SourceVersion(wanted.item.uri, wanted.size, wanted.version, "")
    seconds = wanted.size / BYTES_A_SECOND
    return {"unit_id": _unit_id(wanted.item.name), "name": wanted.item.name, "item": to_json(wanted.item), "source": to_json(source), "seconds": seconds}


def _unit_id(name: str) -> str:
    """One for a name in all waves of a run, since attempts are counted by it."""
    return digest("unit", name)[:32]


def _segment_unit(row: Row, number: int) -> Row:
    return {"unit_id": f"{row['output_id']}-{number:06d}", "name": row["name"], "output_id": row["output_id"], "segment_no": number, "seconds": row["longest_s"]}


def _scope_unit(scope: str, outputs: list[str], alive: dict[str, Row]) -> Row:
    seconds = sum(alive[output]["duration_s"] for output in outputs)
    return {"unit_id": _unit_id(scope), "name": scope, "scope_name": scope, "output_ids": outputs, "seconds": seconds}


def _phase(
    context: Context, executor: Executor, phase: str, units: list[Row], progress: Progress, tally: Tally, alive: dict[str, Row] | None = None
) -> Iterator[Row]:
    """One phase over its units; the rows that went well. What failed is quarantined, unless another run has published it, and its video leaves `alive`."""
    progress.phase(phase, len(units))
    failures: dict[str, tuple[Row, Row]] = {}
    for row in executor.map(phase, units) if units else ():
        progress.advance(row)
        tally.cpu_s.update(row.get("cpu", {}))
        if row["kind"] == "done":
            yield row
            continue
        for output in row.get("output_ids") or [row.get("output_id", row["unit_id"])]:
            failures.setdefault(output, ((alive or {}).get(output, row), row))
    for output, (video, row) in sorted(failures.items()):
        if alive is not None:
            alive.pop(output, None)
            if others.published_meanwhile(context, video["name"], output):
                tally.unchanged.append(video["name"])
                continue
            if row["kind"] == "vanished":
                tally.vanished[video["name"]] = row
                continue
            context.work.delete_tree(layout.video_folder(output))
        stage, reason = row["stage"], row["reason"]
        source = from_json(SourceVersion, video["source"]) if video.get("source") else None
        corrections = tuple(video.get("corrections", ()))
        _refuse(context, tally, [Quarantined(from_json(SourceItem, video["item"]), video.get("video_id", ""), stage, reason, source, corrections)])
        progress.note(f"quarantined {video['name']}: {reason}")


def _refuse(context: Context, tally: Tally, refused: Iterable[Quarantined]) -> None:
    for entry in refused:
        commit_quarantined(context.out, quarantine(entry, context.spec.run))
        tally.quarantined.append({"name": entry.item.name, "uri": entry.item.uri, "stage": entry.stage, "reason": entry.reason})


def _show(context: Context, work: Work) -> None:
    """videos/ is a view of the records: what is missing or old in it is made again, and what a run that died left of a published video goes."""
    there = set(context.out.list("videos"))
    asked = set(work.done)
    for done in work.shown.each():
        view = layout.view(done.name)
        if view not in there or (done.name in asked and not context.out.shows(done.object, view)):
            context.out.link(done.object, view)
    for output in sorted({name.split("/")[1] for name in context.work.list("videos/")}):
        if output in work.shown:
            context.work.delete_tree(layout.video_folder(output))


def _summary(context: Context, tally: Tally, skipped: int, wall_s: float) -> dict[str, Any]:
    video_s = float(tally.sums["duration_s"])
    return {
        "run_id": context.spec.run.run_id,
        "state": "done",
        "ended_at": _now(),
        "out": context.spec.out_uri,
        "engine": context.settings.render.engine,
        "scope": context.settings.identity.scope,
        "requested": tally.requested,
        "skipped": skipped,
        "published": tally.published,
        "unchanged": len(tally.unchanged),
        "quarantined": sorted(tally.quarantined, key=lambda q: q["name"]),
        "balances": tally.balances(),
        "exit_code": 1 if not tally.balances() else 3 if tally.quarantined else 0,
        "frames": tally.sums["frames"],
        "detected_frames": tally.detected_frames,
        "faces": tally.sums["tracks"],
        "people": tally.people,
        "face_frames": tally.sums["faces"],
        "face_frames_obscured": tally.sums["obscured"],
        "repairs": tally.sums["repairs"],
        "video_seconds": round(video_s, 3),
        "wall_seconds": round(wall_s, 3),
        "times_real_time": round(video_s / wall_s, 3) if wall_s else 0.0,
        "confined": sorted(tally.confined - {""}),
        "cpu_seconds": {name: round(value, 3) for name, value in sorted(tally.cpu_s.items())},
        "videos": sorted(tally.videos, key=lambda row: row["name"]),
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
