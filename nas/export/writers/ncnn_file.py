"""Networks as ncnn's .param files, with .bin beside: one image (C, H, W) -> logits (classes)."""

from __future__ import annotations

from pathlib import Path

import ncnn
import numpy as np

from nas.errors import MixnasError
from nas.export.base import Export, Written
from nas.export.parity import Run
from nas.formats.ncnn import to_ncnn
from nas.ir import Shape
from nas.latency.runtimes.ncnn_runtime import NcnnNetwork, in_float32

WEIGHTS = ".bin"


def run_ncnn(path: Path, shape: Shape) -> Run:
    """Return a function that runs a network in ncnn, an image at a time.

    Args:
        path: The .param file.
        shape: Shape of one image.

    Raises:
        MixnasError: If ncnn cannot read it.
    """
    net = ncnn.Net()
    in_float32(net)
    if net.load_param(str(path)) != 0 or net.load_model(str(path.with_suffix(WEIGHTS))) != 0:
        raise MixnasError("ncnn cannot read the written network")
    network = NcnnNetwork(ncnn, net, shape)

    def run(images: np.ndarray) -> np.ndarray:
        network.feed(images)
        network.run()
        return network.outputs()

    return run


def write(export: Export, path: Path) -> Written:
    """Write a network as a .param file and a .bin file; batch normalization is folded."""
    shape = export.model.spec.in_shape
    tree, weights = export.form
    model = to_ncnn(tree, shape, weights)
    path.write_text(model.param, "utf-8")
    path.with_suffix(WEIGHTS).write_bytes(model.weights)
    return Written(run_ncnn(path, shape), model=model.packed)
