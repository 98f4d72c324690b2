"""Trained weights by name: a .safetensors file, ``supernet:RUN``, or ``timm:NAME``."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from nas.errors import MixnasError
from nas.named import is_timm
from nas.spec import NetworkSpec
from nas.torch_model import TrainedWeights, read_trained
from nas.train.models import timm_weights
from nas.train.settings import SETTINGS, SUPERNET, read_training_settings


def find_weights(name: str, spec: NetworkSpec | None, data: str | None = None) -> TrainedWeights:
    """Find trained weights for a network.

    Args:
        name: Path of a .safetensors file; ``supernet:RUN`` for the network's slice of the supernet
            of a run directory; or ``timm:NAME`` for timm's pretrained weights, which timm
            downloads.
        spec: The network; None for one of timm's.
        data: Name or path of a data set that may be that of the run, if it has been moved; None if
            there is none.

    Raises:
        MixnasError: If there are no such weights, they are damaged, or a supernet has none for the
            network.
    """
    if is_timm(name):
        return timm_weights(name, spec)
    if not name.startswith(SUPERNET):
        return _from_file(Path(name))
    if spec is None:
        raise MixnasError(
            f"{name}: a supernet has weights for the networks of its own space, not for timm's; "
            "give the spec of such a network, or --weights timm:NAME"
        )
    from nas.accuracy.supernet.runs import open_run_supernet

    return open_run_supernet(Path(name.removeprefix(SUPERNET)), data).weights(spec)


def _from_file(path: Path) -> TrainedWeights:
    """Read weights, with the data set of the training in whose folder they are, if they are."""
    weights = read_trained(path)
    if not (path.parent / SETTINGS).is_file():
        return weights
    settings = read_training_settings(path.parent)
    return dataclasses.replace(
        weights, data=settings.data, images_per_class=settings.images_per_class
    )
