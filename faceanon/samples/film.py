"""Turns a script into pictures, sound and truth.

Truth is what was drawn: the face's box from the mesh as it was placed, the share of the face that nothing hides, the yaw that was asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from faceanon.core.picture import Image
from faceanon.samples.actors import Actor
from faceanon.samples.animate import Pose, draw, oval
from faceanon.samples.scenery import scene
from faceanon.samples.script import Clip, Key, Part, Shot
from faceanon.samples.speech import SOUND_RATE, openness, voice

CHANGE_FRAMES = 12  # of a fade or a dissolve
_GRAIN = 1.3  # standard deviation of sensor noise, in 8-bit steps
_MIN_VISIBLE = 0.04  # less of a face than this is not in the truth


@dataclass(frozen=True)
class Sighting:
    """One face in one frame, as it is shown upright."""

    frame: int
    person: str
    box: tuple[float, float, float, float]  # xyxy px, inside the picture
    visible: float  # share of the face's area that is seen, 0..1
    yaw: float  # degrees


def film(clip: Clip, actors: Mapping[str, Actor]) -> Iterator[tuple[Image, list[Sighting]]]:
    """Every frame of the clip, upright, in order, with the faces in it."""
    first = 0
    grain = _grain(clip)
    last: tuple[Image, list[Sighting]] | None = None
    for number, shot in enumerate(clip.shots):
        fades_out = number + 1 < len(clip.shots) and clip.shots[number + 1].enters == "fade"
        for n in range(shot.frames):
            picture, seen = _exposed(clip, shot, n, first + n, actors)
            if last and n < CHANGE_FRAMES:
                picture, seen = _enter(picture, seen, shot.enters, (n + 0.5) / CHANGE_FRAMES, last)
            if fades_out and n >= shot.frames - CHANGE_FRAMES:
                picture, seen = _dim(picture, seen, (shot.frames - n - 0.5) / CHANGE_FRAMES)
            noise = np.roll(grain[(first + n) % len(grain)], ((first + n) * 37 % clip.height, (first + n) * 61 % clip.width), (0, 1))
            yield cv2.add(picture, noise, dtype=cv2.CV_8U), [replace(s, frame=first + n) for s in seen]
        last = (picture, seen)
        first += shot.frames


def cuts(clip: Clip) -> list[tuple[int, str]]:
    """(first frame of each new shot, kind); a dissolve counts from where the new shot begins to show, a fade from its darkest frame."""
    starts = np.cumsum([shot.frames for shot in clip.shots])
    return [(int(start), shot.enters) for start, shot in zip(starts, clip.shots[1:], strict=False)]


def sound(clip: Clip) -> tuple[NDArray[np.float32], int] | None:
    """Everybody's speech together: ((n,) float32, samples a second)."""
    if not clip.sound:
        return None
    total = np.zeros(clip.frames * SOUND_RATE // clip.rate, np.float32)
    first = 0
    for shot in clip.shots:
        for part in shot.parts:
            said = voice(shot.frames / clip.rate, part.speaks, _seed(part, shot), 110 + 17 * (_seed(part, shot) % 7))
            begin = first * SOUND_RATE // clip.rate
            total[begin : begin + len(said)] += said[: len(total) - begin]
        first += shot.frames
    return np.clip(total, -1, 1), SOUND_RATE


def _exposed(clip: Clip, shot: Shot, n: int, frame_no: int, actors: Mapping[str, Actor]) -> tuple[Image, list[Sighting]]:
    """One frame as the camera sees it, before fades and noise."""
    moment = n / clip.rate
    zoom = max(clip.width, clip.height) / 640
    picture = scene(shot.scene, clip.width, clip.height, moment, shot.seed)
    drawn: list[tuple[Part, Pose, NDArray, NDArray, NDArray]] = []
    for part in shot.parts:
        before = picture.copy()
        pose = _pose(part, shot, moment, zoom)
        box, outline = draw(picture, actors[part.actor], pose)
        drawn = _hidden_by(drawn, before, picture)
        drawn.append((part, pose, box, outline, oval(outline, picture.shape[:2])))
    if shot.hand:
        before = picture.copy()
        _draw_hand(picture, _at(shot.hand, moment) * zoom, zoom)
        drawn = _hidden_by(drawn, before, picture)
    if n in shot.flashes:
        picture = np.clip(picture * 0.45 + 150.0, 0, 255).astype(np.uint8)
    return picture, _sightings(frame_no, drawn, clip.width, clip.height)


def _hidden_by(drawn: list, before: Image, after: Image) -> list:
    """The parts drawn so far, less what has just been painted over."""
    same = (before == after).all(axis=2).astype(np.uint8)
    return [(part, pose, box, outline, mask * same) for part, pose, box, outline, mask in drawn]


def _sightings(frame_no: int, drawn: list, width: int, height: int) -> list[Sighting]:
    seen = []
    for part, pose, box, outline, mask in drawn:
        visible = float(mask.sum() / max(cv2.contourArea(outline), 1.0))
        inside = np.clip(box, 0, (width, height, width, height))
        if visible >= _MIN_VISIBLE and inside[2] - inside[0] >= 1 and inside[3] - inside[1] >= 1:
            seen.append(Sighting(frame_no, part.actor, tuple(float(v) for v in inside), min(1.0, visible), pose.yaw))
    return seen


def _pose(part: Part, shot: Shot, moment: float, zoom: float) -> Pose:
    """Where a part is: its keys, a little sway, steps if it walks, speech and blinks."""
    x, y, width, yaw, pitch, roll = _at(part.keys, moment)
    seed = _seed(part, shot)
    sway = [np.sin(2 * np.pi * (moment * (0.23 + 0.11 * k) + ((seed * (k + 3)) % 17) / 17)) for k in range(5)]
    step = abs(np.sin(np.pi * 1.8 * moment)) if part.walks else 0.0
    mouth = float(openness(np.array([moment]), part.speaks, seed)[0])
    blink = (moment + (seed % 13) / 5) % 2.9 < 0.13
    return Pose(
        x=(x + 0.012 * width * sway[0]) * zoom,
        y=(y + 0.010 * width * sway[1] - 0.08 * width * step) * zoom,
        width=width * zoom,
        yaw=float(yaw + 2.0 * sway[2]),
        pitch=float(pitch + 1.5 * sway[3] - 1.5 * mouth),
        roll=float(roll + 1.2 * sway[4]),
        mouth=mouth,
        lids=0.0 if blink else 1.0,
        light=part.light,
    )


def _seed(part: Part, shot: Shot) -> int:
    return shot.seed * 31 + sum(part.actor.encode())


def _at(keys: tuple[Key, ...], moment: float) -> NDArray[np.float64]:
    """Keys at a moment: a cubic through them, tangents from the neighbours; still before the first and after the last."""
    times = np.array([key[0] for key in keys])
    values = np.array([key[1:] for key in keys], np.float64)
    moment = float(np.clip(moment, times[0], times[-1]))
    i = int(np.clip(np.searchsorted(times, moment, side="right") - 1, 0, len(times) - 2))
    slope = np.gradient(values, times, axis=0)
    span = times[i + 1] - times[i]
    u = (moment - times[i]) / span
    a, b = values[i], values[i + 1]
    return (2 * u**3 - 3 * u**2 + 1) * a + (u**3 - 2 * u**2 + u) * span * slope[i] + (3 * u**2 - 2 * u**3) * b + (u**3 - u**2) * span * slope[i + 1]


def _enter(picture: Image, seen: list[Sighting], how: str, share: float, last: tuple[Image, list[Sighting]]) -> tuple[Image, list[Sighting]]:
    """The first frames of a shot; in a dissolve the shot before stands still, and its faces are seen as long as they shine through."""
    if how == "fade":
        return _dim(picture, seen, share)
    if how == "dissolve":
        before, faces = last
        return cv2.addWeighted(picture, share, before, 1 - share, 0), _faded(faces, 1 - share) + _faded(seen, share)
    return picture, seen


def _dim(picture: Image, seen: list[Sighting], share: float) -> tuple[Image, list[Sighting]]:
    return cv2.convertScaleAbs(picture, alpha=share), _faded(seen, share)


def _faded(seen: list[Sighting], share: float) -> list[Sighting]:
    """Half the contrast still shows a whole face; the last tenth shows none."""
    return [replace(s, visible=s.visible * min(1.0, 2 * share)) for s in seen if share > 0.1]


def _draw_hand(picture: Image, at: NDArray, zoom: float) -> None:
    """A sleeve and a hand with fingers, reaching in from below, in front of everything."""
    layer = np.zeros((*picture.shape[:2], 4), np.uint8)
    x, y = at

    def stroke(x0: float, y0: float, x1: float, y1: float, wide: float, colour: tuple[int, int, int]) -> None:
        ends = [(round(float(x + a * zoom) * 16), round(float(y + b * zoom) * 16)) for a, b in ((x0, y0), (x1, y1))]
        cv2.line(layer, *ends, (*colour, 255), max(1, round(wide * zoom)), cv2.LINE_AA, shift=4)

    stroke(30, 70, 150, 330, 62, (150, 110, 70))
    stroke(4, 14, 34, 76, 44, (128, 152, 196))
    for n, (dx, dy) in enumerate(((-40, 6), (-34, -34), (-14, -52), (8, -52), (26, -40))):
        stroke(-6 + 6 * n, 8, dx, dy, 15, (136 - 3 * n, 160 - 3 * n, 204 - 3 * n))
    layer = cv2.GaussianBlur(layer, (0, 0), 1.2 * zoom)
    alpha = layer[..., 3:].astype(np.float32) / 255
    picture[...] = np.where(alpha > 0.02, np.clip(picture * (1 - alpha) + layer[..., :3], 0, 255), picture).astype(np.uint8)


def _grain(clip: Clip) -> list[NDArray[np.int8]]:
    rng = np.random.default_rng(sum(clip.name.encode()))
    return [np.rint(rng.standard_normal((clip.height, clip.width, 3)) * _GRAIN).astype(np.int8) for _ in range(3)]
