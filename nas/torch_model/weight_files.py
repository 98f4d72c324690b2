"""Reading weights from safetensors files."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from nas.errors import MixnasError
from nas.formats.metadata import ModelMetadata
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
    except Exception as error:  # of torch, too, for types and shapes that it does not know
        raise MixnasError(f"{path}: not a safetensors file ({error})") from None
    return tensors


def read_metadata(path: Path) -> ModelMetadata | None:
    """Read what a safetensors file tells about the training of its weights; None for nothing.

    Raises:
        MixnasError: If the file is missing or damaged.
    """
    try:
        with safe_open(path, "pt") as file:
            properties = file.metadata() or {}
    except FileNotFoundError:
        raise MixnasError(f"{path}: no such file; give a .safetensors file") from None
    except (OSError, SafetensorError) as error:
        raise MixnasError(f"{path}: not a safetensors file ({error})") from None
    return ModelMetadata.from_properties(properties, str(path))


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
