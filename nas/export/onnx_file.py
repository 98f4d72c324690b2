"""Writing a network as an ONNX file, checked against the torch module that it came from."""

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

TOLERANCE = 1e-4  # of the largest output
CHECKED_IMAGES = 2


def largest_difference(model: Network, graph: bytes) -> float:
    """Return the largest difference between ONNX Runtime's and torch's outputs.

    In units of the largest torch output, over a few images of noise.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(CHECKED_IMAGES, *model.spec.in_shape, generator=generator)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    theirs = np.asarray(session.run(None, {"images": images.numpy()})[0])
    with torch.no_grad():
        ours = model.eval()(images).numpy()
    return float(np.abs(theirs - ours).max() / max(float(np.abs(ours).max()), 1e-9))


def export_onnx(model: Network, path: Path, choice: FormChoice | None = None) -> float:
    """Write a model as an ONNX file: ``images`` (batch, C, H, W) -> ``logits`` (batch, classes).

    Args:
        model: with the weights to ship.
        path: of the file.
        choice: of the forms of the lowered network; None writes the network as it was trained.

    Returns:
        The largest relative difference to torch's outputs.

    Raises:
        MixnasError: when the difference is above `TOLERANCE`; nothing is written then.
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
            f"{TOLERANCE:.0e}); nothing was written"
        )
    write_atomic(path, graph)
    return difference
