"""The architecture, held by a test: which package may import which, also inside functions."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "faceanon"
STEPS = {"analyze", "identity", "render", "verify", "evaluation", "archive", "media", "models", "ledger"}
FLOW_MAY = {"core", "archive", "media", "models", "analyze", "identity", "render", "verify", "ledger", "flow"}
MAY_IMPORT = {
    "core": set(),
    **{step: {"core"} for step in STEPS},
    "samples": {"core", "media", "models", "render"},
    "training": {"core", "models", "render"},
    "flow": FLOW_MAY,
    "estimate": FLOW_MAY,
    "report": {"core", "archive", "media", "ledger"},
    "retention": {"core", "archive", "ledger"},
    "rayflow": {"core", "archive", "flow"},
    "commands": FLOW_MAY | {"estimate", "samples", "training", "evaluation", "report", "retention", "rayflow", "cli"},
}
ONLY_IN = {
    "ray": {"rayflow"},
    "av": {"media"},
    "torch": {"models", "training"},
    "onnxruntime": {"models"},
    "openvino": {"models"},
    "dlib": {"models"},
    "_dlib_pybind11": {"models"},
    "safetensors": {"models"},
    "deltalake": {"ledger"},
    "duckdb": {"ledger"},
    "prov": {"ledger"},
    "openlineage": {"ledger"},
    "c2pa": {"media"},
    "s3fs": {"archive"},
    "fsspec": {"archive", "models"},
    "scenedetect": {"analyze"},
    "cryptography": {"identity", "ledger"},
    "pyarrow": {"archive", "ledger", "samples", "evaluation", "rayflow", "commands"},
}


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names if node.module == "faceanon"}
    return found


FILES = sorted(p for p in ROOT.rglob("*.py") if p.parent != ROOT)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_keep_one_direction(path):
    """A package imports only what the house allows, and each heavy library lives in one place."""
    package = path.relative_to(ROOT).parts[0]
    imported = imports_of(path)

    ours = {name.split(".")[1] for name in imported if name.startswith("faceanon.")} - {package, "__version__"}
    theirs = {name.split(".")[0] for name in imported}
    assert ours <= MAY_IMPORT[package], f"{path.name} reaches into {ours - MAY_IMPORT[package]}"
    assert {name for name in theirs if name in ONLY_IN and package not in ONLY_IN[name]} == set()


def test_the_walk_sees_imports_inside_functions(tmp_path):
    """The trap is set: an import inside a function is found."""
    path = tmp_path / "sly.py"
    path.write_text("def f():\n    import ray\n    from faceanon.flow import local\n")

    assert imports_of(path) == {"ray", "faceanon.flow"}
