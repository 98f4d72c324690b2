"""Networks as ONNX files: ``images`` (batch, C, H, W) -> ``logits`` (batch, classes)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

from nas.export.base import Export, Written
from nas.export.parity import Run
from nas.formats.onnx import to_onnx


def run_onnx(graph: bytes | Path) -> Run:
    """Return a function that runs an ONNX model, serialized or in a file, in ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return lambda images: np.asarray(session.run(None, {"images": images})[0])


def write(export: Export, path: Path) -> Written:
    """Write a network as an ONNX file."""
    spec = export.model.spec
    tree, weights = export.form
    model = to_onnx(tree, spec.in_shape, weights, spec.name, export.properties)
    path.write_bytes(model.SerializeToString())
    return Written(run_onnx(path), model=path.read_bytes)
