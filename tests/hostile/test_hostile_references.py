"""Containers and playlists that point elsewhere: refused with a reason, and what they point at is never opened or asked."""

from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import pytest

from faceanon.core.errors import SourceError
from faceanon.core.settings import PlanSettings
from faceanon.media import guarded, probe
from faceanon.media.clips import write_clip

PLAN = PlanSettings()


def whole_part(path: Path, plan: PlanSettings):
    """A large object's look at what every opening reads, with all of it there."""
    return guarded.opening_look(path, [(0, path.stat().st_size)], plan)


READERS = [probe.probe, guarded.probe, guarded.glance, whole_part]
reading = pytest.mark.parametrize("reader", READERS, ids=["in process", "guarded", "glance", "part"])


@pytest.fixture
def secret(tmp_path) -> Path:
    """A video that would be a good catch."""
    folder = tmp_path / "private"
    folder.mkdir()
    return write_clip(folder / "secret.mp4", (np.full((48, 64, 3), n, np.uint8) for n in range(10)))


def _box(kind: bytes, *parts: bytes) -> bytes:
    data = b"".join(parts)
    return struct.pack(">I", 8 + len(data)) + kind + data


def _with_reference(clip: Path, reference: bytes) -> bytes:
    """The movie's index alone, with `reference` in place of "the media is in this file"; chunk offsets stay those of the file it was made from."""
    data = clip.read_bytes()
    own = _box(b"url ", b"\0\0\0\1")
    assert data.count(own) == 1  # one track, whose media is in the file
    at = data.index(own)
    grown = len(reference) - len(own)
    index = bytearray(data[data.index(b"moov") - 4 :].replace(own, reference))
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        place = index.index(kind) - 4
        struct.pack_into(">I", index, place, struct.unpack_from(">I", index, place)[0] + grown)
    assert data.index(b"mdat") < at  # the index stands last, so that offsets hold in the original
    return data[: data.index(b"mdat") - 4] + bytes(index)


def _alias(target: Path) -> bytes:
    """A QuickTime alias record with the absolute path of `target`; as FFmpeg's mov_read_dref takes it apart."""
    name = str(target).encode()
    file = target.name.encode()[:63]
    fixed = b"\0" * 10 + b"\0" * 28 + b"\0" * 12 + bytes([len(file)]) + file.ljust(63, b"\0") + b"\0" * 16
    levels = struct.pack(">hh", -1, -1) + b"\0" * 16
    path = struct.pack(">hH", 2, len(name)) + name + b"\0" * (len(name) % 2) + struct.pack(">hH", -1, 0)
    return _box(b"alis", b"\0\0\0\0", fixed, levels, path)


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{file}\n#EXTINF:1,\n{url}\n#EXT-X-ENDLIST\n",
    "hls of a url": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{url}\n",
    "concat": "ffconcat version 1.0\nfile '{file}'\nfile '{url}'\n",
    "concat protocol": "concat:{file}|{url}\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet><Representation id="1" bandwidth="1">'
    "<BaseURL>{url}</BaseURL></Representation></AdaptationSet></Period></MPD>",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "data url": "data:text/plain;base64,{file}\n",
    "smil": '<smil><body><video src="{url}"/></body></smil>',
    "avisynth": 'DirectShowSource("{file}")\n',
    "vapoursynth": "import vapoursynth\nopen('{file}')\n",
    "image list": "{file}\n",
    "asx": '<asx version="3.0"><entry><ref href="{url}"/></entry></asx>',
    "quicktime reference": 'RTSPtext\n{url}\n',
}


@reading
@pytest.mark.parametrize("name", sorted(PLAYLISTS))
def test_playlists_are_refused_under_any_ending(name, reader, secret, tmp_path, http_counter, watched):
    """A list of other files or URLs is no video, whatever it calls itself; nothing that it names is touched."""
    watch = watched(secret)
    text = PLAYLISTS[name].format(file=secret, url=http_counter.url("a.ts"))

    for ending in (".m3u8", ".mp4", ".mkv", ".ffconcat", ".mpd", ".sdp", ".avs", ".vpy", "%03d.png"):
        path = tmp_path / f"list{ending}"
        path.write_text(text)
        with pytest.raises(SourceError) as caught:
            reader(path, PLAN)
        assert caught.value.source == str(path)
    assert http_counter.requests == 0
    assert not watch.was_opened()


def mov_by_path(secret: Path, path: Path) -> Path:
    """A mov whose media lie in the file `secret`."""
    path.write_bytes(_with_reference(secret, _alias(secret)))
    return path


def mov_by_url(secret: Path, path: Path, url: str) -> Path:
    """A mov whose media lie behind `url`."""
    path.write_bytes(_with_reference(secret, _box(b"url ", b"\0\0\0\0", url.encode() + b"\0")))
    return path


@pytest.mark.parametrize("reader", READERS[:2], ids=["in process", "guarded"])
def test_media_in_another_file_are_not_fetched(reader, secret, tmp_path, http_counter, watched):
    """A mov whose media lie in another file, by path or URL, is refused; the trap is set: told to follow, FFmpeg reads it."""
    by_path = mov_by_path(secret, tmp_path / "by_path.mov")
    by_url = mov_by_url(secret, tmp_path / "by_url.mov", http_counter.url("a.mp4"))
    with av.open(str(by_path), container_options={"enable_drefs": "1", "use_absolute_path": "1"}) as container:
        assert sum(1 for _ in container.decode(video=0)) == 10
    watch = watched(secret)

    for path in (by_path, by_url):
        with pytest.raises(SourceError) as caught:
            reader(path, PLAN)
        assert caught.value.source == str(path)
    assert http_counter.requests == 0
    assert not watch.was_opened()


@pytest.mark.parametrize("look", READERS[2:], ids=["glance", "part"])
def test_a_look_at_the_header_follows_no_reference_either(look, secret, tmp_path, http_counter, watched):
    """What only looks at a header may take such a mov for a video, but goes nowhere."""
    traps = [mov_by_path(secret, tmp_path / "by_path.mov"), mov_by_url(secret, tmp_path / "by_url.mov", http_counter.url("a.mp4"))]
    watch = watched(secret)

    for path in traps:
        with suppress(SourceError):
            look(path, PLAN)
    assert http_counter.requests == 0
    assert not watch.was_opened()


@pytest.mark.parametrize("reader", READERS[:2], ids=["in process", "guarded"])
def test_a_name_is_a_file_and_nothing_else(reader, tmp_path, http_counter, monkeypatch):
    """A path that reads like a URL or another protocol is looked up as a file of that name."""
    monkeypatch.chdir(tmp_path)
    names = [http_counter.url("a.mp4"), "concat:a.mp4|b.mp4", "data:video/mp4;base64,AAAA", "subfile,,start,0,end,9,,:a.mp4", "pipe:0", "-i", "crypto:a.mp4"]

    for name in names:
        with pytest.raises(SourceError, match="does not exist"):
            reader(Path(name), PLAN)
    clip = write_clip(tmp_path / "clip.mp4", (np.full((48, 64, 3), n, np.uint8) for n in range(10)))
    for name in ("concat:a.mp4", "-i", "pipe:0", "a%03d.mp4", "data:,x.mp4"):
        Path(name).write_bytes(clip.read_bytes())
        assert reader(Path(name), PLAN)[0].num_frames_from_content == 10
    assert http_counter.requests == 0


def test_every_open_of_a_container_goes_through_the_lists():
    """Nobody opens a container for reading but `source.opened`, which names formats and protocols."""
    package = Path(probe.__file__).parent
    lines = [(path.name, line) for path in sorted(package.glob("*.py")) for line in path.read_text().splitlines()]

    assert [name for name, line in lines if "av.open(" in line and '"w"' not in line] == ["source.py"]
    text = (package / "source.py").read_text()
    assert '"format_whitelist": FORMATS' in text
    assert '"protocol_whitelist": "file"' in text
