"""Networks as darknet's .cfg files, with .weights beside: images (N, C, H, W) -> logits."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from nas.errors import MixnasError, reason_of
from nas.export.base import Export, Written
from nas.export.parity import Run
from nas.formats.darknet import to_darknet

WEIGHTS = ".weights"


def run_darknet(path: Path) -> Run:
    """Return a function that runs a network of darknet in OpenCV.

    Raises:
        MixnasError: If OpenCV cannot read it.
    """
    weights = path.with_suffix(WEIGHTS)
    buffers = [np.frombuffer(file.read_bytes(), np.uint8) for file in (path, weights)]
    try:
        network = cv2.dnn.readNetFromDarknet(*buffers)
    except cv2.error as error:
        raise MixnasError(f"OpenCV cannot read the written network: {reason_of(error)}") from None

    def run(images: np.ndarray) -> np.ndarray:
        network.setInput(images)
        return np.array(network.forward()).reshape(len(images), -1)

    return run


def write(export: Export, path: Path) -> Written:
    """Write a network as a .cfg file and a .weights file; batch normalization is folded.

    Raises:
        MixnasError: If darknet has no equal of a layer.
    """
    tree, weights = export.form
    model = to_darknet(tree, export.model.spec.in_shape, weights, export.properties)
    path.write_text(model.cfg, "utf-8")
    path.with_suffix(WEIGHTS).write_bytes(model.weights)
    return Written(run_darknet(path), facts={"bflops": round(model.bflops, 9)})
