"""What a run loads follows from its settings, and licences are checked before anything is fetched."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from faceanon.core.errors import LicenceRefused, UsageError, WeightsUnavailable
from faceanon.core.settings import VARIANTS, Settings
from faceanon.models import catalog, device, registry, weights
from faceanon.models.fakes import mean_mesh


def settings(**values) -> Settings:
    return Settings().with_values(**values)


def test_the_default_run_uses_what_its_settings_name():
    """Detector, auditor, mesh, embedder, attributes and the swap engine's own; nothing else."""
    names = catalog.weights_of(Settings())

    assert {"yunet", "centerface", "face_mesh", "dlib_face", "dlib_points5", "age", "gender", "selfie_segmentation"} <= set(names)
    assert len([name for name in names if name.startswith("mobilestylegan")]) == 4
    assert not {"mtcnn_pnet", "transnetv2"} & set(names)


@pytest.mark.parametrize(
    ("values", "added"),
    [
        ({"detect__detector": "yunet+mtcnn"}, {"mtcnn_pnet", "mtcnn_rnet", "mtcnn_onet"}),
        ({"shots__detector": "transnet"}, {"transnetv2"}),
    ],
)
def test_other_choices_bring_their_weights(values, added):
    """A union brings the weights of each member, transnet its own."""
    assert set(catalog.weights_of(settings(**values))) - set(catalog.weights_of(Settings())) == added


def test_commercial_refuses_swap_before_anything_is_fetched(monkeypatch):
    """With licences = commercial the swap engine is refused by name, and no weight is touched."""
    monkeypatch.setattr(weights, "path_of", lambda name: pytest.fail(f"{name} was asked for"))

    with pytest.raises(LicenceRefused, match=r"mobilestylegan.*may not be used commercially.*blur, pixelate and fill"):
        catalog.load_models(settings(models__licences="commercial"), need=frozenset({"mesh"}))


@pytest.mark.parametrize("engine", ["blur", "pixelate", "fill"])
def test_commercial_allows_the_engines_it_names(engine):
    """The engines that the refusal names pass the check."""
    chosen = settings(models__licences="commercial", render__engine=engine)

    catalog.check_licences(chosen)

    assert all(row["licence"] in {"MIT", "Apache-2.0", "CC0-1.0"} for row in catalog.model_rows(chosen))


def test_ledger_rows_name_every_weight():
    """One row per weight, by its digest, with licence and source."""
    rows = catalog.model_rows(Settings())

    assert [row["name"] for row in rows] == list(catalog.weights_of(Settings()))
    assert len({row["model_id"] for row in rows}) == len(rows)
    assert all(set(row) == {"model_id", "name", "version", "format", "licence", "source", "task"} for row in rows)


@pytest.mark.parametrize(("engine", "variant"), [(engine, variant) for engine, variants in VARIANTS.items() for variant in variants])
def test_every_variant_paints_with_weights_that_come_along(engine, variant):
    """Nothing is fetched: the file lies in the package, small, as the registry has it; commercial use is refused, since it learned from portraits."""
    chosen = settings(render__engine=engine, render__variant=variant)
    (own,) = [entry for name in catalog.weights_of(chosen) if (entry := registry.weight(name)).carrier[0] == registry.PACKAGE]
    painter = catalog.load_models(chosen, need=frozenset({"inpainter"})).inpainter
    side = painter.side_px
    mesh = (side * (mean_mesh()[None, :, :2] + 1) / 2).astype(np.float32)

    assert weights.path_of(own.name).stat().st_size == own.size <= 12_000_000
    assert painter.inpaint(np.full((1, side, side, 3), 120, np.uint8), mesh, np.zeros((1, 128), np.float32)).std() > 5
    with pytest.raises(LicenceRefused, match=own.name):
        catalog.check_licences(settings(render__engine=engine, render__variant=variant, models__licences="commercial"))


def test_an_unknown_need_is_refused():
    """A model that is not in the catalog is a programming error, said at once."""
    with pytest.raises(ValueError, match="no such models"):
        catalog.load_models(Settings(), need=frozenset({"detektor"}))


def test_what_is_not_needed_is_none():
    """Nothing is loaded unless asked for."""
    assert catalog.load_models(Settings(), need=frozenset()) == catalog.Models()


def test_missing_weights_are_said(tmp_path, monkeypatch):
    """Without cache, mirror and index, loading stops with a reason."""
    monkeypatch.setenv("FACEANON_CACHE", str(tmp_path))
    monkeypatch.delenv("FACEANON_WEIGHTS_MIRROR", raising=False)
    monkeypatch.setattr(weights.subprocess, "run", lambda *a, **k: weights.subprocess.CompletedProcess(a, 1, "", "ERROR: no network\n"))

    with pytest.raises(WeightsUnavailable, match="no network"):
        catalog.load_models(Settings(), need=frozenset({"detector"}))


def test_the_catalog_imports_without_the_heavy_libraries():
    """Start-up stays quick: importing the catalog brings neither torch nor a runtime for graphs."""
    code = "import sys, faceanon.models.catalog; print(sorted({'torch', 'openvino', 'onnxruntime', 'dlib'} & set(sys.modules)))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    """cuda, asked for by name where there is none, is a usage error; auto takes the CPU."""
    monkeypatch.setattr(device, "_onnx_has_cuda", lambda: False)
    monkeypatch.setattr(device, "_torch_has_cuda", lambda: False)

    with pytest.raises(UsageError, match="cpu and auto work"):
        device.choose("cuda")
    assert (device.choose("auto"), device.choose("cpu")) == ("cpu", "cpu")


def test_cuda_comes_first_where_it_is(monkeypatch, tmp_path):
    """With a driver and a runtime that has CUDA, auto chooses it and sessions name it first."""
    driver = tmp_path / "version"
    driver.write_text("driver")
    monkeypatch.setattr(device, "_DRIVER", driver)
    monkeypatch.setattr(device, "_onnx_has_cuda", lambda: True)

    assert device.choose("auto") == "cuda"
    assert device.choose("cpu") == "cpu"
    assert device.providers("cuda") == ["CUDAExecutionProvider", "CPUExecutionProvider"]
    assert device.providers("cpu") == ["CPUExecutionProvider"]
