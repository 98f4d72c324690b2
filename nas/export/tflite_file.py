"""Writing a network as a TensorFlow Lite file and checking it against its torch module."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from torch import Tensor

from nas.export.parity import Parity, Run, compare, in_form, noise
from nas.files import write_atomic
from nas.formats.tflite import to_tflite
from nas.lowering import FormChoice
from nas.torch_model import Network


def run_tflite(write: Callable[[int], bytes]) -> Run:
    """Return a function that runs a TensorFlow Lite model in LiteRT.

    Args:
        write: Returns the model for a batch size, which is a part of it.
    """
    from ai_edge_litert.interpreter import Interpreter

    def run(images: np.ndarray) -> np.ndarray:
        interpreter = Interpreter(model_content=write(len(images)))
        interpreter.allocate_tensors()
        images = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], images)
        interpreter.invoke()
        return np.asarray(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))

    return run


def export_tflite(
    model: Network,
    path: Path,
    choice: FormChoice | None = None,
    images: Tensor | None = None,
    properties: Mapping[str, str] | None = None,
) -> Parity:
    """Write a model as a TensorFlow Lite file: ``images`` (1, H, W, C) -> ``logits`` (1, classes).

    Args:
        model: Model with the weights to export.
        path: File to write.
        choice: Rule that chooses the forms of lowered layers; None for the network as trained,
            except that batch normalization is folded.
        images: Inputs to compare the outputs for, shape (N, C, H, W); None for random noise.
        properties: Metadata of the file, texts by name.

    Returns:
        How its outputs agree with those of torch.

    Raises:
        MixnasError: If they do not agree; no file is written in this case.
        ModuleNotFoundError: If LiteRT is not installed.
    """
    spec = model.spec
    tree, weights = in_form(model, choice)

    def write(batch: int) -> bytes:
        return to_tflite(tree, spec.in_shape, weights, spec.name, properties, batch)

    parity = compare(model, run_tflite(write), noise(spec) if images is None else images)
    parity.check()
    write_atomic(path, write(1))
    return parity
