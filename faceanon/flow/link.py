"""Step 3, per scope: who is who, which synthetic person each becomes, and what is painted where.

The one barrier of the job: it needs every segment of its scope's videos. Of their pixels it sees only small views of faces, on which new ones are tried.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from faceanon.analyze.cover import add_corrections, cover
from faceanon.analyze.track import build_tracks, track_features
from faceanon.core.records import Code, Identity, Persona, Track, TrackFeature, VideoPlan, VideoRegions
from faceanon.core.settings import INPAINTING
from faceanon.flow import analyze, layout
from faceanon.flow.job import Context
from faceanon.flow.outcome import Row
from faceanon.flow.stopwatch import Stopwatch
from faceanon.flow.tryon import FittingRoom, tries_on
from faceanon.identity import codes, gallery
from faceanon.identity.fitting import PersonaNeed
from faceanon.identity.link import Cluster, KnownPerson, link
from faceanon.identity.persona import choose_personas
from faceanon.identity.sealed import save_regions
from faceanon.render.tryon import TryOn

Person = tuple[Cluster, str, Persona | None, Code | None]  # who, their label, the synthetic person they become, or the code that their face is painted from


def run(context: Context, unit: Row) -> Row:
    """unit: {"scope_name", "output_ids"}. Writes each video's regions; adds people, of the scope."""
    scope, outputs = unit["scope_name"], unit["output_ids"]
    plans = {output: context.plan(output) for output in outputs}
    analyses = {output: analyze.load(context, output, plan) for output, plan in plans.items()}
    tracks = {output: build_tracks(analysis, context.settings) for output, analysis in analyses.items()}
    features = [f for output in outputs for f in track_features(tracks[output], analyses[output], context.settings)]
    watch = Stopwatch()
    with watch.stage("personas"):
        people = _people(context, scope, features, _largest(tracks, plans), FittingRoom(context, plans, tracks, analyses))
    for output, plan in plans.items():
        save_regions(context.work, context.keystore, layout.regions(output), _regions(context, plan, tracks[output], people))
    return {"people": len({label for _, label, _, _ in people}), "cpu": watch.rounded()}


def _people(
    context: Context, scope: str, features: Sequence[TrackFeature], largest_px: Mapping[tuple[str, int], float], room: FittingRoom
) -> list[Person]:
    """Every person of the scope. People of an earlier run keep label, persona and code; a race with another run is decided again."""
    if context.settings.identity.scope == "video":
        return _decided(context, scope, features, largest_px, room, ())
    found: list[Person] = []

    def change(known: tuple[KnownPerson, ...]) -> list[KnownPerson]:
        found[:] = _decided(context, scope, features, largest_px, room, known)
        kind = codes.kind_of(context.settings.render)
        return [gallery.remember(cluster, label, persona, {} if code is None else {kind: code}) for cluster, label, persona, code in found]

    gallery.update(context.work, context.keystore, scope, change)
    return found


def _decided(
    context: Context,
    scope: str,
    features: Sequence[TrackFeature],
    largest_px: Mapping[tuple[str, int], float],
    room: FittingRoom,
    known: tuple[KnownPerson, ...],
) -> list[Person]:
    clusters = link(features, context.settings.identity, known)
    labels = [c.known.label if c.known else context.keystore.label(scope, c.cluster_id) for c in clusters]
    shown = [max(largest_px.get(key, 0.0) for key in c.tracks) >= context.settings.render.min_face_px for c in clusters]  # ever large enough to be given a face
    needs = [PersonaNeed(label, c.cluster_id, c.embedding, c.female, c.age, c.skin) for c, label, is_shown in zip(clusters, labels, shown, strict=True) if is_shown]
    together = _seen_together(clusters, labels)
    cluster_of = dict(zip(labels, clusters, strict=True))
    personas, painted = _personas(context, scope, needs, together, known, room, cluster_of), _codes(context, scope, needs, together, known)
    return [(cluster, label, personas.get(label), painted.get(label)) for cluster, label in zip(clusters, labels, strict=True)]


def _personas(
    context: Context,
    scope: str,
    needs: Sequence[PersonaNeed],
    together: Sequence[frozenset[str]],
    known: Sequence[KnownPerson],
    room: FittingRoom,
    cluster_of: Mapping[str, Cluster],
) -> dict[str, Persona]:
    """The synthetic person that everybody becomes, where the engine paints such."""
    taken = {person.label: person.persona for person in known if person.persona is not None}
    needs = [need for need in needs if need.label not in taken]
    if context.settings.render.engine != "swap" or not needs:
        return taken
    models = context.models("people", "mesh", "embedder", "attributes")
    people, draw = models.people, _draw(context, scope)

    def try_on(need: PersonaNeed) -> TryOn | None:
        return room.enter(cluster_of[need.label], models, people.portrait) if tries_on(context.settings.render) else None

    tries = context.settings.render.tries
    return {**taken, **choose_personas(needs, people.bank, people.embedding, draw, taken=taken, together=together, try_on=try_on, tries=tries)}


def _codes(context: Context, scope: str, needs: Sequence[PersonaNeed], together: Sequence[frozenset[str]], known: Sequence[KnownPerson]) -> dict[str, Code]:
    """The code that everybody's face is painted from, where the engine paints from codes."""
    settings = context.settings.render
    if settings.engine not in INPAINTING:
        return {}
    kind = codes.kind_of(settings)
    taken = {person.label: person.codes[kind] for person in known if kind in person.codes}
    needs = [need for need in needs if need.label not in taken]
    if not needs:
        return taken
    return {**taken, **codes.choose_codes(settings, needs, context.models("bank").bank, _draw(context, scope), taken=taken, together=together)}


def _draw(context: Context, scope: str) -> codes.Draw:
    return lambda label, n: context.keystore.draw(scope, label, n)


def _largest(tracks: dict[str, tuple[Track, ...]], plans: dict[str, VideoPlan]) -> dict[tuple[str, int], float]:
    """The widest that each trusted track is ever shown, px."""
    return {
        (plans[output].video_id, track.track_no): float(np.max(track.box[:, 2] - track.box[:, 0]))
        for output, video_tracks in tracks.items()
        for track in video_tracks
        if track.trusted
    }


def _seen_together(clusters: Sequence[Cluster], labels: Sequence[str]) -> list[frozenset[str]]:
    """The labels of each video: people who could be compared side by side."""
    by_video: dict[str, set[str]] = {}
    for cluster, label in zip(clusters, labels, strict=True):
        for video, _ in cluster.tracks:
            by_video.setdefault(video, set()).add(label)
    return [frozenset(group) for _, group in sorted(by_video.items())]


def _regions(context: Context, plan: VideoPlan, tracks: tuple[Track, ...], people: Sequence[Person]) -> VideoRegions:
    owner = {key: index for index, (cluster, *_) in enumerate(people) for key in cluster.tracks}
    present = sorted({owner[plan.video_id, t.track_no] for t in tracks if (plan.video_id, t.track_no) in owner}, key=lambda i: people[i][1])
    number = {index: identity_no for identity_no, index in enumerate(present)}
    identity_of = {t.track_no: number[owner[plan.video_id, t.track_no]] for t in tracks if (plan.video_id, t.track_no) in owner}
    identities = tuple(
        Identity(
            identity_no,
            people[index][1],
            people[index][0].cluster_id,
            people[index][2],
            tuple(sorted(track for video, track in people[index][0].tracks if video == plan.video_id)),
            people[index][3],
        )
        for index, identity_no in number.items()
    )
    width, height = plan.facts.upright_size
    covered = cover(tracks, identity_of, context.settings, width=width, height=height)
    frames = plan.facts.num_frames_from_content
    corrected = add_corrections(covered, plan.corrections, len(tracks), frames, context.settings, width=width, height=height)
    return VideoRegions(plan.video_id, identities, tracks, corrected)
