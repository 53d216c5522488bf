"""Files of weights of our own training: safetensors in half precision, with words on what they are for."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from faceanon.core.errors import WeightsUnavailable


def save(net: nn.Module, path: Path, name: str, value: str) -> None:
    """Half precision; what is not a weight (means and scales) stays as exact as it is. One word says what for: several would lie in any order. Whole or not at all."""
    buffers = dict(net.named_buffers())
    tensors = {name: (value if name in buffers else value.half()).contiguous() for name, value in net.state_dict().items()}
    aside = path.with_suffix(".part")
    save_file(tensors, aside, metadata={name: value})
    aside.chmod(0o644)  # the writer's own mode keeps others from reading it
    aside.replace(path)


def word_of(path: Path, name: str) -> str:
    """The word that was saved under that name, or "?". Raises WeightsUnavailable."""
    with _opened(path) as file:
        return str((file.metadata() or {}).get(name, "?"))


def require(path: Path, name: str, value: str) -> None:
    """Raises WeightsUnavailable where the word is another one."""
    if (word := word_of(path, name)) != value:
        raise WeightsUnavailable(f"{path} holds weights for {word!r}, not {value!r}")


def shape_of(path: Path, tensor: str) -> tuple[int, ...]:
    """Raises WeightsUnavailable."""
    with _opened(path) as file:
        if tensor not in file.keys():  # noqa: SIM118 - not a dict
            raise WeightsUnavailable(f"{path} does not fit the net: missing: {tensor}")
        return tuple(file.get_slice(tensor).get_shape())


def fill(net: nn.Module, path: Path) -> None:
    """The net's state from the file, in f32. Raises WeightsUnavailable where names or shapes differ."""
    with _opened(path) as file:
        state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 - not a dict
    wrong = [f"{name} {tuple(v.shape)}" for name, v in net.state_dict().items() if name not in state or state[name].shape != v.shape]
    wrong += [f"unexpected: {name}" for name in state if name not in net.state_dict()]
    if wrong:
        raise WeightsUnavailable(f"{path} does not fit the net: {', '.join(wrong[:8])}")
    net.load_state_dict(state)


def _opened(path: Path) -> safe_open:
    if not path.exists():
        raise WeightsUnavailable(f"no weights at {path}")
    try:
        return safe_open(path, "pt")
    except SafetensorError as error:
        raise WeightsUnavailable(f"{path} is no safetensors file: {error}") from error
