"""Step 3, per scope: who is who, which synthetic person each becomes, and what is painted where.

The one barrier of the job: it needs every segment of its scope's videos. Numbers only, no pixels of the source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from faceanon.analyze.cover import add_corrections, cover
from faceanon.analyze.track import build_tracks, track_features
from faceanon.core.records import Identity, Persona, Track, TrackFeature, VideoPlan, VideoRegions
from faceanon.flow import analyze, layout
from faceanon.flow.job import Context
from faceanon.flow.outcome import Row
from faceanon.identity import gallery
from faceanon.identity.link import Cluster, KnownPerson, link
from faceanon.identity.persona import PersonaNeed, choose_personas
from faceanon.identity.sealed import save_regions

Person = tuple[Cluster, str, Persona | None]  # who, their label, the synthetic person they become


def run(context: Context, unit: Row) -> Row:
    """unit: {"scope_name", "output_ids"}. Writes each video's regions; adds people, of the scope."""
    scope, outputs = unit["scope_name"], unit["output_ids"]
    plans = {output: context.plan(output) for output in outputs}
    analyses = {output: analyze.load(context, output, plan) for output, plan in plans.items()}
    tracks = {output: build_tracks(analysis, context.settings) for output, analysis in analyses.items()}
    features = [f for output in outputs for f in track_features(tracks[output], analyses[output], context.settings)]
    people = _people(context, scope, features, _largest(tracks, plans))
    for output, plan in plans.items():
        save_regions(context.work, context.keystore, layout.regions(output), _regions(context, plan, tracks[output], people))
    return {"people": len({label for _, label, _ in people})}


def _people(context: Context, scope: str, features: Sequence[TrackFeature], largest_px: Mapping[tuple[str, int], float]) -> list[Person]:
    """Every person of the scope. People of an earlier run keep label and persona; a race with another run is decided again."""
    if context.settings.identity.scope == "video":
        return _decided(context, scope, features, largest_px, ())
    found: list[Person] = []

    def change(known: tuple[KnownPerson, ...]) -> list[KnownPerson]:
        found[:] = _decided(context, scope, features, largest_px, known)
        return [gallery.remember(*person) for person in found]

    gallery.update(context.work, context.keystore, scope, change)
    return found


def _decided(
    context: Context, scope: str, features: Sequence[TrackFeature], largest_px: Mapping[tuple[str, int], float], known: tuple[KnownPerson, ...]
) -> list[Person]:
    clusters = link(features, context.settings.identity, known)
    labels = [c.known.label if c.known else context.keystore.label(scope, c.cluster_id) for c in clusters]
    taken = {person.label: person.persona for person in known if person.persona is not None}
    personas = _personas(context, scope, clusters, labels, taken, largest_px)
    return [(cluster, label, personas.get(label)) for cluster, label in zip(clusters, labels, strict=True)]


def _personas(
    context: Context, scope: str, clusters: Sequence[Cluster], labels: Sequence[str], taken: Mapping[str, Persona], largest_px: Mapping[tuple[str, int], float]
) -> dict[str, Persona]:
    """A synthetic person for everybody who is ever shown large enough to be given a face."""
    needs = [
        PersonaNeed(label, cluster.cluster_id, cluster.embedding, cluster.female, cluster.age, cluster.skin)
        for cluster, label in zip(clusters, labels, strict=True)
        if label not in taken and max(largest_px.get(key, 0.0) for key in cluster.tracks) >= context.settings.render.min_face_px
    ]
    if context.settings.render.engine != "swap" or not needs:
        return dict(taken)
    people = context.models("people", "mesh", "embedder", "attributes").people
    chosen = choose_personas(
        needs,
        people.bank,
        people.embedding,
        lambda label, n: context.keystore.draw(scope, label, n),
        taken=taken,
        together=_seen_together(clusters, labels),
    )
    return {**taken, **chosen}


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
    owner = {key: index for index, (cluster, _, _) in enumerate(people) for key in cluster.tracks}
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
        )
        for index, identity_no in number.items()
    )
    width, height = plan.facts.upright_size
    covered = cover(tracks, identity_of, context.settings, width=width, height=height)
    frames = plan.facts.num_frames_from_content
    corrected = add_corrections(covered, plan.corrections, len(tracks), frames, context.settings, width=width, height=height)
    return VideoRegions(plan.video_id, identities, tracks, corrected)
