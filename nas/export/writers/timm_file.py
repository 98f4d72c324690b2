"""Networks as Python files by which timm builds them, with their weights beside."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

from nas.errors import MixnasError, reason_of
from nas.export.base import Export, Written
from nas.export.parity import Run
from nas.formats.python_files.timm import timm_places, to_timm
from nas.torch_model import timm_state_dict

WEIGHTS = ".safetensors"


def run_timm(path: Path) -> Run:
    """Return a function that runs the network of a written file, which timm builds.

    Raises:
        MixnasError: If timm cannot be imported, or does not build it.
        ModuleNotFoundError: If timm is not installed.
    """
    try:
        network = runpy.run_path(str(path))["load"]()
    except ModuleNotFoundError:
        raise
    except Exception as error:  # a torchvision for another torch fails in many ways
        raise MixnasError(f"timm cannot build the network here: {reason_of(error)}") from error

    def run(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            logits: np.ndarray = network(torch.from_numpy(images)).numpy()
        return logits

    return run


def write(export: Export, path: Path) -> Written:
    """Write a network as architecture strings in a Python file, and its weights beside it.

    Raises:
        MixnasError: If timm cannot build the network.
    """
    spec = export.model.spec
    path.write_text(to_timm(spec, export.constants), "utf-8")
    state = timm_state_dict(export.model, timm_places(spec))
    path.with_suffix(WEIGHTS).write_bytes(save(state, export.properties))
    return Written(run_timm(path))
