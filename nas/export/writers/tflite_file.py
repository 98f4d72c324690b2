"""Networks as TensorFlow Lite files: ``images`` (1, H, W, C) -> ``logits`` (1, classes)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from nas.export.base import Export, Written
from nas.export.parity import Run
from nas.formats.tflite import to_tflite


def run_tflite(open_batch: Callable[[int], Interpreter]) -> Run:
    """Return a function that runs a TensorFlow Lite model in LiteRT.

    Args:
        open_batch: Opens the model for a batch size, which is a part of it.
    """

    def run(images: np.ndarray) -> np.ndarray:
        interpreter = open_batch(len(images))
        interpreter.allocate_tensors()
        images = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], images)
        interpreter.invoke()
        return np.asarray(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))

    return run


def write(export: Export, path: Path) -> Written:
    """Write a network as a TensorFlow Lite file for one image; batch normalization is folded."""
    spec = export.model.spec
    tree, weights = export.form

    def model(batch: int) -> bytes:
        return to_tflite(tree, spec.in_shape, weights, spec.name, export.properties, batch)

    def open_batch(batch: int) -> Interpreter:
        if batch == 1:
            return Interpreter(model_path=str(path))
        return Interpreter(model_content=model(batch))

    path.write_bytes(model(1))
    return Written(run_tflite(open_batch), model=path.read_bytes)
