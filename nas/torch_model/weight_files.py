"""Weights in safetensors files."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from nas.errors import MixnasError
from nas.torch_model.network import Network


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file.

    Raises:
        MixnasError: when it cannot be read.
    """
    try:
        found: dict[str, Tensor] = load_file(path)
    except FileNotFoundError:
        raise MixnasError(f"{path}: no such file; give a .safetensors file") from None
    except (OSError, SafetensorError) as error:
        raise MixnasError(f"{path}: no safetensors file ({error})") from None
    return found


def load_weights(model: Network, path: Path) -> None:
    """Give a model the weights of a safetensors file written from the same architecture.

    Raises:
        MixnasError: when the file cannot be read, or holds other weights; the model is unchanged.
    """
    state = read_weights(path)
    own = model.state_dict()
    wrong = sorted(
        name
        for name in {*own, *state}
        if name not in own or name not in state or own[name].shape != state[name].shape
    )
    if wrong:
        raise MixnasError(
            f"{path}: the weights are of another network (first difference: '{wrong[0]}')"
        )
    model.load_state_dict(state)
