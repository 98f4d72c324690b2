"""Reading weights from safetensors files."""

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
        MixnasError: If the file is missing or damaged.
    """
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except FileNotFoundError:
        raise MixnasError(f"{path}: no such file; give a .safetensors file") from None
    except (OSError, SafetensorError) as error:
        raise MixnasError(f"{path}: not a safetensors file ({error})") from None
    return tensors


def load_weights(model: Network, path: Path) -> None:
    """Load the weights of a network of the same architecture from a safetensors file.

    Args:
        model: Model that receives the weights; not changed on error.
        path: Path of the file.

    Raises:
        MixnasError: If the file cannot be read, or contains the weights of another network.
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
            f"{path}: the weights belong to another network (first difference: '{wrong[0]}')"
        )
    model.load_state_dict(state)
