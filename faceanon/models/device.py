"""Where models run: "cuda" or "cpu", and how sessions are made there.

ONNX graphs run in onnxruntime on either device. On CPU with AVX2 it was as fast as OpenVINO once the graphs were repaired (YuNet at
1280x736: 31 ms against 36; CenterFace 167 against 177, one thread), and its thread count is its own: same input, same output.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faceanon.core.errors import UsageError
from faceanon.core.settings import ModelSettings
from faceanon.models import weights
from faceanon.models.onnx_graph import repair

_DRIVER = Path("/proc/driver/nvidia/version")


def choose(wanted: str) -> str:
    """settings.run.device as "cuda" or "cpu". Raises UsageError where cuda is asked for and not there."""
    if wanted == "cpu" or (wanted == "auto" and not _DRIVER.exists()):
        return "cpu"
    if _onnx_has_cuda() or _torch_has_cuda():
        return "cuda"
    if wanted == "cuda":
        raise UsageError("run.device is cuda, but neither torch nor onnxruntime finds a CUDA device here; cpu and auto work")
    return "cpu"


def torch_device(device: str) -> str:
    """`device` for torch: a torch without CUDA stays on the CPU."""
    return "cuda" if device == "cuda" and _torch_has_cuda() else "cpu"


def providers(device: str) -> list[str]:
    """onnxruntime's providers for `device`, the preferred one first."""
    return ["CUDAExecutionProvider", "CPUExecutionProvider"] if device == "cuda" and _onnx_has_cuda() else ["CPUExecutionProvider"]


def _onnx_has_cuda() -> bool:
    import onnxruntime

    return _DRIVER.exists() and "CUDAExecutionProvider" in onnxruntime.get_available_providers()


def _torch_has_cuda() -> bool:
    import torch  # takes a second, and is needed only where a driver is there

    return torch.cuda.is_available()


class OnnxNet:
    """An ONNX graph with one input, loaded from the cache of weights."""

    def __init__(self, name: str, models: ModelSettings, device: str = "cpu") -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = models.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # waiting threads would steal from decoders and encoders
        self._session = onnxruntime.InferenceSession(repair(weights.path_of(name).read_bytes()), options, providers=providers(device))
        self._input = self._session.get_inputs()[0].name
        self._outputs = [output.name for output in self._session.get_outputs()]

    def __call__(self, batch: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Every output by name for a batch (N, C, H, W) float32."""
        return dict(zip(self._outputs, self._session.run(None, {self._input: batch}), strict=True))
