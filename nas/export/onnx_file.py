"""Writing a network as an ONNX file and checking it against its torch module."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime
from torch import Tensor

from nas.export.parity import Parity, Run, compare, in_form, noise
from nas.files import write_atomic
from nas.formats.onnx import to_onnx
from nas.lowering import FormChoice
from nas.torch_model import Network


def run_onnx(graph: bytes) -> Run:
    """Return a function that runs a serialized ONNX model in ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return lambda images: np.asarray(session.run(None, {"images": images})[0])


def export_onnx(
    model: Network,
    path: Path,
    choice: FormChoice | None = None,
    images: Tensor | None = None,
    properties: Mapping[str, str] | None = None,
) -> Parity:
    """Write a model as an ONNX file: ``images`` (batch, C, H, W) -> ``logits`` (batch, classes).

    Args:
        model: Model with the weights to export.
        path: File to write.
        choice: Rule that chooses the forms of lowered layers; None for the network as trained.
        images: Inputs to compare the outputs for, shape (N, C, H, W); None for random noise.
        properties: Metadata of the file, texts by name.

    Returns:
        How its outputs agree with those of torch.

    Raises:
        MixnasError: If they do not agree; no file is written in this case.
    """
    spec = model.spec
    tree, weights = in_form(model, choice)
    graph = to_onnx(tree, spec.in_shape, weights, spec.name, properties).SerializeToString()
    parity = compare(model, run_onnx(graph), noise(spec) if images is None else images)
    parity.check()
    write_atomic(path, graph)
    return parity
