"""Static int8 quantization of TensorFlow Lite models with AI Edge Quantizer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nas.formats.quantization import calibration_images, quietly
from nas.formats.tflite.normalization import EXACT

Ranges = Mapping[str, tuple[float, float]]
"""The smallest and the largest value of activations, by the names of their tensors."""
_BITS = 8


def find_ranges(model: bytes, images: np.ndarray | None = None) -> Ranges:
    """Return the ranges of a model's activations on images.

    Args:
        model: A model for one image, as returned by `nas.formats.tflite.to_tflite`.
        images: Inputs (N, C, H, W) to calibrate on, see `calibration_images`.

    Raises:
        ModuleNotFoundError: If LiteRT is not installed.
    """
    from ai_edge_litert.interpreter import Interpreter

    with quietly():  # it warns that all tensors are kept
        interpreter = Interpreter(model_content=model, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    given = interpreter.get_input_details()[0]
    _, height, width, channels = map(int, given["shape"])
    constants = _constants(model)  # weights, whose channels have a range each
    tensors = {
        tensor["name"]: tensor["index"]
        for tensor in interpreter.get_tensor_details()
        if tensor["dtype"] == np.float32 and tensor["name"] not in {"", *constants}
    }
    ranges: dict[str, tuple[float, float]] = {}
    for image in calibration_images(images, (channels, height, width)):
        pixels = np.ascontiguousarray(image.transpose(1, 2, 0)[None])
        interpreter.set_tensor(given["index"], pixels)
        interpreter.invoke()
        for name, index in tensors.items():
            values = interpreter.get_tensor(index)
            low, high = ranges.get(name, (np.inf, -np.inf))
            ranges[name] = min(low, float(values.min())), max(high, float(values.max()))
    return ranges


def quantize(model: bytes, ranges: Ranges) -> bytes:
    """Quantize weights (one scale per channel) and activations to 8 bits.

    The input and the output stay float32, with operators that quantize and dequantize them. What
    has no operator for integers, such as Mish, is computed with float32, and so is what 8 bits are
    too few for (`EXACT`).

    Args:
        model: A model for any number of images, as returned by `nas.formats.tflite.to_tflite`.
        ranges: Ranges of its activations, see `find_ranges`; those of the same network for another
            number of images are the same.

    Raises:
        ModuleNotFoundError: If AI Edge Quantizer is not installed.
        Exception: If it cannot quantize the model; its exceptions share no other base.
    """
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.qtyping import TFLOperationName
    from ai_edge_quantizer.quantizer import Quantizer

    quantizer = Quantizer(bytearray(model))
    quantizer.add_static_config(".*", TFLOperationName.ALL_SUPPORTED, _BITS, _BITS)
    for names, operation in (
        (".*", TFLOperationName.INPUT),
        (".*", TFLOperationName.OUTPUT),
        (rf"(^|\.){EXACT}\.", TFLOperationName.ALL_SUPPORTED),
    ):
        quantizer.update_quantization_recipe(
            names, operation, algorithm_key=AlgorithmName.NO_QUANTIZE
        )
    found = {
        name: {"min": np.array([low], np.float32), "max": np.array([high], np.float32)}
        for name, (low, high) in zip(ranges, map(_spread, ranges.values()), strict=True)
    }
    with quietly():
        result = quantizer.quantize(found, enable_progress_report=False, enable_progress_bar=False)
    return bytes(result.quantized_model)


def _spread(span: tuple[float, float]) -> tuple[float, float]:
    """Return a range, or another one for nothing but zeros.

    Their scale would be so small that XNNPACK refuses the operator. Any other is as good.
    """
    return span if any(span) else (0.0, 1.0)


def _constants(model: bytes) -> set[str]:
    """Return the names of the tensors whose values are in a model."""
    from ai_edge_litert import schema_py_generated as schema

    read = schema.ModelT.InitFromPackedBuf(model, 0)
    (graph,) = read.subgraphs
    return {
        tensor.name.decode()
        for tensor in graph.tensors
        if read.buffers[tensor.buffer].data is not None
    }
