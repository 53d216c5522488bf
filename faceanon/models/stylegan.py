"""The portrait generator: MobileStyleGAN, distilled from StyleGAN2 on FFHQ, run by OpenVINO in f32 on the CPU.

`map` turns noise z into the style w, not yet truncated; `synthesize` turns a style into a picture. The published graph is changed in three ways:

- It feeds one style to all of its layers; here each of the eight resolutions (4 px to 512 px) takes a row of its own, because the
  coarse ones draw the shape of a face and the fine ones its colours and light.
- Its pictures of 1024 px are put together from wavelets (Haar) of 512 px; the lowest of them alone, halved, is the same picture at half the size, and
  that is where the graph ends here: nobody needs more.
- Channels are taken apart by gathering them instead of by splits, which OpenVINO's CPU plugin copies in a slow way.

Together 290 ms of CPU a picture instead of 420, on a busy machine. One thread count gives one result, bit for bit.

S. Belousov, MobileStyleGAN: A Lightweight Convolutional Neural Network for High-Fidelity Image Synthesis, 2021 (arXiv 2104.04767).
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as op

from faceanon.core.picture import Image
from faceanon.models.openvino_net import compiled

STYLE = 512  # numbers in z and in w
LEVELS = 8  # resolutions, each with a style of its own
SIDE_PX = 512

Style = NDArray[np.float32]  # (STYLE,), or (LEVELS, STYLE) coarse to fine


class StyleGan:
    """Both nets, compiled. Files are OpenVINO IR v10; the names need not end in .xml or .bin."""

    def __init__(self, mapping_xml: Path, mapping_bin: Path, synthesis_xml: Path, synthesis_bin: Path, *, threads: int = 1) -> None:
        self._core = ov.Core()
        self._threads = threads
        self._mapping = self._compile(self._read(mapping_xml, mapping_bin))
        self._synthesis = self._compile(_synthesis(self._read(synthesis_xml, synthesis_bin)))

    def map(self, z: NDArray[np.float32]) -> NDArray[np.float32]:
        """Styles w (N, 512) float32 for standard normal z (N, 512)."""
        rows = [self._mapping([np.ascontiguousarray(row[None], np.float32)])[0] for row in z]  # one by one: a row never depends on its neighbours
        return np.concatenate(rows) if rows else np.zeros((0, STYLE), np.float32)

    def synthesize(self, w: Style) -> Image:
        """The picture (512, 512, 3) uint8 BGR of a style (512,) or of one style a level (8, 512)."""
        levels = np.ascontiguousarray(np.broadcast_to(w, (LEVELS, STYLE)), np.float32)
        rgb = self._synthesis([levels])[0][0]  # (3, 512, 512) float32 -1..1 and a little beyond
        return np.ascontiguousarray(np.clip((rgb[::-1] + 1) * 127.5 + 0.5, 0, 255).astype(np.uint8).transpose(1, 2, 0))

    def _read(self, xml: Path, weights: Path) -> ov.Model:
        return self._core.read_model(model=xml.read_bytes(), weights=weights.read_bytes())

    def _compile(self, model: ov.Model) -> ov.CompiledModel:
        return compiled(self._core, model, self._threads)


def _synthesis(model: ov.Model) -> ov.Model:
    """The synthesis net with the input (8, 512) in place of (1, 512), that ends at 512 px.

    The consumers of the style are named Gemm_<n>; every hundred of n is one resolution, and one consumer only asks for the shape.
    """
    styles = op.parameter([LEVELS, STYLE], np.float32, name="styles")
    rows = [op.gather(styles, np.array([level], np.int64), np.int64(0)) for level in range(LEVELS)]  # each (1, 512)
    for consumer in model.inputs[0].get_target_inputs():
        found = re.match(r"Gemm_(\d+)", consumer.get_node().get_friendly_name())
        consumer.replace_source_output(rows[int(found[1]) // 100 if found else 0].output(0))
    lowest = [_gathered(node) for node in model.get_ordered_ops() if node.get_type_name() == "VariadicSplit"][-2]  # the last two take the wavelets of the picture apart
    return ov.Model([op.multiply(lowest, np.float32(0.5))], [styles], "synthesis by level")


def _gathered(split: ov.Node) -> ov.Node:
    """The first part of a split, all of whose parts are gathered from now on. Slices the plugin would make a split again."""
    whole, axis, lengths = (split.input_value(i) for i in range(3))
    ends = np.cumsum(lengths.get_node().get_data()).tolist()
    parts = [op.gather(whole, np.arange(start, stop), axis) for start, stop in zip([0, *ends], ends, strict=False)]
    for number, part in enumerate(parts):
        for consumer in split.output(number).get_target_inputs():
            consumer.replace_source_output(part.output(0))
    return parts[0]
