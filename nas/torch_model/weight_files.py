"""Trained weights, and reading them from safetensors files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from nas.errors import MixnasError
from nas.formats.metadata import ModelMetadata, Preprocessing
from nas.torch_model.network import Network


@dataclass(frozen=True)
class TrainedWeights:
    """Trained weights of a network, and what is known of their training.

    Attributes:
        source: Where they come from, as the user names it.
        tensors: Weights and buffers by name.
        metadata: What they were trained as; None if that is not known.
        data: Name or path of the data set of their training, where it is now; None if not known.
        images_per_class: Number of images of each class in their training, at most; None for all.
        judge: Evaluates the network, also on the test split, and returns what there is to tell
            about its accuracy; None for weights whose training has done so.
        remarks: Remarks for the user.
        prepared: How images were prepared; None if `metadata` tells, or nobody does.
    """

    source: str
    tensors: Mapping[str, Tensor]
    metadata: ModelMetadata | None = None
    data: str | None = None
    images_per_class: int | None = None
    judge: Callable[[], dict[str, Any]] | None = None
    remarks: tuple[str, ...] = ()
    prepared: Preprocessing | None = None

    @property
    def preprocessing(self) -> Preprocessing | None:
        """How the images of their training were prepared; None if that is not known."""
        return self.prepared if self.metadata is None else self.metadata.preprocessing


def read_trained(path: Path) -> TrainedWeights:
    """Read the weights of a safetensors file, with what it tells about their training.

    Raises:
        MixnasError: If the file is missing or damaged.
    """
    return TrainedWeights(str(path), read_weights(path), read_metadata(path))


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


def load_weights(model: Network, weights: TrainedWeights) -> None:
    """Give a network the weights of a network of the same architecture.

    Args:
        model: Model that receives the weights; not changed on error.
        weights: The weights.

    Raises:
        MixnasError: If they are the weights of another network.
    """
    state = weights.tensors
    own = model.state_dict()
    wrong = sorted(
        name
        for name in {*own, *state}
        if name not in own or name not in state or own[name].shape != state[name].shape
    )
    if wrong:
        raise MixnasError(
            f"{weights.source}: the weights belong to another network (first difference: "
            f"'{wrong[0]}')"
        )
    model.load_state_dict(state)
