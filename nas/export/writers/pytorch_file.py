"""Networks as Python files that need torch only, with their weights beside."""

from __future__ import annotations

import io
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nas.errors import MixnasError
from nas.export.base import Export, Written
from nas.export.parity import batch_sizes
from nas.formats.python_files.pytorch import to_pytorch
from nas.ir import Seq
from nas.torch_model import to_loaded_module

WEIGHTS = ".pt"
_PATIENCE = 600.0  # seconds
# What the file's user does, in a process that cannot import this package.
_READER = """
import runpy, sys
sys.modules["nas"] = None
import torch
path, images, outputs = sys.argv[1:]
network = runpy.run_path(path, run_name="__main__")["load"]()
with torch.inference_mode():
    found = [network(batch) for batch in torch.load(images, weights_only=True)]
torch.save(found, outputs)
"""


def write(export: Export, path: Path) -> Written:
    """Write a network as a Python file, and its weights as a state dict beside it."""
    tree, weights = export.form
    assert isinstance(tree, Seq)
    shape = export.model.spec.in_shape
    path.write_text(to_pytorch(tree, shape, export.constants), "utf-8")
    state = to_loaded_module(tree, weights).state_dict()
    path.with_suffix(WEIGHTS).write_bytes(_serialized(state))
    batches = [export.inputs[:size] for size in batch_sizes(len(export.inputs))]
    outputs = run_pytorch(path, batches)
    return Written(lambda images: outputs[len(images)], read=lambda: (_read(path), shape))


def _read(path: Path) -> nn.Module:
    """Return the network of a Python file that was written here."""
    network: nn.Module = runpy.run_path(str(path))["load"]()
    return network


def _serialized(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def run_pytorch(path: Path, batches: list[Tensor]) -> dict[int, np.ndarray]:
    """Run the network of a Python file in a process of its own, which has torch only.

    Args:
        path: The file.
        batches: Batches of images, each of another size.

    Returns:
        The outputs by the size of the batch.

    Raises:
        MixnasError: If the file cannot be run.
    """
    images, outputs = path.with_name("images"), path.with_name("outputs")
    images.write_bytes(_serialized(batches))
    # Not isolated by -I, since torch may be installed for the user only.
    words = [sys.executable, "-P", "-c", _READER, str(path), str(images), str(outputs)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise MixnasError(
            f"the written Python file was not run to its end within {_PATIENCE:.0f} s"
        ) from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise MixnasError(f"the written Python file cannot be run: {last[:300]}")
    found: list[Tensor] = torch.load(outputs, weights_only=True)
    return {len(batch): logits.numpy() for batch, logits in zip(batches, found, strict=True)}
