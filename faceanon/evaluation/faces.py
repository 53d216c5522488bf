"""What new faces in photos are worth: does anybody find the person again, and is what a viewer sees still there? Numbers in, numbers out.

Two photos of each person, A and B. Both are painted with the person's own code (key 0), and photo B of some once more with another key (key 1), as if
another archive held it. `score` turns what was measured on them into one `Row` a question. Judges are embedders; each is calibrated on the real photos.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faceanon.evaluation.intervals import NOTHING, Estimate, correlation, estimate
from faceanon.evaluation.reidentification import calibrated, distances, frechet, ranks

A, B = 0, 1
ADULT_YEARS = 10.0  # ages closer than this agree


@dataclass(frozen=True, eq=False)  # holds arrays
class Looks:
    """One face of one picture, as judges and readers see it."""

    embeddings: Mapping[str, NDArray[np.float32]]  # by judge, (D,)
    landmarks: NDArray[np.float32]  # (31, 2) px
    eyes_px: float  # between the outer corners of the eyes
    mouth: float  # openness, over eyes_px
    lids: float  # opening of the eyes, over eyes_px
    pose: NDArray[np.float32]  # (3,) yaw, pitch, roll in degrees
    emotion: NDArray[np.float32]  # (7,) shares
    female: float  # 0..1 apparent
    age: float  # apparent years
    skin: tuple[float, float, float]  # CIE L*, a*, b*
    detected: bool  # a detector finds it by itself


@dataclass(frozen=True, eq=False)
class PaintedFace:
    """One photo before and after."""

    person: str
    photo: int  # A or B
    key: int
    old: Looks
    new: Looks
    shows_face: bool  # False: it was hidden in its own colours
    changed_outside: float  # largest change of a px outside the box that the engine names, 0..255
    changed_beyond: float  # share of the px outside the face's padded cover that changed
    cpu_ms: float  # of painting once the person is known, without the check against the original; NaN where it was not timed


@dataclass(frozen=True)
class Row:
    """One question's answer. judge: "" where none was asked. percent: shown as such."""

    question: str
    judge: str
    found: Estimate
    percent: bool = False


@dataclass(frozen=True)
class Judge:
    """An embedder with its thresholds on the real photos. usual: the one its makers name; NaN for none."""

    name: str
    usual: float
    at_far: float  # where one in a thousand pairs of different people is taken for one


def calibrate(faces: Sequence[PaintedFace], usual: Mapping[str, float]) -> list[Judge]:
    """Judges by name, each with what its makers say. Needs both photos of at least two people."""
    own = _paired(faces, lambda f: f.key == 0 and f.photo == A, lambda f: f.key == 0 and f.photo == B)
    return [Judge(name, limit, calibrated(_rows(own[0], "old", name), _rows(own[1], "old", name))) for name, limit in usual.items()]


def score(faces: Sequence[PaintedFace], judges: Sequence[Judge], bystanders: Sequence[Looks] = ()) -> list[Row]:
    """All rows, privacy first. bystanders: real photos of other people, who stand in the gallery too."""
    rows = [row for judge in judges for row in _privacy(faces, judge, bystanders)]
    return [*rows, *_utility([f for f in faces if f.key == 0])]


def _privacy(faces: Sequence[PaintedFace], judge: Judge, bystanders: Sequence[Looks]) -> list[Row]:
    own = [f for f in faces if f.key == 0]
    people = np.array([f.person for f in own])
    apart = _apart([(f.old, f.new) for f in own], judge.name)
    two = _paired(faces, lambda f: f.key == 0 and f.photo == A, lambda f: f.key == 0 and f.photo == B)
    other = _paired(faces, lambda f: f.key == 0 and f.photo == B, lambda f: f.key == 1 and f.photo == B)
    across = _paired(faces, lambda f: f.key == 0 and f.photo == A, lambda f: f.key == 1 and f.photo == B)
    real, new = (np.diag(distances(_rows(two[0], which, judge.name), _rows(two[1], which, judge.name))) if two[0] else np.zeros(0) for which in ("old", "new"))
    codes = _apart([(a.new, b.new) for a, b in zip(*other, strict=True)], judge.name)
    linked = _apart([(a.new, b.new) for a, b in zip(*across, strict=True)], judge.name)
    rows = [_row("original to new, distance", judge, estimate(apart, np.median, people))]
    for words, limit in _limits(judge):
        rows += [
            _share(f"original to new, under {words}", judge, apart < limit, people),
            _share(f"two real photos of a person, under {words}", judge, real < limit),
            _share(f"same person, two photos, under {words}", judge, new < limit),
            _share(f"two codes, same photo, under {words}", judge, codes < limit),
            _share(f"one person, two archives, two keys, under {words}", judge, linked < limit),
            _row(f"different people, new faces, under {words}", judge, _mixed_up(two[0], judge.name, limit), percent=True),
        ]
    rows += _found_again(two, across, judge, bystanders)
    rows.append(_row("distance between different new faces, over the originals'", judge, _diversity(two[0], judge.name)))
    rows.append(_row("Frechet distance of new faces to originals, in the judge's space", judge, _frechet(own, judge.name)))
    return rows


def _limits(judge: Judge) -> list[tuple[str, float]]:
    usual = [] if np.isnan(judge.usual) else [(f"{judge.usual:.2f}", judge.usual)]
    return [*usual, (f"{judge.at_far:.2f} (FAR 1e-3)", judge.at_far)]


Pairs = tuple[list[PaintedFace], list[PaintedFace]]


def _found_again(two: Pairs, across: Pairs, judge: Judge, bystanders: Sequence[Looks]) -> list[Row]:
    """Attacks by rank: who holds a real photo of everybody, and who has an anonymised gallery instead. Both photos of everybody are probes."""
    others = np.stack([look.embeddings[judge.name] for look in bystanders]) if bystanders else None
    a, b = two

    def attack(words: str, pairs: Sequence[Pairs], of: str, from_: str) -> list[Row]:
        if not pairs[0][0]:
            return []
        places = []
        for probes, gallery in pairs:
            rows = _rows(gallery, from_, judge.name)
            known = rows if others is None or from_ == "new" else np.concatenate([rows, others])
            places.append(ranks(_rows(probes, of, judge.name), known))
        place, people = np.concatenate(places), np.array([f.person for probes, _ in pairs for f in probes])
        return [_share(f"{words}, top-{k} of {len(known)}", judge, place < k, people) for k in (1, 10)]

    return [
        *attack("re-identified, real photo to real gallery", ((a, b), (b, a)), "old", "old"),
        *attack("re-identified, other photo in the gallery", ((a, b), (b, a)), "new", "old"),
        *attack("re-identified, the very photo in the gallery", ((a, a), (b, b)), "new", "old"),
        *attack("parrot: gallery anonymised with another key", (across,), "new", "new"),
        *attack("parrot: gallery anonymised with the same key (meant to be linked)", ((a, b), (b, a)), "new", "new"),
    ]


def _utility(own: Sequence[PaintedFace]) -> list[Row]:
    people = np.array([f.person for f in own])
    shown = [f for f in own if f.shows_face]
    who = np.array([f.person for f in shown])

    def mean(question: str, values: Sequence[float], statistic=np.mean) -> Row:
        return Row(question, "", estimate(np.array(values, np.float64), statistic, who))

    def of(measure: Callable[[Looks], float]) -> tuple[NDArray, NDArray]:
        return (np.array([measure(getattr(f, which)) for f in shown], np.float64) for which in ("old", "new"))  # type: ignore[return-value]

    female_old, female_new = of(lambda x: x.female)
    age_old, age_new = of(lambda x: x.age)
    turned = np.array([np.abs(f.old.pose - f.new.pose) for f in shown]).reshape(-1, 3)
    return [
        Row("a face is shown", "", estimate([f.shows_face for f in own], np.mean, people), True),
        Row("re-detected", "", estimate([f.new.detected for f in own], np.mean, people), True),
        mean("landmark error, 31 points over eye distance, median", [_landmark_error(f) for f in shown], np.median),
        Row("mouth opening, correlation", "", correlation(*of(lambda x: x.mouth), who)),
        Row("eye opening, correlation", "", correlation(*of(lambda x: x.lids), who)),
        *(mean(f"{name} error, degrees", turned[:, axis].tolist()) for axis, name in enumerate(("yaw", "pitch", "roll"))),
        Row("emotion, same top class", "", estimate([f.old.emotion.argmax() == f.new.emotion.argmax() for f in shown], np.mean, who), True),
        Row("apparent sex agrees", "", estimate((female_old >= 0.5) == (female_new >= 0.5), np.mean, who), True),
        mean("apparent age, difference in years", np.abs(age_old - age_new).tolist()),
        mean("skin, difference in CIE L*a*b*", [float(np.linalg.norm(np.subtract(f.old.skin, f.new.skin))) for f in shown]),
        Row("px changed outside the engine's own box, largest", "", estimate([f.changed_outside for f in own], np.max)),
        Row("px changed beyond the face's padded cover", "", estimate([f.changed_beyond for f in own], np.mean, people), True),
        Row("ms a face, CPU, one thread, mesh included, median", "", estimate([f.cpu_ms for f in own], np.median)),
    ]


def _paired(faces: Sequence[PaintedFace], first: Callable[[PaintedFace], bool], second: Callable[[PaintedFace], bool]) -> Pairs:
    """One face of either kind a person, in the same order; people who lack one are left out."""
    a, b = ({f.person: f for f in faces if kind(f)} for kind in (first, second))
    both = [person for person in a if person in b]
    return [a[p] for p in both], [b[p] for p in both]


def _rows(faces: Sequence[PaintedFace], which: str, judge: str) -> NDArray[np.float32]:
    return np.stack([getattr(f, which).embeddings[judge] for f in faces])


def _apart(pairs: Sequence[tuple[Looks, Looks]], judge: str) -> NDArray[np.float64]:
    return np.array([np.linalg.norm(a.embeddings[judge] - b.embeddings[judge]) for a, b in pairs], np.float64)


def _row(question: str, judge: Judge, found: Estimate, *, percent: bool = False) -> Row:
    return Row(question, judge.name, found, percent)


def _share(question: str, judge: Judge, holds: NDArray, people: NDArray | None = None) -> Row:
    return Row(question, judge.name, estimate(holds, np.mean, people), True)


def _mixed_up(faces: list[PaintedFace], judge: str, limit: float) -> Estimate:
    """Share of pairs of different people whose new faces are taken for one; a person's share is the unit that is drawn anew."""
    if len(faces) < 2:
        return NOTHING
    apart = distances(*(_rows(faces, "new", judge),) * 2)
    near = (apart < limit) & ~np.eye(len(faces), dtype=bool)
    return estimate(near.sum(1) / (len(faces) - 1))


def _diversity(faces: list[PaintedFace], judge: str) -> Estimate:
    if len(faces) < 2:
        return NOTHING
    off = ~np.eye(len(faces), dtype=bool)
    old, new = (np.array([np.median(row[keep]) for row, keep in zip(distances(*(_rows(faces, which, judge),) * 2), off, strict=True)]) for which in ("old", "new"))
    return estimate(new / old, np.median)


def _frechet(own: Sequence[PaintedFace], judge: str) -> Estimate:
    value = frechet(_rows(own, "old", judge), _rows(own, "new", judge)) if own else float("nan")
    return Estimate(value, float("nan"), float("nan"), len(own))


def _landmark_error(face: PaintedFace) -> float:
    return float(np.linalg.norm(face.old.landmarks - face.new.landmarks, axis=1).mean() / max(face.old.eyes_px, 1e-6))
