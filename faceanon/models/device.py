"""Where models run: "cuda" or "cpu", and how sessions are made there.

On a GPU, ONNX graphs run in onnxruntime. On a CPU with bfloat16 in hardware the detectors run in OpenVINO, in bfloat16 (`Bf16Net`); on other CPUs
onnxruntime is a little faster (AVX2, YuNet at 1280x736: 31 ms against 36; CenterFace 167 against 177, one thread), and takes them too. The three are three
device classes. Thread counts are the nets' own: same input, same output.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faceanon.core.errors import UsageError
from faceanon.core.picture import Image
from faceanon.core.settings import ModelSettings
from faceanon.models import weights
from faceanon.models.onnx_graph import repair
from faceanon.models.openvino_net import compiled

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


@lru_cache(maxsize=1)
def has_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware."""
    import openvino

    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class Bf16Net:
    """An ONNX graph with one input, pictures of any size, in OpenVINO, in bfloat16. It takes pictures as they are: no copy in floats is made."""

    def __init__(self, name: str, models: ModelSettings) -> None:
        import openvino
        from openvino.preprocess import PrePostProcessor

        core = openvino.Core()
        model = core.read_model(repair(weights.path_of(name).read_bytes()))
        self._outputs = [output.any_name for output in model.outputs]
        taking = PrePostProcessor(model)
        pictures = taking.input()
        pictures.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC")).set_shape(openvino.PartialShape([1, -1, -1, 3]))
        pictures.model().set_layout(openvino.Layout("NCHW"))
        self._net = compiled(core, taking.build(), models.threads, precision="bf16")

    def __call__(self, image: Image) -> dict[str, NDArray[np.float32]]:
        """Every output by name for a picture (H, W, 3) uint8."""
        return dict(zip(self._outputs, self._net([image[None]]).values(), strict=True))


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
