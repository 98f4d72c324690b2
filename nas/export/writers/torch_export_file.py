"""Networks as programs of torch.export: images (batch, C, H, W) -> logits (batch, classes)."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch

from nas.export.base import Export, Written
from nas.export.parity import Run
from nas.torch_model import to_loaded_module, with_slices


def run_torch_export(path: Path) -> Run:
    """Return a function that runs a program of torch.export."""
    module = torch.export.load(path).module()

    def run(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            logits: np.ndarray = module(torch.from_numpy(images)).numpy()
        return logits

    return run


def write(export: Export, path: Path) -> Written:
    """Write a network as a program with a dynamic batch size; its metadata are extra files."""
    module = to_loaded_module(*export.form)
    images = torch.zeros(2, *export.model.spec.in_shape)  # a batch of 1 would become a constant
    shapes = ({0: torch.export.Dim("batch")},)
    program = with_slices(torch.export.export(module, (images,), dynamic_shapes=shapes))
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files=export.properties)
    path.write_bytes(buffer.getvalue())
    shape = export.model.spec.in_shape
    return Written(run_torch_export(path), read=lambda: (torch.export.load(path).module(), shape))
