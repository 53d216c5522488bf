"""What an encoder writes depends on pictures and settings alone: not on what lies in memory, and H.264 not on the processor either."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.fake_archive import write_archive

SCRIPT = """
import hashlib, json, sys
from dataclasses import replace
from pathlib import Path

from faceanon.core.settings import EncodeSettings, PlanSettings
from faceanon.media import encode
from faceanon.media.decode import read_pictures
from faceanon.media.encoders import plan_encoder
from faceanon.media.probe import probe
from faceanon.media.segments import plan_segments

source, folder, extra, codecs = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4])

def plan(facts, settings):
    plan = plan_encoder(facts, settings)
    return replace(plan, options={name: text + extra * (name == "x264-params") for name, text in plan.options.items()})

encode.plan_encoder = plan
facts, index = probe(source, PlanSettings())
segment = plan_segments("v", facts, index, PlanSettings(segment_seconds=0.8))[1]
pictures = list(read_pictures(source, facts, segment))
for codec, container in codecs.items():
    with encode.SegmentWriter(folder / codec, replace(facts, codec=codec, container=container), EncodeSettings()) as writer:
        for picture in pictures:
            writer.write(picture)
print(json.dumps({codec: hashlib.sha256((folder / codec).read_bytes()).hexdigest() for codec in codecs}))
"""
CODECS = {"h264": "mp4", "hevc": "mp4", "vp8": "webm", "vp9": "webm", "av1": "mp4", "mpeg4": "avi", "mpeg2video": "mpegts", "ffv1": "matroska"}


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """x264 with two threads and AVX-512 coded this one in three ways, by what lay in memory."""
    return write_archive(tmp_path_factory.mktemp("clip")) / "cam/walk.mp4"


def digests(clip: Path, folder: Path, codecs: dict[str, str], *, memory: int = 0, extra: str = "") -> dict[str, str]:
    """Of what each encoder writes in a process of its own whose memory is handed out full of the byte 255 - memory; 0: as it comes."""
    command = [sys.executable, "-c", SCRIPT, str(clip), str(folder), extra, json.dumps(codecs)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, "MALLOC_PERTURB_": str(memory)})
    return json.loads(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's MALLOC_PERTURB_")
def test_memory_does_not_matter(clip, tmp_path):
    """Every encoder writes the same bytes, whatever the memory held that it was given."""
    plain, *others = [digests(clip, tmp_path, CODECS, memory=memory) for memory in (0, 85, 170)]

    assert plain.keys() == CODECS.keys()
    assert others == [plain, plain]


def test_the_processor_does_not_matter(clip, tmp_path):
    """x264 writes the same bytes with all that this processor can do as with the plain instructions that every one has."""
    variants = [digests(clip, tmp_path, {"h264": "mp4"}, extra=extra)["h264"] for extra in ("", ":asm=sse2", ":asm=0")]

    assert variants == [variants[0]] * 3
