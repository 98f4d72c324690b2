"""Networks as files of OpenVINO: ``images`` (batch, C, H, W) -> ``logits`` (batch, classes)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino

from nas.export.base import Export, Written
from nas.export.parity import Run
from nas.formats.openvino_ir import save, to_openvino
from nas.imports import openvino_core

EXACT = {"INFERENCE_PRECISION_HINT": "f32"}  # it would be bfloat16 where the processor has it


def run_openvino(model: Path | openvino.Model) -> Run:
    """Return a function that runs a model of OpenVINO on the CPU, opened or in a file."""
    compiled = openvino_core().compile_model(model, "CPU", EXACT)
    return lambda images: np.array(compiled(images)[0])


def opened(export: Export) -> openvino.Model:
    """Return a network as a model of OpenVINO."""
    spec = export.model.spec
    tree, weights = export.form
    return to_openvino(tree, spec.in_shape, weights, spec.name, export.properties)


def write(export: Export, path: Path) -> Written:
    """Write a network as an ``.xml`` file with its graph, and a ``.bin`` file with its weights."""
    save(opened(export), path)
    return Written(run_openvino(path), read=lambda: openvino_core().read_model(path))
