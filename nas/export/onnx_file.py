"""Writing a network as an ONNX file and checking it against its torch module."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import torch

from nas.errors import MixnasError
from nas.files import write_atomic
from nas.formats.onnx import to_onnx
from nas.ir import Node
from nas.lowering import FormChoice, lower
from nas.torch_model import Network, weights_of

TOLERANCE = 1e-4  # maximum difference, relative to the largest output
CHECKED_IMAGES = 2


def largest_difference(model: Network, graph: bytes) -> float:
    """Return the largest difference between the outputs of ONNX Runtime and torch.

    Args:
        model: The torch module.
        graph: The serialized ONNX model.

    Returns:
        The largest absolute difference over a few images of random noise, relative to torch's
        largest absolute output.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(CHECKED_IMAGES, *model.spec.in_shape, generator=generator)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    actual = np.asarray(session.run(None, {"images": images.numpy()})[0])
    with torch.no_grad():
        expected = model.eval()(images).numpy()
    return float(np.abs(actual - expected).max() / max(float(np.abs(expected).max()), 1e-9))


def export_onnx(model: Network, path: Path, choice: FormChoice | None = None) -> float:
    """Write a model as an ONNX file: ``images`` (batch, C, H, W) -> ``logits`` (batch, classes).

    Args:
        model: Model with the weights to export.
        path: File to write.
        choice: Rule that chooses the forms of lowered layers; None for the network as trained.

    Returns:
        The largest relative difference from torch's outputs.

    Raises:
        MixnasError: If the difference exceeds `TOLERANCE`; no file is written in this case.
    """
    spec = model.spec
    tree: Node = spec.tree()
    weights = weights_of(model)
    if choice is not None:
        tree, weights = lower(tree, spec.in_shape, weights, choice)
    graph = to_onnx(tree, spec.in_shape, weights, spec.name).SerializeToString()
    difference = largest_difference(model, graph)
    if not difference <= TOLERANCE:
        raise MixnasError(
            f"the exported network's outputs differ by {difference:.1e} from torch's (allowed: "
            f"{TOLERANCE:.0e}); no file was written"
        )
    write_atomic(path, graph)
    return difference
