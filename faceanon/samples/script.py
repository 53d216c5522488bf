"""What happens in each sample clip: shots, who stands where, who turns and speaks, how it is filed.

Positions are for a picture 640 px wide and scale with it. Keys hold (second, x, y, width, yaw, pitch, roll) of a face: middle and ear-to-ear width in px,
angles in degrees, positive yaw looking to the picture's right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

Key = tuple[float, ...]


@dataclass(frozen=True)
class Part:
    """One person in one shot."""

    actor: str
    keys: tuple[Key, ...]
    speaks: tuple[tuple[float, float], ...] = ()
    walks: bool = False
    light: float = 1.0


@dataclass(frozen=True)
class Shot:
    """A stretch without a cut. `enters` is how it follows the shot before: "hard", "fade" through black (12 frames down in the
    shot before, 12 up) or "dissolve" (12 frames)."""

    frames: int
    scene: str
    seed: int
    parts: tuple[Part, ...] = ()
    enters: str = "hard"
    flashes: tuple[int, ...] = ()  # frames of the shot that a camera flash lights
    hand: tuple[tuple[float, float, float], ...] = ()  # (second, x, y) of an arm and hand passing in front


@dataclass(frozen=True)
class Clip:
    """One file."""

    name: str
    width: int
    height: int
    shots: tuple[Shot, ...]
    codec: str = "h264"
    sound: bool = False
    rotation: int = 0  # clockwise turn that shows the coded pictures upright
    metadata: Mapping[str, str] = field(default_factory=dict)
    subtitles: tuple[tuple[float, float, str], ...] = ()
    rate: int = 25
    gop: int = 25

    @property
    def frames(self) -> int:
        return sum(shot.frames for shot in self.shots)


_PRIVATE_TAGS = {"title": "Interview of the day", "location": "+48.8577+002.2950/", "com.apple.quicktime.model": "Sample Camera 1", "artist": "Ada Example"}


def clips(size: str) -> tuple[Clip, ...]:
    """The clips of "tiny", "demo" or "long"."""
    return {"tiny": _tiny, "demo": _demo, "long": _long}[size]()


def _demo() -> tuple[Clip, ...]:
    return _corridor(), _interview(), _flash(), _lesson(), _session(), _hello(), _road(), _lake()


def _corridor() -> Clip:
    """Two people pass each other; the one who leaves first comes back. One shot."""
    dan = (
        (0, 740, 150, 46, -30, 0, 0), (1.0, 540, 148, 48, -26, 2, 0), (3.0, 330, 150, 54, -6, 2, 0), (5.0, 150, 152, 60, -18, 0, 0), (6.2, -120, 154, 64, -26, 0, 0),
        (6.6, -130, 152, 62, 0, 0, 0), (7.0, -110, 152, 62, 24, 0, 0), (8.2, 120, 150, 60, 16, 3, 0), (9.2, 300, 152, 62, 0, 3, 1), (10.2, 420, 152, 66, 6, 0, 0),
    )  # fmt: skip
    eve = (
        (0, -95, 140, 44, 24, 0, 0), (2.0, 120, 140, 46, 18, 0, 0), (4.0, 300, 142, 50, 6, 2, 0),
        (6.4, 520, 146, 54, 20, 0, 0), (7.6, 740, 148, 56, 24, 0, 0), (8.2, 800, 148, 56, 24, 0, 0),
    )  # fmt: skip
    return Clip("cctv/corridor.mp4", 640, 360, (Shot(255, "corridor", 3, (Part("eve", eve, walks=True), Part("dan", dan, walks=True))),))


def _interview() -> Clip:
    ada = Part("ada", ((0, 330, 150, 112, 8, 0, 0), (1.2, 326, 152, 112, 14, -3, 2), (2.2, 332, 148, 113, 4, 3, -1)), speaks=((0.1, 2.0),), light=0.95)
    ben = Part("ben", ((0, 310, 152, 116, -10, 0, 0), (1.0, 314, 150, 116, -16, 4, -2), (2.4, 308, 153, 117, -4, -3, 1)), speaks=((0.2, 2.3),), light=0.95)
    both = (
        Part("ada", ((0, 196, 160, 76, 20, 0, 0), (1.2, 198, 158, 76, 14, 3, 1), (2.4, 194, 161, 76, 22, 0, 0)), speaks=((1.3, 2.4),), light=0.95),
        Part("ben", ((0, 446, 152, 78, -20, 0, 0), (1.3, 444, 154, 78, -12, 0, -1), (2.4, 447, 151, 78, -20, 2, 0)), speaks=((0.0, 1.2),), light=0.95),
    )
    again = replace(ada, keys=((0, 334, 149, 112, 4, 0, 0), (1.0, 330, 152, 113, -4, 4, 0), (2.0, 331, 150, 112, 10, -2, 2)), speaks=((0.0, 1.7),))
    shots = (Shot(50, "studio", 11, (ada,)), Shot(55, "shelves", 12, (ben,)), Shot(56, "room", 13, both), Shot(46, "studio", 11, (again,)))
    return Clip("news/interview.mp4", 1280, 720, shots, sound=True, metadata=_PRIVATE_TAGS)


def _flash() -> Clip:
    ada = Part("ada", ((0, 300, 150, 92, -6, 0, 0), (1.4, 320, 148, 94, 10, 2, 1), (2.8, 340, 150, 96, 0, -2, 0)), speaks=((0.3, 2.4),))
    carl = Part("carl", ((0, 340, 152, 100, 12, 0, 0), (1.0, 330, 150, 100, -8, 0, 2), (2.0, 336, 154, 102, -14, 4, 0)), speaks=((0.2, 1.6),), light=0.85)
    pair = (
        Part("carl", ((0, 210, 160, 74, 12, 0, 0), (1.6, 214, 158, 74, 18, 0, 0)), light=0.85),
        Part("ada", ((0, 430, 158, 72, -14, 0, 0), (1.6, 428, 160, 72, -8, 3, 0))),
    )
    shots = (
        Shot(48, "room", 21, (ada,), flashes=(20, 21)),
        Shot(40, "shelves", 22, (carl,)),
        Shot(44, "room", 23, pair, enters="fade"),
        Shot(36, "lake", 24, enters="dissolve"),
    )
    return Clip("news/flash.mp4", 640, 360, shots)


def _lesson() -> Clip:
    seats = (("hugo", 110, 206, 28, 14), ("ines", 236, 200, 26, -8), ("gus", 398, 204, 34, 6), ("june", 536, 210, 38, -16))
    parts = tuple(Part(name, _restless(x, y, w, yaw), speaks=((0.5, 4.0),) if name == "gus" else ()) for name, x, y, w, yaw in seats)
    texts = ((0.4, 2.0, "Please open your books."), (2.2, 4.4, "Today we speak about lakes."))
    return Clip("class/lesson.mkv", 640, 360, (Shot(125, "classroom", 31, parts),), codec="hevc", subtitles=texts, gop=50)


def _restless(x: float, y: float, width: float, yaw: float) -> tuple[Key, ...]:
    """Looks about without leaving the seat."""
    return tuple((1.1 * n, x + 2 * (n % 2), y - 2 * (n % 3 == 1), width, yaw * (1 - 0.7 * (n % 2)), 4 * (n % 3) - 4, 3 * (n % 2)) for n in range(6))


def _session() -> Clip:
    keys = (
        (0, 320, 168, 120, 0, 0, 0), (0.8, 320, 168, 120, -8, 2, 0), (1.8, 318, 168, 120, -56, 0, 0), (2.2, 318, 168, 120, -56, 0, 0), (3.2, 320, 166, 121, 0, 0, 0),
        (4.0, 320, 168, 120, 30, 0, 0), (4.5, 322, 168, 120, 56, 0, 0), (4.8, 322, 168, 120, 54, 0, 0), (5.6, 320, 168, 120, 4, 3, 1), (7.0, 320, 168, 120, -6, 0, 2),
    )  # fmt: skip
    hand = ((5.4, 760, 240), (6.2, 380, 190), (6.7, 250, 200), (7.3, -120, 260))
    return Clip("clinic/session.mov", 640, 360, (Shot(180, "clinic", 41, (Part("finn", keys),), hand=hand),), sound=False)


def _hello() -> Clip:
    """Held upright: coded 640x360, shown 360x640."""
    keys = ((0, 176, 240, 140, 0, 0, 0), (1.0, 186, 250, 146, 10, -4, 4), (2.2, 172, 236, 142, -12, 4, -3), (3.2, 184, 246, 150, 4, 0, 2))
    shot = Shot(80, "room", 51, (Part("lea", keys, speaks=((0.2, 3.0),)),))
    return Clip("phone/hello.mp4", 360, 640, (shot,), sound=True, rotation=90, metadata={"location": "+52.5200+013.4050/"})


def _road() -> Clip:
    return Clip("drive/road.mp4", 640, 360, (Shot(100, "street", 61),))


def _lake() -> Clip:
    return Clip("nature/lake.webm", 640, 360, (Shot(90, "lake", 71),), codec="vp9")


def _tiny() -> tuple[Clip, ...]:
    """Three clips with faces of 60 to 90 px of a picture 320 px wide, one without."""
    eve = Part("eve", ((0, 250, 160, 140, -10, 0, 0), (1.0, 280, 158, 146, 12, 2, 2), (2.0, 300, 162, 150, -4, 0, 0)), speaks=((0.1, 1.8),))
    dan = Part("dan", ((0, 330, 162, 156, 12, 0, 0), (0.5, 322, 160, 156, -14, 3, -2), (1.0, 326, 162, 158, -20, 0, 0)), speaks=((0.1, 0.9),))
    pair = (
        Part("dan", ((0, 190, 168, 124, 14, 0, 0), (1.0, 196, 166, 124, 4, 3, 0))),
        Part("eve", ((0, 458, 164, 122, -14, 0, 0), (1.0, 450, 166, 122, -6, 0, 2)), speaks=((0.2, 0.9),)),
    )
    alone = replace(eve, keys=tuple((k[0] / 2, *k[1:]) for k in eve.keys))
    leave = ((0, -110, 170, 122, 24, 0, 0), (0.9, 320, 168, 124, 4, 0, 0), (1.9, 760, 170, 126, 22, 0, 0))
    return (
        Clip("one/talk.mp4", 320, 180, (Shot(26, "room", 81, (eve,)), Shot(22, "shelves", 82, (dan,))), sound=True, metadata=_PRIVATE_TAGS, gop=12),
        Clip("one/pair.mp4", 384, 216, (Shot(24, "studio", 83, pair), Shot(24, "room", 84, (alone,))), gop=12),
        Clip("two/pass.mkv", 320, 180, (Shot(48, "corridor", 85, (Part("dan", leave, walks=True),)),), gop=16),
        Clip("two/empty.mp4", 320, 180, (Shot(48, "lake", 86),), gop=12),
    )  # fmt: skip


def _long() -> tuple[Clip, ...]:
    """One programme of about three minutes: the demo's small-picture shots five times over, in other rooms."""
    once = [shot for clip in (_corridor(), _flash(), _lesson(), _session(), _interview(), _road()) for shot in clip.shots]
    shots = tuple(replace(shot, seed=shot.seed + 100 * n, enters="hard") for n in range(4) for shot in once)
    return (Clip("bench/programme.mp4", 640, 360, shots, sound=True, gop=50),)
